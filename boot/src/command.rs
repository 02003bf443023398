//! What each command does.

use crate::cli::{AccelChoice, Cli, Command, Options};
use crate::doctor::{self, Consent, Examination, What};
use crate::failure::Failure;
use crate::kernel::{self, Profile};
use crate::qemu::{self, Accel, Machine, Program, program};
use crate::report::{self, Paths, Report};
use crate::run::{self, Ending, Limits, Run};
use crate::shell;
use crate::symbols::Symbols;
use crate::system::System;
use crate::trace;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The exit status of a program that was interrupted, as shells count: 128 and the number of the signal.
pub const INTERRUPTED: u8 = 130;

/// Does what the command line asks for, and returns the exit status. `interrupt` ends a running kernel.
///
/// # Errors
///
/// When it cannot be done; how a kernel that ran has ended is no error here but a status.
pub fn execute(cli: &Cli, system: &impl System, interrupt: &AtomicBool) -> Result<u8, Failure> {
    let options = &cli.options;
    let named = options.qemu.as_deref();
    match &cli.command {
        Some(Command::Doctor { install }) => {
            if *install {
                doctor::provide(system, named, Consent::Given, &What::ALL)?;
            }
            say(&doctor::render(system, &doctor::examine(system, named)?));
            Ok(0)
        }
        Some(Command::Build) => {
            let tools = doctor::provide(system, named, consent(options), &[What::Toolchain, What::Linker])?;
            say(&build(&tools, options.profile)?.display().to_string());
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
            run_kernel(&and_run(options, &what), Onlooker::Reads, system, interrupt)
        }
        Some(Command::Trace { output, from: Some(records) }) => {
            say(&trace::export(&trace::read_records(records)?, &trace_path(output.as_deref()))?);
            Ok(0)
        }
        Some(Command::Trace { output, from: None }) => {
            run_traced(&traced(options), &trace_path(output.as_deref()), system, interrupt)
        }
        Some(Command::Shell) => run_kernel(&and_run(options, "shell"), Onlooker::Types, system, interrupt),
        None => run_kernel(options, Onlooker::Reads, system, interrupt),
    }
}

/// What the one before the screen does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Onlooker {
    /// Reads the log and the report.
    Reads,
    /// Talks with the shell.
    Types,
}

/// The same, with a kernel that runs `what`.
fn and_run(options: &Options, what: &str) -> Options {
    let words = [options.append.clone().unwrap_or_default(), format!("run={what}")];
    Options { append: Some(words.join(" ").trim().into()), ..options.clone() }
}

/// Builds the kernel and boots it, or shows how.
fn run_kernel(
    options: &Options,
    onlooker: Onlooker,
    system: &impl System,
    interrupt: &AtomicBool,
) -> Result<u8, Failure> {
    build_and_boot(options, onlooker, system, interrupt).map(|(status, _)| status)
}

/// Boots a kernel that traces, and writes its trace to `output`.
fn run_traced(
    options: &Options,
    output: &Path,
    system: &impl System,
    interrupt: &AtomicBool,
) -> Result<u8, Failure> {
    let (status, run) = build_and_boot(options, Onlooker::Reads, system, interrupt)?;
    match run.map(|run| trace::export(&run.records, output)) {
        None => {}
        Some(Ok(summary)) => say(&summary),
        // Why the run ended early was told; that it left no trace is no news then.
        Some(Err(failure)) if status == 0 => return Err(failure),
        Some(Err(failure)) => eprintln!("warning: {failure}"),
    }
    Ok(status)
}

/// Boots the kernel that was given, or else the one that is built. No run where it was only to be shown how.
fn build_and_boot(
    options: &Options,
    onlooker: Onlooker,
    system: &impl System,
    interrupt: &AtomicBool,
) -> Result<(u8, Option<Run>), Failure> {
    if options.print {
        let qemu = doctor::examine(system, options.qemu.as_deref())?.qemu;
        let qemu = qemu.unwrap_or_else(|| Program::unasked(program::NAME));
        say(&machine(options, qemu, kernel_path(options))?.shell_line());
        return Ok((0, None));
    }
    let wanted: &[What] = if options.kernel.is_some() { &[What::Qemu] } else { &What::ALL };
    let tools = doctor::provide(system, options.qemu.as_deref(), consent(options), wanted)?;
    let elf = match &options.kernel {
        Some(elf) => elf.clone(),
        None => build(&tools, options.profile)?,
    };
    boot(options, &tools, elf, onlooker, interrupt).map(|(status, run)| (status, Some(run)))
}

/// Whether packages may be installed without asking.
fn consent(options: &Options) -> Consent {
    if options.yes { Consent::Given } else { Consent::ByRule }
}

/// The options of a run that is traced; what `--append` says counts more.
fn traced(options: &Options) -> Options {
    let words = format!("{TRACED} {}", options.append.as_deref().unwrap_or_default());
    Options { append: Some(words.trim().into()), ..options.clone() }
}

/// Room for all events of the default run.
const TRACED: &str = "trace.enabled=on trace.buffer_events=65536";

/// Where a trace goes.
fn trace_path(output: Option<&Path>) -> PathBuf {
    output.map_or_else(|| output_directory().join("trace.json"), Path::to_path_buf)
}

/// Prints a line, or several. Standard output may be a pipe that nobody reads any more; that is no reason to panic.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn build(tools: &Examination, profile: Profile) -> Result<PathBuf, Failure> {
    kernel::build(tools.toolchain.as_ref().expect("a toolchain was wanted, so it is there"), profile)
}

fn kernel_path(options: &Options) -> PathBuf {
    options.kernel.clone().unwrap_or_else(|| kernel::elf_path(options.profile))
}

/// The machine that the options describe.
fn machine(options: &Options, qemu: Program, kernel: PathBuf) -> Result<Machine, Failure> {
    let cpus = options.smp.unwrap_or_else(|| report::host_cores().clamp(1, crate::list::CPUS_COMMON));
    if let Some(threads) = options.threads.as_ref().filter(|threads| threads.max() > cpus) {
        return Err(Failure::usage(format!(
            "--threads {threads} asks for more threads than the {cpus} CPUs that --smp defaults to here"
        )));
    }
    let accel = qemu::choose(accel_choice(options)?, &qemu, options.cpu.as_deref())?;
    Ok(Machine {
        qemu,
        kernel,
        cpus,
        memory: options.memory,
        nodes: options.numa,
        accel,
        cpu_model: options.cpu.clone(),
        command_line: command_line(options),
        debugger: options.gdb,
        exit_device: true,
        extra: options.qemu_args.clone(),
    })
}

/// What the user's choice of an accelerator comes to: only the translator counts instructions.
fn accel_choice(options: &Options) -> Result<AccelChoice, Failure> {
    let counts = options.qemu_args.iter().any(|argument| argument == "-icount");
    match options.accel {
        AccelChoice::Kvm if counts => {
            Err(Failure::usage("--accel kvm cannot count instructions; -icount needs --accel tcg"))
        }
        AccelChoice::Auto if counts => Ok(AccelChoice::Tcg),
        choice => Ok(choice),
    }
}

/// The kernel's command line: what options stand for first, so that `--append` can override it.
fn command_line(options: &Options) -> String {
    let threads = options.threads.as_ref().map(|threads| format!("timing.threads={threads}"));
    let words: Vec<_> = threads.into_iter().chain(options.append.clone()).collect();
    words.join(" ")
}

/// The main job: boot, follow, report. Returns the exit status and what was said.
fn boot(
    options: &Options,
    tools: &Examination,
    elf: PathBuf,
    onlooker: Onlooker,
    interrupt: &AtomicBool,
) -> Result<(u8, Run), Failure> {
    if !elf.is_file() {
        return Err(Failure::usage(format!("--kernel {}: no such file", elf.display())));
    }
    let qemu = tools.qemu.clone().expect("QEMU was wanted, so it is there");
    let machine = machine(options, qemu, elf)?;
    announce(&machine, options);
    let limits = limits(options, onlooker);
    let run = match onlooker {
        Onlooker::Reads => {
            let mut show = Show::new(options.quiet);
            run::run(&machine, limits, interrupt, &mut |line| show.line(line))?
        }
        Onlooker::Types => {
            let raw = shell::RawMode::enter(std::io::stdin());
            if raw.is_some() {
                eprintln!("{}", shell::WAY_OUT);
            }
            // Until the guest has ended, however that comes about; then the terminal is the user's again.
            run::converse(&machine, limits, interrupt, shell::console())?
        }
    };
    let symbols = Symbols::load(&machine.kernel).inspect_err(|why| eprintln!("warning: {why}")).ok();
    let report = Report::new(&run, &machine, report::host_cores(), symbols.as_ref());
    let paths = paths(options);
    let text = match onlooker {
        Onlooker::Reads => report::render(&report, std::io::stdout().is_terminal()),
        Onlooker::Types => report::render_ending(&report),
    };
    say(&format!("\n{text}\n"));
    let plots = report::write(&paths, &report, &run)?;
    say(&format!("report: {}", paths.json.display()));
    plots.iter().for_each(|plot| say(&format!("plot: {}", plot.display())));
    let status = match run.ending {
        Ending::Interrupted => INTERRUPTED,
        _ => report.status,
    };
    Ok((status, run))
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

fn limits(options: &Options, onlooker: Onlooker) -> Limits {
    let none = Limits { total: None, silence: None };
    // Whoever types may think first.
    let default = if onlooker == Onlooker::Types { none } else { Limits::default() };
    match (options.gdb, options.timeout) {
        (true, _) => none,
        (false, Some(seconds)) => Limits { total: Some(Duration::from_secs(seconds)), ..default },
        (false, None) => default,
    }
}

fn output_directory() -> PathBuf {
    kernel::workspace().join("ktask-out")
}

fn paths(options: &Options) -> Paths {
    Paths::new(&output_directory(), options.json.as_deref(), options.serial.as_deref())
}

/// The kernel's log as it comes: all of it, or at a terminal just the latest line.
struct Show {
    bar: Option<ProgressBar>,
    quiet: bool,
}

impl Show {
    fn new(quiet: bool) -> Self {
        let bar = (quiet && std::io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template("{spinner} running ({elapsed}) {wide_msg}")
                .expect("the template is constant and valid");
            let bar = ProgressBar::new_spinner().with_style(style);
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { bar, quiet }
    }

    fn line(&mut self, line: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(line.to_string()),
            None if self.quiet => {}
            None => say(line),
        }
    }
}

impl Drop for Show {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What the tests in `tests/` boot: the kernel in `profile`, built if need be, and the emulator.
///
/// # Errors
///
/// When something is missing or the kernel does not build.
pub fn prepare(system: &impl System, profile: Profile) -> Result<(PathBuf, Program), Failure> {
    let tools = doctor::provide(system, None, Consent::ByRule, &What::ALL)?;
    let elf = build(&tools, profile)?;
    Ok((elf, tools.qemu.expect("QEMU was wanted, so it is there")))
}

#[cfg(test)]
mod tests;
