//! The command line: its options and commands, and one clear line for each error.

use crate::failure::Failure;
use crate::image::Kind;
use crate::kernel::Profile;
use crate::list::{CPUS_MAX, ThreadCounts};
use crate::size::Size;
use clap::error::ErrorKind;
use clap::{Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Builds the ktask kernel, boots it in QEMU and reports the times of its jobs on 1 to N threads.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "ktask",
    bin_name = "cargo run --",
    version,
    args_conflicts_with_subcommands = false,
    after_help = "Options come before the command. Without a command: build, boot, time the jobs, report.\n\
        Exit status: 0 pass, 1 failed, 2 usage or missing prerequisite, 3 panic, 4 hang, 5 QEMU failed."
)]
pub struct Cli {
    /// The machine, the run and the report.
    #[command(flatten)]
    pub options: Options,
    /// Command to execute instead of the main job.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Commands other than the main job.
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum Command {
    /// Build the kernel; the last line of standard output is the path of its ELF file
    Build,
    /// Lint the kernel with its own compiler's clippy; warnings are errors
    Clippy,
    /// Boot the kernel and run its benchmarks, or only those with SUITE in their name
    Bench {
        /// Part of a benchmark's name, such as sched
        #[arg(value_parser = bench_name)]
        suite: Option<String>,
    },
    /// Boot the kernel to its shell, on this terminal or a pipe; Ctrl-A x quits
    Shell,
    /// Boot the kernel with tracing on, and write the trace as a file for Perfetto or chrome://tracing
    Trace {
        /// File for the trace [default: ktask-out/trace.json]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Convert the records of an earlier run instead of booting
        #[arg(long, value_name = "RECORDS")]
        from: Option<PathBuf>,
    },
    /// Simulate a job on a described machine: times by threads, and what the governor does
    Sim {
        /// Description of machine and job in TOML, such as boot/machines/two-sockets.toml
        #[arg(value_name = "MACHINE.toml")]
        machine: PathBuf,
        /// File for the plot [default: ktask-out/sim-MACHINE.svg]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Show runs side by side, as a table and a page; `compare linux` measures Linux and this kernel in one machine
    Compare {
        /// Report files of two runs or more; ratios are to the first. Or the word linux
        #[arg(value_name = "REPORT.json", required = true)]
        reports: Vec<PathBuf>,
        /// Linux's kernel for `compare linux` [default: Debian's, downloaded to target/linux]
        #[arg(long, value_name = "FILE")]
        linux: Option<PathBuf>,
        /// Exit with status 1 if a ratio is below this, a result is wrong, or a run did not pass
        #[arg(long, value_name = "RATIO", value_parser = ratio, allow_negative_numbers = true)]
        fail_below: Option<f64>,
        /// File for the page [default: ktask-out/compare.html]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Write an image that starts the kernel on real machines; the last line of standard output is its path
    Image {
        /// Kind of image
        #[arg(long, value_enum, default_value_t = Kind::Uefi)]
        kind: Kind,
        /// Text to append to the kernel's command line in the image
        #[arg(long, value_name = "PARAMETERS", value_parser = parameters)]
        append: Option<String>,
        /// File for the image [default: ktask-out/ktask-uefi.img or ktask-out/ktask.iso]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Show the prerequisites, which of them are present, and how to install the others
    Doctor {
        /// Install the missing ones that the main job needs
        #[arg(long)]
        install: bool,
        /// Install the optional ones too
        #[arg(long, requires = "install")]
        optional: bool,
    },
}

/// The machine, the run and the report.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Virtual CPUs, 1 to 512 [default: as many as the host has]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(CPUS_MAX)))]
    pub smp: Option<u32>,
    /// Memory, with K, M, G or T [default: 4G where the host has it available, else 1G]
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    pub memory: Option<Size>,
    /// Memory nodes; CPUs and memory are divided evenly among them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64), default_value_t = 1)]
    pub numa: u32,
    /// Accelerator; auto is KVM if it works, else TCG
    #[arg(long, value_enum, default_value_t = AccelChoice::Auto)]
    pub accel: AccelChoice,
    /// QEMU program [default: $KTASK_QEMU, else qemu-system-x86_64 in PATH]
    #[arg(long, value_name = "PATH")]
    pub qemu: Option<PathBuf>,
    /// QEMU's CPU model, optionally with flags [default: max; under TCG with Intel's vendor name]
    #[arg(long, value_name = "MODEL")]
    pub cpu: Option<String>,
    /// Way to the kernel
    #[arg(long, value_enum, default_value_t = BootChoice::Pvh)]
    pub boot: BootChoice,
    /// Text to append to the kernel's command line, such as "log.level=debug run=none"
    #[arg(long, value_name = "PARAMETERS", value_parser = parameters)]
    pub append: Option<String>,
    /// Thread counts on which to time the jobs, such as 1,2,4 or 1-4
    #[arg(long, value_name = "LIST", value_parser = ThreadCounts::parse)]
    pub threads: Option<ThreadCounts>,
    /// File for the report [default: ktask-out/report.json]
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// File for a copy of the serial log [default: ktask-out/serial.log]
    #[arg(long, value_name = "FILE")]
    pub serial: Option<PathBuf>,
    /// Longest time that the kernel may run
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub timeout: Option<u64>,
    /// Wait for a debugger on TCP port 1234 before the first instruction; no timeouts
    #[arg(long)]
    pub gdb: bool,
    /// Show only the report, without the kernel's log
    #[arg(long)]
    pub quiet: bool,
    /// Open the report in the browser when the run has ended
    #[arg(long)]
    pub open: bool,
    /// Additional argument for QEMU; may be repeated
    #[arg(long = "qemu-arg", value_name = "ARG", allow_hyphen_values = true)]
    pub qemu_args: Vec<String>,
    /// Build profile of the kernel
    #[arg(long, value_enum, default_value_t = Profile::Kernel)]
    pub profile: Profile,
    /// Boot this ELF file instead of building the kernel
    #[arg(long, value_name = "ELF", conflicts_with = "profile")]
    pub kernel: Option<PathBuf>,
    /// Install missing prerequisites without asking
    #[arg(long)]
    pub yes: bool,
    /// Print the QEMU command line and stop
    #[arg(long)]
    pub print: bool,
}

/// The accelerator that the user chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AccelChoice {
    /// KVM if it works, else TCG.
    Auto,
    /// The host's processor.
    Kvm,
    /// QEMU's translator, with one host thread per virtual CPU.
    Tcg,
}

/// The way to the kernel that the user chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BootChoice {
    /// QEMU loads the ELF file itself and enters it at its PVH note
    Pvh,
    /// BIOS starts GRUB from an ISO image
    Grub,
    /// UEFI firmware starts GRUB from an ISO image
    GrubUefi,
    /// UEFI firmware starts the loader of a UEFI image
    Uefi,
}

/// Reasons for which parsing returns no command line.
#[derive(Debug)]
pub enum Stop {
    /// The user requested help or the version: clap prints it; exit with 0.
    Show(clap::Error),
    /// The command line is wrong.
    Failure(Failure),
}

/// Parses the command line; the first of `arguments` is the program's name.
///
/// # Errors
///
/// [`Stop`], whose failures are one line each.
pub fn parse<I, T>(arguments: I) -> Result<Cli, Stop>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let cli = Cli::try_parse_from(arguments).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop::Show(error),
        _ => Stop::Failure(Failure::usage(one_line(&error.render().to_string()))),
    })?;
    check(&cli.options).map_err(|message| Stop::Failure(Failure::usage(message)))?;
    Ok(cli)
}

/// Joins the lines of clap's message, up to its usage text.
fn one_line(rendered: &str) -> String {
    let lines: Vec<_> = rendered
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .collect();
    let text = lines.join("; ");
    text.strip_prefix("error: ").unwrap_or(&text).to_string()
}

/// Checks conditions that involve more than one option.
fn check(options: &Options) -> Result<(), String> {
    if let (Some(threads), Some(smp)) = (&options.threads, options.smp)
        && threads.max() > smp
    {
        return Err(format!("--threads {threads} asks for more threads than --smp {smp} has CPUs"));
    }
    if let Some(memory) = options.memory
        && memory.mib() < u64::from(options.numa) * MEMORY_MIN.mib()
    {
        return Err(format!(
            "--memory {memory} is too little for --numa {}: each node needs at least {MEMORY_MIN}",
            options.numa
        ));
    }
    Ok(())
}

/// Memory of the smallest machine on which the kernel boots.
const MEMORY_MIN: Size = Size::from_mib(16);

/// Memory that physical addresses of 46 bits reach.
const MEMORY_MAX: Size = Size { bytes: 64 << 40 };

fn memory(text: &str) -> Result<Size, String> {
    let size = Size::parse(text)?;
    if size < MEMORY_MIN || size > MEMORY_MAX {
        return Err(format!("{text} is out of range; the range is {MEMORY_MIN} to {MEMORY_MAX}"));
    }
    if !size.bytes.is_multiple_of(1 << 20) {
        return Err(format!("{text} is not a whole number of MiB"));
    }
    Ok(size)
}

/// Ratios that `--fail-below` accepts.
const RATIOS: std::ops::RangeInclusive<f64> = 0.01..=100.0;

fn ratio(text: &str) -> Result<f64, String> {
    let range = format!("the range is {} to {}", RATIOS.start(), RATIOS.end());
    let value: f64 = text.parse().map_err(|_| format!("'{text}' is not a number; {range}"))?;
    if RATIOS.contains(&value) { Ok(value) } else { Err(format!("{text} is out of range; {range}")) }
}

/// Checks a part of a benchmark's name: it must fit the kernel's parameter `run`, after `bench:`.
fn bench_name(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.len() <= 100 && text.chars().all(|c| c.is_ascii_graphic());
    if fits {
        Ok(text.to_string())
    } else {
        Err("a benchmark's name is 1 to 100 printable characters".into())
    }
}

/// Checks text for the kernel's command line. The kernel judges names and values; this refuses text that could not reach it.
fn parameters(text: &str) -> Result<String, String> {
    if let Some(bad) = text.chars().find(|&c| c != ' ' && !c.is_ascii_graphic()) {
        return Err(format!("{bad:?} cannot be part of a kernel command line; only printable ASCII can"));
    }
    if let Some(word) = text.split(' ').find(|word| !word.is_empty() && !word.contains('=')) {
        return Err(format!("'{word}' is not of the form name=value"));
    }
    Ok(text.to_string())
}

#[cfg(test)]
mod tests;
