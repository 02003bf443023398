//! The report of a run, as a value.

use super::jobs::{JobRow, auto_rows, rows};
use crate::qemu::Machine;
use crate::run::{Ending, Run};
use crate::symbols::Symbols;
use protocol::record::Record;
use serde::{Deserialize, Serialize};

/// Version of the report file's format. It increases if a field is removed or changes its meaning, not if one is added.
pub(super) const FORMAT: u32 = 1;

/// The report of a run. Its serialised form is the report file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Version of the format.
    pub format: u32,
    /// The exit status of the host command: 0 pass, 1 fail, 3 panic, 4 hang, 5 QEMU failed.
    pub status: u8,
    /// How the run ended, in words.
    pub ending: String,
    /// The emulated machine.
    pub machine: MachineFacts,
    /// Times by the host's clock.
    pub host: HostFacts,
    /// The kernel's description of itself and its machine.
    pub boot: Option<Record<String>>,
    /// Phases of the boot and their durations.
    pub phases: Vec<Phase>,
    /// The timed jobs: one row per job and thread count.
    pub jobs: Vec<JobRow>,
    /// The timed jobs on as many threads as help: one row per job.
    #[serde(default)]
    pub jobs_auto: Vec<JobRow>,
    /// Methods to clear memory, and the chosen one.
    pub zero_methods: Vec<ZeroMethod>,
    /// Warnings: the kernel's, then the host command's.
    pub warnings: Vec<String>,
    /// A panic or fault, and after a hang the state of every CPU.
    pub trouble: Vec<String>,
    /// Remarks on how to read the numbers.
    pub notes: Vec<String>,
}

/// The emulated machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MachineFacts {
    /// The whole command, quoted for a shell.
    pub command: String,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory.
    pub memory_bytes: u64,
    /// Memory nodes.
    pub nodes: u32,
    /// `kvm` or `tcg`.
    pub accel: String,
    /// The CPU model.
    pub cpu_model: String,
    /// Version of QEMU; empty if it is unknown.
    #[serde(default)]
    pub qemu: String,
}

/// Times by the host's clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostFacts {
    /// CPUs of the host that this process may use.
    pub cores: u32,
    /// From QEMU's start to the kernel's first line.
    pub first_line_ns: Option<u64>,
    /// From QEMU's start to its end.
    pub total_ns: u64,
}

/// A phase of the boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name; `a/b` is nested in `a`.
    pub name: String,
    /// Its duration.
    pub ns: u64,
    /// Its end, from the kernel's entry on.
    #[serde(default)]
    pub end_ns: u64,
}

/// A method to clear memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZeroMethod {
    /// Its name.
    pub method: String,
    /// Its speed on one CPU, the best of several rounds.
    pub bytes_per_s: u64,
    /// Whether the kernel uses it.
    pub chosen: bool,
}

impl Report {
    /// Returns whether the machine has several memory nodes: with one, every chunk is local.
    pub fn has_nodes(&self) -> bool {
        match &self.boot {
            Some(Record::Boot { nodes, .. }) => *nodes > 1,
            _ => self.machine.nodes > 1,
        }
    }

    /// Returns the rows of one job's work, by their threads: exact counts, then as many as help.
    pub fn rows_like<'a>(&'a self, row: &'a JobRow) -> impl Iterator<Item = &'a JobRow> {
        self.jobs.iter().chain(&self.jobs_auto).filter(|other| row.is_same_work(other))
    }
}

/// Returns the number of the host's CPUs that this process may use.
pub fn host_cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}

impl Report {
    /// Summarises a run.
    pub fn new(run: &Run, machine: &Machine, cores: u32, symbols: Option<&Symbols>) -> Self {
        let ns = |duration: std::time::Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let jobs = rows(&run.records);
        let mut report = Self {
            format: FORMAT,
            status: run.ending.status().code(),
            ending: run.ending.describe(),
            machine: MachineFacts {
                command: machine.shell_line(),
                cpus: machine.cpus,
                memory_bytes: machine.memory.bytes,
                nodes: machine.nodes,
                accel: machine.accel.name().into(),
                cpu_model: machine.cpu().into(),
                qemu: machine.qemu.version.clone(),
            },
            host: HostFacts { cores, first_line_ns: run.first_line.map(ns), total_ns: ns(run.total) },
            boot: run.records.iter().find(|record| matches!(record, Record::Boot { .. })).cloned(),
            phases: Vec::new(),
            jobs_auto: auto_rows(&run.records, &jobs),
            jobs,
            zero_methods: Vec::new(),
            warnings: Vec::new(),
            trouble: Vec::new(),
            notes: Vec::new(),
        };
        for record in &run.records {
            report.take(record, symbols);
        }
        if let Ending::Hang(hang) = &run.ending {
            report.trouble.extend(hang.lines(symbols));
        }
        report.warnings.extend(run.damaged.iter().map(|why| format!("record port: {why}")));
        report.warnings.extend(run.messages.lines().map(|line| format!("QEMU: {line}")));
        report.notes = report.notes();
        report
    }

    fn take(&mut self, record: &Record<String>, symbols: Option<&Symbols>) {
        match record {
            Record::Phase { name, ns, t_ns } => {
                self.phases.push(Phase { name: name.clone(), ns: *ns, end_ns: *t_ns });
            }
            Record::ZeroMethod { method, bytes_per_s, chosen, .. } => self.zero_methods.push(ZeroMethod {
                method: method.clone(),
                bytes_per_s: *bytes_per_s,
                chosen: *chosen,
            }),
            Record::Warning { what, .. } => self.warnings.push(what.clone()),
            Record::Panic { cpu, thread, message, location, backtrace, .. } => {
                self.stopped("panic", *cpu, thread, message, location);
                self.trouble.extend(trace(symbols, backtrace.as_slice(), false));
            }
            Record::Fault { cpu, thread, message, location, backtrace, .. } => {
                self.stopped("fault", *cpu, thread, message, location);
                self.trouble.extend(trace(symbols, backtrace.as_slice(), true));
            }
            Record::End { reason, .. } if !reason.is_empty() => self.ending += &format!(": {reason}"),
            Record::End { .. }
            | Record::Boot { .. }
            | Record::Job(_)
            | Record::JobAuto(_)
            | Record::JobNode { .. }
            | Record::Bench { .. }
            | Record::Progress { .. }
            | Record::Thread { .. }
            | Record::Cpu { .. }
            | Record::Command { .. }
            | Record::TraceName { .. }
            | Record::Trace { .. } => {}
        }
    }

    fn stopped(&mut self, what: &str, cpu: u32, thread: &str, message: &str, location: &str) {
        let place = if location.is_empty() { String::new() } else { format!(", at {location}") };
        self.trouble.push(format!("{what} on cpu {cpu} in thread {thread}: {message}{place}"));
    }

    /// Remarks on how to read the numbers.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let (cpus, cores) = (self.machine.cpus, self.host.cores);
        if self.jobs.is_empty() {
            return notes;
        }
        if cpus > cores {
            notes.push(format!(
                "{cpus} virtual CPUs share {cores} of the host: more than {cores} threads cannot be faster here"
            ));
        }
        if self.jobs.iter().all(|row| row.threads == 1) {
            notes.push("one thread only: there is no speedup to show".into());
        }
        if self.machine.accel == "tcg" {
            notes.push(
                "QEMU translates the guest's code: times compare with each other, not with hardware".into(),
            );
        }
        notes
    }
}

/// Returns a backtrace by name, or as bare addresses without symbols.
fn trace(symbols: Option<&Symbols>, addresses: &[u64], first_is_exact: bool) -> Vec<String> {
    match symbols {
        Some(symbols) => symbols.backtrace(addresses, first_is_exact),
        None => addresses.iter().map(|address| format!("{address:#018x} ?")).collect(),
    }
}
