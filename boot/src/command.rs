//! Execution of each command.

mod linux;
mod options;

use crate::cli::{AccelChoice, Cli, Command, Options};
use crate::compare::{self, Comparison};
use crate::doctor::{self, Consent, Examination, What};
use crate::failure::Failure;
use crate::image::{self, Kind};
use crate::kernel::{self, Profile};
use crate::opening;
use crate::progress::Progress;
use crate::qemu::{Accel, Boot, Machine, Program, program};
use crate::report::{self, Report};
use crate::run::{self, Ending};
use crate::shell;
use crate::sim;
use crate::start;
use crate::symbols::Symbols;
use crate::system::System;
use crate::trace;
use options::{
    User, and_run, build, command_line, consent, kernel_file, kernel_path, limits, machine, output_directory,
    paths, print,
};
use protocol::exit::HostStatus;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Exit status of an interrupted program, by the shells' convention: 128 plus the number of the signal.
pub const INTERRUPTED: u8 = 130;

/// Executes the command line and returns the exit status. Setting `interrupt` ends a running kernel.
///
/// # Errors
///
/// When the command cannot be executed. The end of a kernel that ran is a status, not an error.
pub fn execute(cli: &Cli, system: &impl System, interrupt: &AtomicBool) -> Result<u8, Failure> {
    let options = &cli.options;
    let named = options.qemu.as_deref();
    match &cli.command {
        Some(Command::Doctor { install, optional }) => {
            if *install {
                let wanted: &[What] = if *optional { &What::ALL } else { &What::REQUIRED };
                doctor::provide(system, named, Consent::Given, wanted)?;
            }
            print(&doctor::render(system, &doctor::examine(system, named, &What::REQUIRED)?));
            Ok(0)
        }
        Some(Command::Build) => {
            let tools = doctor::provide(system, named, consent(options), &What::BUILD)?;
            print(&build(&tools, options.profile)?.display().to_string());
            Ok(0)
        }
        Some(Command::Image { kind, append, output }) => {
            let image = write_image(options, *kind, append.as_deref(), output.as_deref(), system)?;
            print(&image.display().to_string());
            Ok(0)
        }
        Some(Command::Clippy) => {
            let wanted = [What::Toolchain, What::Linker, What::Clippy];
            let tools = doctor::provide(system, named, consent(options), &wanted)?;
            let toolchain = tools.toolchain.as_ref().expect("a toolchain was wanted, so it is there");
            let clippy = toolchain.clippy(system).expect("clippy was wanted, so it is there");
            kernel::lint(toolchain, &clippy, options.profile).map(|()| 0)
        }
        Some(Command::Bench { suite }) => {
            let what = suite.as_ref().map_or("bench".into(), |suite| format!("bench:{suite}"));
            run_kernel(&and_run(options, &what), User::Reads, system, interrupt)
        }
        Some(Command::Trace { output, from: Some(records) }) => {
            print(&trace::export(&trace::read_records(records)?, &trace_path(output.as_deref()))?);
            Ok(0)
        }
        Some(Command::Trace { output, from: None }) => {
            run_traced(&traced(options), &trace_path(output.as_deref()), system, interrupt)
        }
        Some(Command::Sim { machine, output }) => {
            let simulated = sim::simulate(machine, &sim_plot_path(machine, output.as_deref()), interrupt)?;
            print(&format!("{}\nplot: {}", simulated.text, simulated.plot.display()));
            Ok(0)
        }
        Some(Command::Compare { reports, linux, fail_below, output }) => {
            let is_linux = reports.iter().map(PathBuf::as_path).eq([Path::new("linux")]);
            let comparison = match (is_linux, linux) {
                (true, linux) => linux::compared(options, linux.as_deref(), system, interrupt)?,
                (false, None) => Some(compare::read(reports)?),
                (false, Some(_)) => return Err(Failure::usage("--linux belongs to compare linux")),
            };
            let Some(comparison) = comparison else { return Ok(0) };
            show_comparison(&comparison, *fail_below, output.as_deref())
        }
        Some(Command::Shell) => run_kernel(&and_run(options, "shell"), User::Types, system, interrupt),
        None => run_kernel(options, User::Reads, system, interrupt),
    }
}

/// Prints a comparison and writes its page. Returns the exit status: 1 for something worse than `least`.
fn show_comparison(
    comparison: &Comparison,
    least: Option<f64>,
    output: Option<&Path>,
) -> Result<u8, Failure> {
    let page = output.map_or_else(|| output_directory().join("compare.html"), Path::to_path_buf);
    compare::write_page(comparison, &page)?;
    print(&compare::render(comparison, std::io::stdout().is_terminal()));
    print(&format!("\npage: {}", page.display()));
    let regressions = least.map_or_else(Vec::new, |least| comparison.regressions(least));
    regressions.iter().for_each(|line| eprintln!("regression: {line}"));
    Ok(if regressions.is_empty() { HostStatus::Pass } else { HostStatus::Fail }.code())
}

/// Builds and boots the kernel, or prints QEMU's command line.
fn run_kernel(
    options: &Options,
    onlooker: User,
    system: &impl System,
    interrupt: &AtomicBool,
) -> Result<u8, Failure> {
    build_and_boot(options, onlooker, None, system, interrupt).map(|(status, _)| status)
}

/// Boots a kernel that traces, and writes its trace to `output`.
fn run_traced(
    options: &Options,
    output: &Path,
    system: &impl System,
    interrupt: &AtomicBool,
) -> Result<u8, Failure> {
    let (status, exported) = build_and_boot(options, User::Reads, Some(output), system, interrupt)?;
    match exported {
        None => {}
        Some(Ok(summary)) => print(&summary),
        // The report already names the cause.
        Some(Err(failure)) if status == 0 => return Err(failure),
        Some(Err(failure)) => eprintln!("warning: {failure}"),
    }
    Ok(status)
}

/// The summary of a trace file, or why there is none.
type Exported = Option<Result<String, Failure>>;

/// Boots the kernel that the options name, else builds and boots one. The trace goes to the file `trace`. Returns the exit
/// status.
fn build_and_boot(
    options: &Options,
    onlooker: User,
    trace: Option<&Path>,
    system: &impl System,
    interrupt: &AtomicBool,
) -> Result<(u8, Exported), Failure> {
    if options.print {
        let qemu = doctor::examine(system, options.qemu.as_deref(), &What::REQUIRED)?.qemu;
        let qemu = qemu.unwrap_or_else(|| Program::unchecked(program::NAME));
        let way = start::way(system, options.boot, &run_image(options));
        print(&machine(options, qemu, kernel_path(options), way)?.shell_line());
        return Ok((0, None));
    }
    if let Some(kind) = start::image_kind(options.boot) {
        image::check(kind, &command_line(options))?;
    }
    // Not after the run: its page would not be shown.
    let opener = options.open.then(|| opening::find(system)).transpose()?;
    let wanted = [&[What::Qemu], kernel_needs(options), &start::wanted(options.boot)].concat();
    let tools = doctor::provide(system, options.qemu.as_deref(), consent(options), &wanted)?;
    let elf = kernel_file(options, &tools)?;
    let toolchain = tools.toolchain.as_ref();
    let (text, image) = (command_line(options), run_image(options));
    let way = start::prepare(system, options.boot, toolchain, &elf, &text, &image)?;
    let (status, exported) = boot(options, &tools, elf, way, onlooker, trace, interrupt)?;
    match opener.map(|opener| opening::open(&opener, &paths(options).page)) {
        Some(Err(failure)) if status == 0 => return Err(failure),
        Some(Err(failure)) => eprintln!("warning: {failure}"),
        Some(Ok(())) | None => {}
    }
    Ok((status, exported))
}

/// Returns the name of the image of a run.
fn run_image(options: &Options) -> String {
    start::image_name("run", options.profile, &command_line(options))
}

/// Writes an image and returns its path. `append` comes last on the kernel's command line.
fn write_image(
    options: &Options,
    kind: Kind,
    append: Option<&str>,
    output: Option<&Path>,
    system: &impl System,
) -> Result<PathBuf, Failure> {
    let command_line = [&command_line(options), append.unwrap_or_default()].join(" ").trim().to_string();
    image::check(kind, &command_line)?;
    let output = match output {
        Some(output) => output.to_path_buf(),
        None => {
            let folder = output_directory();
            std::fs::create_dir_all(&folder)
                .map_err(|error| Failure::failed(format!("cannot make {}: {error}", folder.display())))?;
            folder.join(kind.default_name())
        }
    };
    image::check_output(&output)?;
    let wanted = [kernel_needs(options), start::tools(kind)].concat();
    let tools = doctor::provide(system, options.qemu.as_deref(), consent(options), &wanted)?;
    let elf = kernel_file(options, &tools)?;
    image::write(system, kind, tools.toolchain.as_ref(), &elf, &command_line, &output)?;
    Ok(output)
}

/// Returns the prerequisites of the kernel's file.
const fn kernel_needs(options: &Options) -> &'static [What] {
    if options.kernel.is_some() { &[] } else { &What::BUILD }
}

/// Returns the options of a traced run; `--append` overrides the parameters added here.
fn traced(options: &Options) -> Options {
    let words = format!("{TRACED} {}", options.append.as_deref().unwrap_or_default());
    Options { append: Some(words.trim().into()), ..options.clone() }
}

/// Room for all events of the default run.
const TRACED: &str = "trace.enabled=on trace.buffer_events=65536";

/// Returns the file for the trace.
fn trace_path(output: Option<&Path>) -> PathBuf {
    output.map_or_else(|| output_directory().join("trace.json"), Path::to_path_buf)
}

/// Returns the file for the plot of a simulation of `machine`.
fn sim_plot_path(machine: &Path, output: Option<&Path>) -> PathBuf {
    output.map_or_else(
        || {
            let stem = machine.file_stem().unwrap_or_default().to_string_lossy();
            output_directory().join(format!("sim-{stem}.svg"))
        },
        Path::to_path_buf,
    )
}

/// Does the main job: boot, follow, report. Returns the exit status.
fn boot(
    options: &Options,
    tools: &Examination,
    elf: PathBuf,
    way: Boot,
    onlooker: User,
    trace: Option<&Path>,
    interrupt: &AtomicBool,
) -> Result<(u8, Exported), Failure> {
    let qemu = tools.qemu.clone().expect("QEMU was wanted, so it is there");
    let machine = machine(options, qemu, elf, way)?;
    announce(&machine, options);
    let limits = limits(options, onlooker);
    let run = match onlooker {
        User::Reads => {
            let mut progress = Progress::new(options.quiet);
            run::run_followed(&machine, limits, interrupt, &mut progress)?
        }
        User::Types => {
            let raw = shell::RawMode::enter(std::io::stdin());
            if raw.is_some() {
                eprintln!("{}", shell::ESCAPE_HELP);
            }
            // Returns once the guest has ended for any reason. Then the terminal is restored.
            run::converse(&machine, limits, interrupt, shell::console())?
        }
    };
    let symbols = Symbols::load(&machine.kernel).inspect_err(|why| eprintln!("warning: {why}")).ok();
    let report = Report::new(&run, &machine, report::host_cores(), symbols.as_ref());
    let paths = paths(options);
    let text = match onlooker {
        User::Reads => report::render(&report, std::io::stdout().is_terminal()),
        User::Types => report::render_ending(&report),
    };
    print(&format!("\n{text}\n"));
    let plots = report::write(&paths, &report, &run)?;
    let exported = trace.map(|path| trace::export(&run.records, path));
    let trace_file = trace.filter(|_| matches!(exported, Some(Ok(_))));
    report::write_page(&paths, &report, &run, &plots, trace_file)?;
    print(&format!("report: {}", paths.json.display()));
    print(&format!("page: {}", paths.page.display()));
    plots.iter().for_each(|plot| print(&format!("plot: {}", plot.display())));
    let status = match run.ending {
        Ending::Interrupted => INTERRUPTED,
        _ => report.status,
    };
    Ok((status, exported))
}

fn announce(machine: &Machine, options: &Options) {
    eprintln!("$ {}", machine.shell_line());
    if machine.accel == Accel::Tcg && options.accel == AccelChoice::Auto {
        eprintln!("KVM does not run a guest here; QEMU translates the guest's code");
    }
    if options.gdb {
        eprintln!("waiting for a debugger: gdb {} -ex 'target remote :1234'", machine.kernel.display());
    }
}

/// Builds the kernel in `profile` and finds QEMU, for the tests in `tests/`. Returns the ELF file and the program.
///
/// # Errors
///
/// When a prerequisite is missing or the kernel does not build.
pub fn prepare(system: &impl System, profile: Profile) -> Result<(PathBuf, Program), Failure> {
    let tools = doctor::provide(system, None, Consent::ByRule, &What::REQUIRED)?;
    let elf = build(&tools, profile)?;
    Ok((elf, tools.qemu.expect("QEMU was wanted, so it is there")))
}
