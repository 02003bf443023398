//! What each command does.

use crate::cli::{Cli, Command, Options};
use crate::doctor::{self, Consent, Examination, What};
use crate::failure::Failure;
use crate::kernel::{self, Profile};
use crate::qemu::{self, Accel, Machine};
use crate::report::{self, Paths, Report};
use crate::run::{self, Ending, Limits};
use crate::symbols::Symbols;
use crate::system::System;
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
    let consent = if options.yes { Consent::Given } else { Consent::ByRule };
    match &cli.command {
        Some(Command::Doctor { install }) => {
            if *install {
                doctor::provide(system, Consent::Given, &What::ALL)?;
            }
            say(&doctor::render(system, &doctor::examine(system)?));
            Ok(0)
        }
        Some(Command::Build) => {
            let tools = doctor::provide(system, consent, &[What::Toolchain, What::Linker])?;
            say(&build(&tools, options.profile)?.display().to_string());
            Ok(0)
        }
        Some(Command::Clippy) => {
            let tools = doctor::provide(system, consent, &[What::Toolchain, What::Linker, What::Clippy])?;
            let toolchain = tools.toolchain.as_ref().expect("a toolchain was wanted, so it is there");
            let clippy = toolchain.clippy(system).expect("clippy was wanted, so it is there");
            kernel::lint(toolchain, &clippy, options.profile).map(|()| 0)
        }
        Some(Command::Bench { suite }) => {
            let what = suite.as_ref().map_or("bench".into(), |suite| format!("bench:{suite}"));
            let words = [options.append.clone().unwrap_or_default(), format!("run={what}")];
            let options = Options { append: Some(words.join(" ").trim().into()), ..options.clone() };
            execute(&Cli { options, command: None }, system, interrupt)
        }
        None if options.print => {
            let qemu = doctor::examine(system)?.qemu;
            say(&machine(options, qemu.unwrap_or_else(|| doctor::QEMU.into()), kernel_path(options))?
                .shell_line());
            Ok(0)
        }
        None => {
            let wanted: &[What] = if options.kernel.is_some() { &[What::Qemu] } else { &What::ALL };
            let tools = doctor::provide(system, consent, wanted)?;
            let elf = match &options.kernel {
                Some(elf) => elf.clone(),
                None => build(&tools, options.profile)?,
            };
            boot(options, &tools, elf, interrupt)
        }
    }
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
fn machine(options: &Options, qemu: PathBuf, kernel: PathBuf) -> Result<Machine, Failure> {
    let cpus = options.smp.unwrap_or_else(|| report::host_cores().clamp(1, crate::list::CPUS_MAX));
    if let Some(threads) = options.threads.as_ref().filter(|threads| threads.max() > cpus) {
        return Err(Failure::usage(format!(
            "--threads {threads} asks for more threads than the {cpus} CPUs that --smp defaults to here"
        )));
    }
    let accel = qemu::choose(options.accel, &qemu, options.cpu.as_deref())?;
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
        extra: options.qemu_args.clone(),
    })
}

/// The kernel's command line: what options stand for first, so that `--append` can override it.
fn command_line(options: &Options) -> String {
    let threads = options.threads.as_ref().map(|threads| format!("timing.threads={threads}"));
    let words: Vec<_> = threads.into_iter().chain(options.append.clone()).collect();
    words.join(" ")
}

/// The main job: boot, follow, report.
fn boot(options: &Options, tools: &Examination, elf: PathBuf, interrupt: &AtomicBool) -> Result<u8, Failure> {
    if !elf.is_file() {
        return Err(Failure::usage(format!("--kernel {}: no such file", elf.display())));
    }
    let qemu = tools.qemu.clone().expect("QEMU was wanted, so it is there");
    let machine = machine(options, qemu, elf)?;
    announce(&machine, options);
    let run = {
        let mut show = Show::new(options.quiet);
        run::run(&machine, limits(options), interrupt, &mut |line| show.line(line))?
    };
    let symbols = Symbols::load(&machine.kernel).inspect_err(|why| eprintln!("warning: {why}")).ok();
    let report = Report::new(&run, &machine, report::host_cores(), symbols.as_ref());
    let paths = paths(options);
    say(&format!("\n{}\n", report::render(&report, std::io::stdout().is_terminal())));
    report::write(&paths, &report, &run)?;
    say(&format!("report: {}", paths.json.display()));
    match run.ending {
        Ending::Interrupted => Ok(INTERRUPTED),
        _ => Ok(report.status),
    }
}

fn announce(machine: &Machine, options: &Options) {
    eprintln!("$ {}", machine.shell_line());
    if machine.accel == Accel::Tcg && options.accel == crate::cli::AccelChoice::Auto {
        eprintln!("KVM does not run a guest here; QEMU translates the guest's code");
    }
    if options.gdb {
        eprintln!("waiting for a debugger: gdb {} -ex 'target remote :1234'", machine.kernel.display());
    }
}

fn limits(options: &Options) -> Limits {
    let default = Limits::default();
    match (options.gdb, options.timeout) {
        (true, _) => Limits { total: None, silence: None },
        (false, Some(seconds)) => Limits { total: Some(Duration::from_secs(seconds)), ..default },
        (false, None) => default,
    }
}

fn paths(options: &Options) -> Paths {
    let directory = kernel::workspace().join("ktask-out");
    Paths::new(&directory, options.json.as_deref(), options.serial.as_deref())
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
pub fn prepare(system: &impl System, profile: Profile) -> Result<(PathBuf, PathBuf), Failure> {
    let tools = doctor::provide(system, Consent::ByRule, &What::ALL)?;
    let elf = build(&tools, profile)?;
    let qemu: &Path = tools.qemu.as_deref().expect("QEMU was wanted, so it is there");
    Ok((elf, qemu.to_path_buf()))
}

#[cfg(test)]
mod tests;
