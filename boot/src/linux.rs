//! Debian's Linux in the machine of the ktask kernel, with the same jobs: what `compare linux` measures.
//!
//! Linux's kernel comes from the system's packages. It is downloaded, not installed. Its first program is `linux-init`, which the
//! kernel's toolchain builds; it reports by the records of the ktask kernel.

mod archive;
mod log;
mod package;

pub use package::{find, unpacked};

use crate::failure::Failure;
use crate::kernel;
use crate::qemu::{Boot, Machine};
use crate::report::{Paths, Phase, Report, host_cores, write};
use crate::run::{Ending, Follower, Limits, Run, run_followed};
use crate::size::Size;
use crate::toolchain::Toolchain;
use log::Log;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// The files of a Linux guest.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Linux's kernel.
    pub kernel: PathBuf,
    /// The archive with the first program.
    pub archive: PathBuf,
}

impl Guest {
    /// Returns the files as they are where they exist: the `named` kernel, or the one that was unpacked.
    pub fn at(named: Option<&Path>) -> Self {
        let folder = package::folder();
        let kernel = named.map_or_else(|| folder.join(package::KERNEL), Path::to_path_buf);
        Self { kernel, archive: folder.join("init.cpio") }
    }
}

/// How much both kernels have to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Memory that each job works on.
    pub bytes: u64,
    /// Runs of each job; the one of median time counts.
    pub repeat: u32,
}

/// A measured Linux.
#[derive(Debug)]
pub struct Measured {
    /// Its version.
    pub version: String,
    /// Its report.
    pub report: Report,
}

/// Runs of each job. Linux's rows are not measured on several numbers of threads, so more runs take no more time than ktask's.
const REPEAT: u32 = 5;

impl Work {
    /// Returns the work for a machine of so much memory: 1 GiB where two thirds of the memory stay free, else less.
    pub fn on(memory: Size) -> Self {
        let third = memory.bytes / 3;
        let bytes = (1_u64 << 30).min(1 << third.max(1).ilog2()).max(2 << 20);
        Self { bytes, repeat: REPEAT }
    }

    /// Returns the ktask kernel's parameters for the work.
    pub fn parameters(self) -> String {
        let mib = self.bytes >> 20;
        format!("timing.bytes={mib}M timing.untouched_bytes={mib}M timing.repeat={}", self.repeat)
    }
}

/// Builds the first program with `toolchain` and packs it for the guest.
///
/// # Errors
///
/// When it does not build, or a file cannot be written.
pub fn prepare(toolchain: &Toolchain, kernel: PathBuf) -> Result<Guest, Failure> {
    let program = kernel::build_linux_init(toolchain)?;
    let guest = Guest { kernel, ..Guest::at(None) };
    let cannot = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| Failure::failed(format!("cannot write {path}: {error}"))
    };
    std::fs::create_dir_all(package::folder()).map_err(cannot(&package::folder()))?;
    let program = std::fs::read(&program)
        .map_err(|error| Failure::failed(format!("cannot read {}: {error}", program.display())))?;
    let packed = archive::of("init", &program).map_err(cannot(&guest.archive))?;
    std::fs::write(&guest.archive, packed).map_err(cannot(&guest.archive))?;
    Ok(guest)
}

/// Returns the machine of the ktask kernel as a machine of Linux.
pub fn machine(like: &Machine, guest: &Guest, work: Work) -> Machine {
    let extra = like.extra.iter().cloned();
    let archive = ["-initrd".to_string(), guest.archive.to_string_lossy().into_owned()];
    Machine {
        kernel: guest.kernel.clone(),
        boot: Boot::Direct,
        // What follows the two dashes are the arguments of the first program.
        command_line: format!(
            "console=ttyS0 panic=-1 mitigations=off init_on_alloc=0 -- {} {}",
            work.bytes, work.repeat
        ),
        extra: extra.chain(archive).collect(),
        ..like.clone()
    }
}

/// Boots Linux and measures it; writes its log and report to `paths`.
///
/// # Errors
///
/// When QEMU cannot be started, or Linux does not answer: it ends or is silent before its first program has reported all.
pub fn measure(
    machine: &Machine,
    limits: Limits,
    paths: &Paths,
    interrupt: &AtomicBool,
    follower: &mut dyn Follower,
) -> Result<Measured, Failure> {
    let run = run_followed(machine, limits, interrupt, follower)?;
    let log = Log::parse(&run.log);
    let report = report(&run, &log, machine);
    write(paths, &report, &run)?;
    judge(&run, &log, paths)?;
    Ok(Measured { version: log.version.unwrap_or_else(|| "of unknown version".into()), report })
}

fn report(run: &Run, log: &Log, machine: &Machine) -> Report {
    let mut report = Report::new(run, machine, host_cores(), None);
    if let Some((ns, end_ns)) = log.memory_map_init {
        report.phases.push(Phase { name: "memory-map-init".into(), ns, end_ns });
    }
    if log.cpus.is_some_and(|cpus| cpus != machine.cpus) {
        let cpus = log.cpus.unwrap_or(0);
        report.warnings.push(format!("linux uses {cpus} of {} CPUs", machine.cpus));
    }
    report
}

/// Returns whether Linux has answered.
fn judge(run: &Run, log: &Log, paths: &Paths) -> Result<(), Failure> {
    let why = match (&run.ending, &log.panic) {
        (Ending::Verdict(protocol::exit::Verdict::Pass), _) => return Ok(()),
        (_, Some(panic)) => panic.clone(),
        (ending, None) => ending.describe(),
    };
    Err(Failure::usage(format!("linux did not answer: {why}; its log is {}", paths.serial.display())))
}

#[cfg(test)]
mod tests;
