//! The log on the screen: QEMU's pictures against the serial log.

use super::scenario::{ensure, ensure_warning};
use crate::lab::{Lab, expect_verdict};
use crate::pictured::{self, Picture, Pictured};
use crate::shape::{DEBUG_SMP2, SMP1, SMP2, Shape};
use display::format::{Channels, PixelFormat};
use display::geometry::{Geometry, TextArea};
use display::grid::Cell;
use display::ink::Ink;
use display::read_back;
use ktask_boot::cli::BootChoice;
use libtest_mimic::{Completion, Failed, Trial};
use protocol::exit::Verdict;

type Judge = fn(&Lab) -> Result<(), Failed>;

const SCENARIOS: [(&str, BootChoice, Judge); 7] = [
    ("screen::boot::shows_the_log", GRUB, log),
    ("screen::uefi::shows_the_log", BootChoice::Uefi, uefi),
    ("screen::debug::shows_the_log", GRUB, debug),
    ("screen::timing::scrolls_and_shows_the_table", GRUB, table),
    ("screen::panic::has_its_colour", GRUB, panic),
    ("screen::panic::a_failing_report_ends", GRUB, failing_report),
    ("screen::off::leaves_the_picture_of_the_loader", GRUB, off),
];

const GRUB: BootChoice = BootChoice::Grub;

/// Two CPUs and little memory.
const SHAPE: Shape = Shape { memory_mib: 256, boot: GRUB, ..SMP2 };

/// Returns the trials. One is ignored if what its way to the kernel needs is missing.
pub(super) fn trials(lab: &Lab) -> Vec<Trial> {
    let trial = |(name, way, judge): (&'static str, BootChoice, Judge)| {
        let lab = lab.clone();
        Trial::ignorable_test(name, move || match lab.has_way(way) {
            Ok(()) => judge(&lab).map(|()| Completion::Completed),
            Err(reason) => Ok(Completion::ignored_with(reason)),
        })
    };
    let mut trials: Vec<_> = SCENARIOS.into_iter().map(trial).collect();
    let lab = lab.clone();
    trials
        .push(Trial::test("screen::pvh::a_wanted_screen_that_is_missing_is_reported", move || missing(&lab)));
    trials
}

/// Returns the text that a picture's size has room for.
fn area(picture: &Picture) -> Result<TextArea, Failed> {
    // The format does not matter for the text.
    let format = PixelFormat::new(1, Channels::Grey).map_err(|error| error.to_string())?;
    let Picture { width, height, .. } = *picture;
    let geometry = Geometry { width, height, stride_bytes: width, format };
    Ok(geometry.text_area().map_err(|error| error.to_string())?)
}

/// Returns the characters of the last picture. Every pixel is one of the kernel's.
fn cells(run: &Pictured) -> Result<Vec<Vec<Cell>>, Failed> {
    let Picture { width, pixels, .. } = &run.last;
    let picture = read_back::Picture { width: *width, pixels };
    let text = picture.text(area(&run.last)?);
    Ok(text.map_err(|mismatch| format!("{mismatch}; the log: {:#?}", run.log))?)
}

fn text(row: &[Cell]) -> String {
    row.iter().map(|cell| char::from(cell.character)).collect::<String>().trim_end().to_string()
}

/// Returns the rows that show `log`: long lines go on in the next row, and the last rows remain.
fn expected(log: &[String], area: TextArea) -> Vec<String> {
    let mut rows = Vec::new();
    for line in log {
        if line.is_empty() {
            rows.push(String::new());
        }
        let parts = line.as_bytes().chunks(area.columns);
        rows.extend(parts.map(|part| String::from_utf8_lossy(part).trim_end().to_string()));
    }
    let mut shown = rows.split_off(rows.len().saturating_sub(area.rows));
    shown.resize(area.rows, String::new());
    shown
}

/// Fails unless the screen shows exactly the end of the serial log. Returns the characters.
fn ensure_shows_log(run: &Pictured) -> Result<Vec<Vec<Cell>>, Failed> {
    let cells = cells(run)?;
    let shown: Vec<_> = cells.iter().map(|row| text(row)).collect();
    let expected = expected(&run.log, area(&run.last)?);
    match shown.iter().zip(&expected).position(|(shown, expected)| shown != expected) {
        None => Ok(cells),
        Some(row) => {
            Err(format!("row {row} is {:?}, not {:?}; the screen: {shown:#?}", shown[row], expected[row])
                .into())
        }
    }
}

/// Fails unless exactly the rows of which `is_in_ink` holds are in `ink`.
fn ensure_ink(cells: &[Vec<Cell>], ink: Ink, is_in_ink: impl Fn(&str) -> bool) -> Result<(), Failed> {
    let mut count = 0;
    for row in cells {
        let line = text(row);
        let first = row[0].ink;
        let wanted = is_in_ink(&line);
        count += usize::from(wanted);
        // A space looks alike in all inks of one background.
        if !line.is_empty() && (first == ink) != wanted {
            return Err(format!("{line:?} is in {first:?}").into());
        }
    }
    if count > 0 { Ok(()) } else { Err(format!("no row in {ink:?}").into()) }
}

fn ensure_line(run: &Pictured, part: &str) -> Result<(), Failed> {
    let has_line = run.log.iter().any(|line| line.contains(part));
    if has_line { Ok(()) } else { Err(format!("no line has {part:?}: {:#?}", run.log).into()) }
}

fn log(lab: &Lab) -> Result<(), Failed> {
    shows_log(lab, &SHAPE, "")
}

/// The other loader's framebuffer, and the other way to draw the first lines.
fn uefi(lab: &Lab) -> Result<(), Failed> {
    shows_log(lab, &Shape { boot: BootChoice::Uefi, ..SHAPE }, "console.screen=on ")
}

fn debug(lab: &Lab) -> Result<(), Failed> {
    shows_log(lab, &Shape { boot: GRUB, ..DEBUG_SMP2 }, "")
}

/// The command line has a name that is no parameter's, for a warning.
fn shows_log(lab: &Lab, shape: &Shape, parameters: &str) -> Result<(), Failed> {
    let run = pictured::run(lab, shape, &format!("{parameters}no.such=1 run=test:screen::"))?;
    let cells = ensure_shows_log(&run)?;
    for test in ["writes_to_the_screen_are_combined_on_every_cpu", "a_held_screen_is_drawn_later"] {
        ensure_line(&run, &format!(" screen::{test}"))?;
    }
    ensure_line(&run, "] pass")?;
    let is_skipped = run.log.iter().any(|line| line.contains("# SKIP"));
    if is_skipped {
        return Err("a test of the screen was skipped".into());
    }
    ensure_ink(&cells, Ink::Warning, |line| line.contains("[WARN "))
}

/// The command line has names that are no parameter's, for more lines.
fn table(lab: &Lab) -> Result<(), Failed> {
    let run = pictured::run(
        lab,
        &SHAPE,
        "log.level=debug timing.bytes=4M timing.repeat=1 a=1 b=1 c=1 d=1 e=1 f=1 g=1",
    )?;
    let cells = ensure_shows_log(&run)?;
    if run.log.len() <= cells.len() {
        return Err(format!("{} lines do not scroll", run.log.len()).into());
    }
    // A row of the table is one row of the screen.
    let is_header = |line: &String| line.starts_with("job ") && line.ends_with(" ok");
    let shown: Vec<_> = cells.iter().map(|row| text(row)).collect();
    let header = shown.iter().position(is_header).ok_or("the table's header is not in one row")?;
    let rows = shown[header + 1..].iter().take_while(|line| line.ends_with(" yes")).count();
    if rows < 8 { Err(format!("{rows} rows of the table are shown: {shown:#?}").into()) } else { Ok(()) }
}

fn panic(lab: &Lab) -> Result<(), Failed> {
    let run = pictured::run(lab, &SHAPE, "fault.panic_cpu=1")?;
    let cells = ensure_shows_log(&run)?;
    let report = run.log.iter().position(|line| line.contains("panic on cpu 1")).ok_or("no report")?;
    let report: Vec<_> = run.log[report..].iter().map(|line| line.trim_end()).collect();
    ensure_ink(&cells, Ink::Report, |line| report.contains(&line))
}

/// The report panics after its first steps. The second report uses no screen.
fn failing_report(lab: &Lab) -> Result<(), Failed> {
    // The picture is not judged: the report's first failure may stop the drawer within a character, and nothing is drawn after
    // the second one.
    let run = pictured::run(lab, &SHAPE, "fault.panic_cpu=0 fault.report=panic")?;
    ensure_line(&run, "failed while reporting: ")
}

fn off(lab: &Lab) -> Result<(), Failed> {
    let run = pictured::run(lab, &SHAPE, "console.screen=off run=none")?;
    ensure_line(&run, "] pass")?;
    if run.first == run.last { Ok(()) } else { Err("the kernel changed the picture".into()) }
}

fn missing(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP1, "console.screen=on run=none")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_warning(&evidence, &["console.screen=on", "framebuffer"])?;
    let evidence = lab.boot(&SMP1, "console.screen=auto run=none")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let none = super::scenario::warnings(&evidence);
    ensure(&evidence, none.is_empty(), format_args!("warnings: {none:?}"))
}
