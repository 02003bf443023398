//! Opens the pages of a report and of a comparison in a browser without a screen: they log no error, the trace can be zoomed, and
//! each has a picture.
//!
//! The pictures stay in `target/tmp/page`, to be looked at. Without a browser the tests are ignored.

use ktask_boot::compare::{self, Comparison, Matching, Side};
use ktask_boot::doctor;
use ktask_boot::qemu::{Accel, Boot, Machine, Program};
use ktask_boot::report::{self, Report};
use ktask_boot::run::{Ending, Run};
use ktask_boot::size::Size;
use ktask_boot::system::Real;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use protocol::exit::Verdict;
use protocol::record::{Record, parse_line};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use trace::wire::{Batch, TEXT_MAX_BYTES};
use trace::{Event, Stamped, Why};

/// Records of a run on four CPUs with two nodes, without its trace.
const RUN: &str = include_str!("page/run.jsonl");

/// Text that shows, as an error, where it became markup.
const HOSTILE: &str = "</script><script>throw 1</script><img src=x onerror=\"throw 2\">";

fn main() -> ExitCode {
    let browser = doctor::browser(&Real);
    let test = |name: &str, test: fn(&Path) -> Result<(), Failed>| {
        let browser = browser.clone();
        Trial::ignorable_test(name, move || match browser {
            Some(browser) => test(&browser).map(|()| Completion::Completed),
            None => Ok(Completion::ignored_with("there is no Chromium here")),
        })
    };
    let trials = vec![
        test("page::browser_tells_errors", browser_tells_errors),
        test("page::opens_without_error_on_every_screen", opens_without_error),
        test("page::comparison_opens_without_error_on_every_screen", comparison_opens_without_error),
        test("page::trace_is_zoomed", trace_is_zoomed),
    ];
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Checks the check: an error of a script, and markup that the page's policy forbids.
fn browser_tells_errors(browser: &Path) -> Result<(), Failed> {
    for content in ["<script>throw new Error('seen')</script>", "<img src=\"https://ktask.invalid/x.png\">"] {
        let page = page().replace("</main>", &format!("{content}</main>"));
        let seen = look(browser, "error", &page, &["--dump-dom"])?;
        ensure(!seen.errors.is_empty(), format!("{content} causes no error that the test sees"))?;
    }
    Ok(())
}

fn opens_without_error(browser: &Path) -> Result<(), Failed> {
    has_pictures(browser, "", &page(), [3900, 8600])
}

/// Opens the page of a comparison, which has no script.
fn comparison_opens_without_error(browser: &Path) -> Result<(), Failed> {
    has_pictures(browser, "compare-", &comparison(), [1800, 3000])
}

/// Opens `page` on wide and narrow screens of some heights, light and dark.
fn has_pictures(browser: &Path, prefix: &str, page: &str, [wide, narrow]: [u32; 2]) -> Result<(), Failed> {
    ensure(page.len() < 1_000_000, format!("the page has {} bytes", page.len()))?;
    let screens = [("wide", 1240, wide, false), ("dark", 1240, wide, true), ("narrow", 500, narrow, false)];
    for (name, width, height, is_dark) in screens {
        let name = format!("{prefix}{name}");
        // A window has at least 500 pixels: a frame in it is as narrow as a phone.
        let page = match width {
            500 => format!(
                "<body style=margin:0><iframe srcdoc=\"{}\" style=\"border:0;width:390px;height:{height}px\"></iframe>",
                page.replace('&', "&amp;").replace('"', "&quot;")
            ),
            _ => page.to_string(),
        };
        let picture = folder().join(format!("{name}.png"));
        let _ = std::fs::remove_file(&picture);
        let mut arguments =
            vec![format!("--window-size={width},{height}"), format!("--screenshot={}", picture.display())];
        arguments.extend(is_dark.then(|| "--blink-settings=preferredColorScheme=0".to_string()));
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let seen = look(browser, &name, &page, &arguments)?;
        ensure(seen.errors.is_empty(), format!("{name}: {}", seen.errors.join("\n")))?;
        let png = std::fs::read(&picture).map_err(|error| format!("{}: {error}", picture.display()))?;
        let expected = format!("{width}x{height}");
        let size = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().expect("four bytes"));
        ensure(
            png.len() > 24 && png.starts_with(b"\x89PNG"),
            format!("{} is no picture", picture.display()),
        )?;
        let found = format!("{}x{}", size(16), size(20));
        ensure(found == expected, format!("{name}: the picture has {found}, not {expected} pixels"))?;
        // An empty page of one colour takes some kilobytes.
        ensure(png.len() > 60_000, format!("{name}: a picture of {} bytes shows nothing", png.len()))?;
    }
    Ok(())
}

fn trace_is_zoomed(browser: &Path) -> Result<(), Failed> {
    // Presses the buttons and turns the wheel as a user would, and writes down what the page then says.
    const USER: &str = "<script>
        const range = () => document.getElementById('trace-range').textContent;
        const press = (name) => document.querySelector(`[data-zoom=${name}]`).click();
        const canvas = document.getElementById('trace');
        const box = canvas.getBoundingClientRect();
        const wheel = () => canvas.dispatchEvent(new WheelEvent('wheel', { deltaY: -300, clientX: box.left + 400, cancelable: true }));
        const point = () => canvas.dispatchEvent(new PointerEvent('pointermove', { clientX: box.left + 52 + 0.03 * (box.width - 52), clientY: box.top + 40 }));
        const steps = [() => {}, () => press('in'), wheel, () => press('all'), point];
        const said = [];
        const next = () => {
            if (steps.length === 0) {
                said.push(document.getElementById('trace-detail').textContent);
                document.documentElement.dataset.said = said.join('|');
                return;
            }
            steps.shift()();
            setTimeout(() => { said.push(range()); next(); }, 100);
        };
        next();
        </script></body>";
    let seen = look(browser, "zoom", &page().replace("</body>", USER), &["--dump-dom"])?;
    ensure(seen.errors.is_empty(), seen.errors.join("\n"))?;
    ensure(seen.dom.contains("data-ready=\"trace\""), "the trace was not drawn".into())?;
    let said = seen.dom.split_once("data-said=\"").and_then(|(_, rest)| rest.split_once('"'));
    let (said, _) = said.ok_or("the page did not answer")?;
    let widths: Vec<_> = said.split('|').collect();
    let ends = [" 1.000 ms wide", " 500.00 us wide", " 183.94 us wide", " 1.000 ms wide", " 1.000 ms wide"];
    let is_right = widths.len() == 6 && widths.iter().zip(ends).all(|(said, end)| said.ends_with(end));
    ensure(is_right, format!("the widths are {widths:?}, not {ends:?}"))?;
    // 30 us after the beginning the first thread is in its first chunk.
    let slices = ["cpu 0: ", "(thread, 70.00 us from +0 ns)", "(chunk, 39.90 us from +100 ns)"];
    ensure(slices.iter().all(|slice| widths[5].contains(slice)), format!("{:?} is not {slices:?}", widths[5]))
}

/// What the browser said.
struct Seen {
    dom: String,
    errors: Vec<String>,
}

/// Opens `page` in the browser, with more arguments.
fn look(browser: &Path, name: &str, page: &str, arguments: &[&str]) -> Result<Seen, Failed> {
    let file = folder().join(format!("{name}.html"));
    std::fs::write(&file, page).map_err(|error| format!("{}: {error}", file.display()))?;
    let profile = tempfile::tempdir()?;
    let output = Command::new(browser)
        // No sandbox: root has none. The time of the page runs as fast as the page is ready.
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=5000", "--force-device-scale-factor=1"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(arguments)
        .arg(format!("file://{}", file.display()))
        .output()?;
    let messages = String::from_utf8_lossy(&output.stderr);
    ensure(output.status.success(), format!("the browser ended with {}:\n{messages}", output.status))?;
    let errors = messages.lines().filter(|line| line.contains("CONSOLE")).map(str::to_string).collect();
    Ok(Seen { dom: String::from_utf8_lossy(&output.stdout).into_owned(), errors })
}

/// Returns the folder of the pages and their pictures.
fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&folder).expect("the target directory is writable");
    folder
}

/// Returns the page of a run with a trace, and with hostile text.
fn page() -> String {
    let (run, report) = run();
    let files =
        vec![("report as JSON", "./report.json".into()), ("trace for Perfetto", "./trace.json".into())];
    report::page(&report::Content { report: &report, records: &run.records, files })
}

/// Returns the page of two runs side by side, which differ in their machines.
fn comparison() -> String {
    let (_, first) = run();
    let (_, mut second) = run();
    second.machine.cpus = 8;
    for row in &mut second.jobs {
        row.ns = row.ns * 5 / 4;
    }
    let side = |label: &str, report| Side { label: label.into(), report };
    let sides = vec![side("before.json", first), side(HOSTILE, second)];
    let comparison = Comparison::of(sides, Matching::SameThreads).expect("the runs have the same jobs");
    let file = folder().join("comparison.html");
    compare::write_page(&comparison, &file).expect("the target directory is writable");
    std::fs::read_to_string(&file).expect("it was just written")
}

/// Returns a run and its report.
fn run() -> (Run, Report) {
    let mut run = Run::begun();
    run.ending = Ending::Verdict(Verdict::Pass);
    run.records = RUN.lines().filter_map(|line| parse_line(line).expect("the records are whole")).collect();
    run.records.push(Record::Warning { t_ns: 1, what: HOSTILE.into() });
    run.records.push(Record::TraceName { t_ns: 1, thread: 9, name: HOSTILE.into() });
    run.records.extend((0..4).map(trace_of));
    let machine = Machine {
        qemu: Program::unchecked("qemu-system-x86_64"),
        kernel: "ktask-kernel".into(),
        boot: Boot::Direct,
        cpus: 4,
        memory: Size::from_mib(1024),
        nodes: 2,
        accel: Accel::Tcg,
        cpu_model: None,
        command_line: HOSTILE.into(),
        debugger: false,
        exit_device: true,
        extra: Vec::new(),
    };
    let report = Report::new(&run, &machine, 2, None);
    (run, report)
}

/// Returns the trace of a CPU over a millisecond: a thread with two chunks and an interrupt, then a halt, over and over.
fn trace_of(cpu: u32) -> Record<String> {
    let mut batch = Batch::new();
    let mut put =
        |ns, thread, event| assert!(batch.push(&Stamped { ns, thread, event }), "the batch is full");
    for round in 0..10 {
        let ns = 1_000_000 + round * 100_000;
        let start = round * 100;
        let chunk = |at| Event::ChunkBegin { job: 7, worker: 0, start: at, units: 50 };
        let done = |at| Event::ChunkEnd { job: 7, ok: true, start: at };
        put(ns + 100, 9, chunk(start));
        put(ns + 20_000, 9, Event::InterruptEnter { vector: 0x20 });
        put(ns + 22_000, 9, Event::InterruptExit { vector: 0x20 });
        put(ns + 40_000, 9, done(start));
        put(ns + 41_000, 9, chunk(start + 50));
        put(ns + 60_000, 9, done(start + 50));
        put(ns + 70_000, 9, Event::Switch { next: cpu, why: Why::Blocked, waiting: 0 });
        put(ns + 71_000, cpu, Event::HaltEnter);
        put(ns + 98_000, cpu, Event::HaltExit);
        put(ns + 100_000, cpu, Event::Switch { next: 9, why: Why::Idle, waiting: 0 });
    }
    let events = batch.to_text(&mut [0; TEXT_MAX_BYTES]).to_string();
    Record::Trace { t_ns: 3_000_000, since_ns: 1_000_000, cpu, first: 0, lost: 0, events }
}

fn ensure(holds: bool, otherwise: String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}
