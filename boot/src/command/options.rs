//! What the commands have in common: the machine, the kernel, the limits and the files that the options describe.

use crate::cli::{AccelChoice, Options};
use crate::doctor::{Consent, Examination};
use crate::failure::Failure;
use crate::guest_memory;
use crate::kernel::{self, Profile};
use crate::qemu::{self, Boot, Machine, Program};
use crate::report::{self, Paths};
use crate::run::Limits;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// The user's part in a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum User {
    /// Reads the log and the report.
    Reads,
    /// Talks with the shell.
    Types,
}

/// Returns the options with `run=what` on the kernel's command line.
pub(super) fn and_run(options: &Options, what: &str) -> Options {
    let words = [options.append.clone().unwrap_or_default(), format!("run={what}")];
    Options { append: Some(words.join(" ").trim().into()), ..options.clone() }
}

/// Returns the kernel that the options name, else builds one.
pub(super) fn kernel_file(options: &Options, tools: &Examination) -> Result<PathBuf, Failure> {
    match &options.kernel {
        Some(elf) if elf.is_file() => Ok(elf.clone()),
        Some(elf) => Err(Failure::usage(format!("--kernel {}: no such file", elf.display()))),
        None => build(tools, options.profile),
    }
}

/// Returns whether packages may be installed without asking.
pub(super) fn consent(options: &Options) -> Consent {
    if options.yes { Consent::Given } else { Consent::ByRule }
}

/// Prints text to standard output. A closed pipe there is no reason to panic.
pub(super) fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

pub(super) fn build(tools: &Examination, profile: Profile) -> Result<PathBuf, Failure> {
    kernel::build(tools.toolchain.as_ref().expect("a toolchain was wanted, so it is there"), profile)
}

pub(super) fn kernel_path(options: &Options) -> PathBuf {
    options.kernel.clone().unwrap_or_else(|| kernel::elf_path(options.profile))
}

/// Returns the machine that the options describe.
pub(super) fn machine(
    options: &Options,
    qemu: Program,
    kernel: PathBuf,
    boot: Boot,
) -> Result<Machine, Failure> {
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
        boot,
        cpus,
        memory: options.memory.unwrap_or_else(guest_memory::default_size),
        nodes: options.numa,
        accel,
        cpu_model: options.cpu.clone(),
        command_line: command_line(options),
        debugger: options.gdb,
        exit_device: true,
        extra: options.qemu_args.clone(),
    })
}

/// Returns the accelerator to choose from: only the translator counts instructions.
pub(super) fn accel_choice(options: &Options) -> Result<AccelChoice, Failure> {
    let counts = options.qemu_args.iter().any(|argument| argument == "-icount");
    match options.accel {
        AccelChoice::Kvm if counts => {
            Err(Failure::usage("--accel kvm cannot count instructions; -icount needs --accel tcg"))
        }
        AccelChoice::Auto if counts => Ok(AccelChoice::Tcg),
        choice => Ok(choice),
    }
}

/// Returns the kernel's command line. `--append` comes last, so that it overrides the other options.
pub(super) fn command_line(options: &Options) -> String {
    let threads = options.threads.as_ref().map(|threads| format!("timing.threads={threads}"));
    let words: Vec<_> = threads.into_iter().chain(options.append.clone()).collect();
    words.join(" ")
}

pub(super) fn limits(options: &Options, onlooker: User) -> Limits {
    let none = Limits { total: None, silence: None };
    // A user at the shell may pause.
    let default = if onlooker == User::Types { none } else { Limits::default() };
    match (options.gdb, options.timeout) {
        (true, _) => none,
        (false, Some(seconds)) => Limits { total: Some(Duration::from_secs(seconds)), ..default },
        (false, None) => default,
    }
}

pub(super) fn output_directory() -> PathBuf {
    kernel::workspace().join("ktask-out")
}

pub(super) fn paths(options: &Options) -> Paths {
    Paths::new(&output_directory(), options.json.as_deref(), options.serial.as_deref())
}

#[cfg(test)]
mod tests;
