//! The command line: what can be asked for, and a clear line for what cannot.

use crate::failure::Failure;
use crate::kernel::Profile;
use crate::list::{CPUS_MAX, ThreadCounts};
use crate::size::Size;
use clap::error::ErrorKind;
use clap::{Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// Builds the ktask kernel, boots it in QEMU and reports what its jobs took on 1 to N threads.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "ktask",
    bin_name = "cargo run --",
    version,
    args_conflicts_with_subcommands = false,
    after_help = "Options come before the command. Without a command: build, boot, time the jobs, report.\n\
        Exit status: 0 pass, 1 failed, 2 usage or something missing, 3 panic, 4 hang, 5 QEMU failed."
)]
pub struct Cli {
    /// The machine, the run and the report.
    #[command(flatten)]
    pub options: Options,
    /// What to do instead of the main job.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do instead of the main job.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Build the kernel; the last line of standard output is the path of its ELF file
    Build,
    /// Lint the kernel with its own compiler's clippy; warnings are errors
    Clippy,
    /// Boot the kernel and run its benchmarks, all or those whose name contains SUITE
    Bench {
        /// A part of a benchmark's name, as in sched
        #[arg(value_parser = bench_name)]
        suite: Option<String>,
    },
    /// Boot the kernel to its shell, on this terminal or a pipe; Ctrl-A x leaves at once
    Shell,
    /// Boot the kernel with tracing on, and write what every CPU did as a file for Perfetto or chrome://tracing
    Trace {
        /// Where it goes [default: ktask-out/trace.json]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Boot nothing: take the records of an earlier run
        #[arg(long, value_name = "RECORDS")]
        from: Option<PathBuf>,
    },
    /// Show what is needed, what is there, and what would be installed and how
    Doctor {
        /// Install what is missing
        #[arg(long)]
        install: bool,
    },
}

/// The machine, the run and the report.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Virtual CPUs, 1 to 512 [default: as many as the host has]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(CPUS_MAX)))]
    pub smp: Option<u32>,
    /// Memory, with K, M, G or T
    #[arg(long, value_name = "SIZE", value_parser = memory, default_value = "1G")]
    pub memory: Size,
    /// Memory nodes; CPUs and memory are dealt out evenly
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64), default_value_t = 1)]
    pub numa: u32,
    /// What runs the guest's code; auto is KVM if it works, else TCG
    #[arg(long, value_enum, default_value_t = AccelChoice::Auto)]
    pub accel: AccelChoice,
    /// The QEMU to use [default: what KTASK_QEMU names, else qemu-system-x86_64 in PATH]
    #[arg(long, value_name = "PATH")]
    pub qemu: Option<PathBuf>,
    /// QEMU's CPU model, with flags if wanted [default: max, as an Intel one under TCG]
    #[arg(long, value_name = "MODEL")]
    pub cpu: Option<String>,
    /// The way into the kernel
    #[arg(long, value_enum, default_value_t = BootChoice::Pvh)]
    pub boot: BootChoice,
    /// More of the kernel's command line, as in "log.level=debug run=none"
    #[arg(long, value_name = "PARAMETERS", value_parser = parameters)]
    pub append: Option<String>,
    /// Thread counts to time the jobs on, as in 1,2,4 or 1-4
    #[arg(long, value_name = "LIST", value_parser = ThreadCounts::parse)]
    pub threads: Option<ThreadCounts>,
    /// Where the report goes [default: ktask-out/report.json]
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Where a copy of the serial log goes [default: ktask-out/serial.log]
    #[arg(long, value_name = "FILE")]
    pub serial: Option<PathBuf>,
    /// The longest that the kernel may run
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub timeout: Option<u64>,
    /// Wait for a debugger on TCP port 1234 before the first instruction; no timeouts
    #[arg(long)]
    pub gdb: bool,
    /// Leave the kernel's log out; show only the report
    #[arg(long)]
    pub quiet: bool,
    /// One more argument for QEMU; may be given again
    #[arg(long = "qemu-arg", value_name = "ARG", allow_hyphen_values = true)]
    pub qemu_args: Vec<String>,
    /// How the kernel is built
    #[arg(long, value_enum, default_value_t = Profile::Kernel)]
    pub profile: Profile,
    /// Boot this ELF file and build nothing
    #[arg(long, value_name = "ELF", conflicts_with = "profile")]
    pub kernel: Option<PathBuf>,
    /// Install what is missing without asking
    #[arg(long)]
    pub yes: bool,
    /// Show the QEMU command line and stop
    #[arg(long)]
    pub print: bool,
}

/// What runs the guest's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AccelChoice {
    /// KVM if it works, else TCG.
    Auto,
    /// The processor itself.
    Kvm,
    /// QEMU's translator, one host thread per virtual CPU.
    Tcg,
}

/// The way into the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BootChoice {
    /// QEMU loads the ELF file itself and enters it by its PVH note.
    Pvh,
}

/// What parsing the command line can end in, other than a command line.
#[derive(Debug)]
pub enum Stop {
    /// Help or the version was asked for: clap prints it; exit with 0.
    Show(clap::Error),
    /// It makes no sense.
    Failure(Failure),
}

/// Reads the command line; the first of `arguments` is the program's name.
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

/// Puts what clap says in several lines, up to its usage text, into one.
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

/// What no option can judge by itself.
fn check(options: &Options) -> Result<(), String> {
    if let (Some(threads), Some(smp)) = (&options.threads, options.smp)
        && threads.max() > smp
    {
        return Err(format!("--threads {threads} asks for more threads than --smp {smp} has CPUs"));
    }
    if options.memory.mib() < u64::from(options.numa) * MEMORY_MIN.mib() {
        return Err(format!(
            "--memory {} is too little for --numa {}: each node needs at least {MEMORY_MIN}",
            options.memory, options.numa
        ));
    }
    Ok(())
}

/// What the smallest machine that the kernel boots on has.
const MEMORY_MIN: Size = Size::from_mib(16);

/// As much as physical addresses of 46 bits reach.
const MEMORY_MAX: Size = Size { bytes: 64 << 40 };

fn memory(text: &str) -> Result<Size, String> {
    let size = Size::parse(text)?;
    if size < MEMORY_MIN || size > MEMORY_MAX {
        return Err(format!("{text} is out of range; {MEMORY_MIN} to {MEMORY_MAX} are possible"));
    }
    if !size.bytes.is_multiple_of(1 << 20) {
        return Err(format!("{text} is not a whole number of MiB"));
    }
    Ok(size)
}

/// A part of a benchmark's name: what the kernel's parameter `run` can hold after `bench:`.
fn bench_name(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.len() <= 100 && text.chars().all(|c| c.is_ascii_graphic());
    if fits {
        Ok(text.to_string())
    } else {
        Err("a benchmark's name is 1 to 100 printable characters".into())
    }
}

/// Words of the kernel's command line. The kernel judges names and values; here only what could not reach it.
fn parameters(text: &str) -> Result<String, String> {
    if let Some(bad) = text.chars().find(|&c| c != ' ' && !c.is_ascii_graphic()) {
        return Err(format!("{bad:?} cannot stand in a kernel command line; only printable ASCII can"));
    }
    if let Some(word) = text.split(' ').find(|word| !word.is_empty() && !word.contains('=')) {
        return Err(format!("'{word}' is not of the form name=value"));
    }
    Ok(text.to_string())
}

#[cfg(test)]
mod tests;
