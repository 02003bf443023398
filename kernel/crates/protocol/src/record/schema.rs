//! Kinds of records and their fields.

use serde::Serialize;

use super::addresses::Addresses;

/// One record. `S` is `&str` in the kernel and `String` on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "std", derive(serde::Deserialize))]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record<S> {
    /// The machine as the kernel found it. Emitted once, when all CPUs that start are online.
    Boot {
        /// Nanoseconds since kernel entry.
        t_ns: u64,
        /// The kernel's version.
        version: S,
        /// Entry point.
        entry: Entry,
        /// CPUs that the firmware named.
        cpus_found: u32,
        /// CPUs that are online.
        cpus_online: u32,
        /// Memory nodes.
        nodes: u32,
        /// Usable memory in bytes.
        memory_bytes: u64,
        /// Rate of the time stamp counter in Hz, measured or announced.
        tsc_hz: u64,
        /// Mode of the local APICs: `xapic` or `x2apic`.
        #[serde(default)]
        apic: S,
        /// Mode of the local APIC timers: `tsc-deadline` or `one-shot`.
        #[serde(default)]
        timer: S,
        /// Source of the clock's rate: `cpuid-15`, `hypervisor`, `kvm-clock`, `pm-timer`, `hpet`, `pit`, `guess`.
        #[serde(default)]
        clock: S,
    },
    /// A phase of the boot.
    Phase {
        /// Nanoseconds since kernel entry, at the end of the phase.
        t_ns: u64,
        /// Name of the phase; `a/b` is a part of `a`.
        name: S,
        /// Duration.
        ns: u64,
    },
    /// One timed run of a job on a number of threads that was asked for.
    Job(JobRun<S>),
    /// One timed run of a job on as many threads as help, with the limits of a job at run time.
    JobAuto(JobRun<S>),
    /// Chunks of a job whose units are on one node. One for each such node follows the record of the run; jobs that name no
    /// nodes have none.
    JobNode {
        /// That of the run's record.
        t_ns: u64,
        /// The node.
        node: u32,
        /// Number of chunks.
        chunks: u64,
        /// Those that a thread of the node processed.
        local_chunks: u64,
    },
    /// Speed of one method of clearing memory on this machine.
    ZeroMethod {
        /// Nanoseconds since kernel entry.
        t_ns: u64,
        /// Instruction of the method: `movnti`, `rep-stosq`.
        method: S,
        /// Speed on one CPU.
        bytes_per_s: u64,
        /// Whether the kernel uses it from here on.
        chosen: bool,
    },
    /// One result of a benchmark.
    Bench {
        /// Nanoseconds since kernel entry.
        t_ns: u64,
        /// Name of the benchmark: `sched/switch/yield`.
        name: S,
        /// Value of what the benchmark varies or repeats.
        n: u64,
        /// What `n` counts: `runnable threads`, `rounds`.
        #[serde(default)]
        of: S,
        /// The result.
        value: u64,
        /// Unit of the result: `ticks` of the TSC, `ns`, `permille`.
        unit: S,
    },
    /// A part of a longer run begins.
    Progress {
        /// Nanoseconds since kernel entry.
        t_ns: u64,
        /// Name of the part: a timed job, a benchmark.
        what: S,
        /// Parts that are done.
        done: u32,
        /// All parts.
        of: u32,
    },
    /// A thread, as the shell's `ps` lists it.
    Thread {
        /// Nanoseconds since kernel entry, when the listing began: the same for all that belong together.
        t_ns: u64,
        /// Its number.
        tid: u32,
        /// Its name.
        name: S,
        /// State: `running`, `ready`, `sleeping`, `blocked`, `throttled`, `ended`.
        state: S,
        /// CPU that runs it, or ran it last.
        cpu: u32,
        /// Nice level; absent for the idle class, which runs only when no other thread does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        nice: Option<i32>,
        /// Group that it belongs to.
        group: S,
        /// CPU time.
        cpu_ns: u64,
        /// Run delay: time that it was runnable and waited for a CPU.
        waited_ns: u64,
        /// Number of switches to it.
        switches: u64,
        /// Number of migrations between CPUs.
        migrations: u64,
    },
    /// A CPU, as the shell's `cpus` lists it.
    Cpu {
        /// Nanoseconds since kernel entry, when the listing began: the same for all that belong together.
        t_ns: u64,
        /// Its number.
        cpu: u32,
        /// Its memory node.
        node: u32,
        /// Whether it is online.
        online: bool,
        /// Thread that it runs; empty if it never started.
        running: S,
        /// Threads in its run queue.
        waiting: u32,
        /// Time that it was idle.
        idle_ns: u64,
        /// Number of thread switches.
        switches: u64,
        /// Number of interrupts.
        interrupts: u64,
    },
    /// A command that the shell ran.
    Command {
        /// Nanoseconds since kernel entry, at the end of the command.
        t_ns: u64,
        /// Command as typed.
        line: S,
        /// Whether it succeeded.
        ok: bool,
        /// Error message; empty on success.
        message: S,
    },
    /// Name of a thread that lived when the trace was written: trace events have numbers alone.
    TraceName {
        /// Nanoseconds since kernel entry.
        t_ns: u64,
        /// The thread's number.
        thread: u32,
        /// Its name.
        name: S,
    },
    /// A part of one CPU's trace. Parts of one CPU are in order.
    Trace {
        /// Nanoseconds since kernel entry, when the part was written.
        t_ns: u64,
        /// Time when tracing was switched on.
        since_ns: u64,
        /// The CPU.
        cpu: u32,
        /// Number of the part's first event, counted on that CPU.
        first: u64,
        /// Events just before the first that were overwritten in the ring before they could be written.
        lost: u64,
        /// Events as the crate `trace` packs them; may be empty.
        events: S,
    },
    /// A problem that the kernel survives.
    Warning {
        /// Nanoseconds since kernel entry.
        t_ns: u64,
        /// The problem: what it is about, the value, and what would be right.
        what: S,
    },
    /// A panic of the kernel.
    Panic {
        /// Nanoseconds since kernel entry.
        t_ns: u64,
        /// The CPU that panicked.
        cpu: u32,
        /// The thread that panicked.
        thread: S,
        /// Message of the panic.
        message: S,
        /// `file:line:column`; empty if unknown.
        location: S,
        /// Return addresses, innermost first.
        backtrace: Addresses,
    },
    /// A fatal CPU exception.
    Fault {
        /// Nanoseconds since kernel entry.
        t_ns: u64,
        /// The CPU that faulted.
        cpu: u32,
        /// The thread that faulted.
        thread: S,
        /// Exception, error code, address, and what the kernel knows of the address.
        message: S,
        /// Empty: the backtrace begins with the faulting instruction.
        location: S,
        /// The faulting instruction, then return addresses, innermost first.
        backtrace: Addresses,
    },
    /// The last record of a run.
    End {
        /// Nanoseconds since kernel entry.
        t_ns: u64,
        /// Status of the run.
        status: Status,
        /// Reason of a failure; empty on a pass.
        reason: S,
    },
}

/// One timed run of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "std", derive(serde::Deserialize))]
pub struct JobRun<S> {
    /// Nanoseconds since kernel entry, at the end of the run.
    pub t_ns: u64,
    /// Name of the job: `memory-map-init`, `zero-pages`, `huge-reserve`.
    pub job: S,
    /// Requested number of threads. In [`Record::JobAuto`] the threads that the job had in the end: what the governor chose.
    pub threads: u32,
    /// Threads that processed at least one chunk.
    pub threads_used: u32,
    /// Processed units.
    pub units: u64,
    /// Kind of unit.
    pub unit: Unit,
    /// Bytes of memory in these units.
    pub bytes: u64,
    /// Whether the job writes all these bytes. If not, bytes per second mean nothing.
    #[serde(default)]
    pub writes: bool,
    /// Number of chunks.
    pub chunks: u64,
    /// Wall time.
    pub ns: u64,
    /// CPU time of all threads together.
    pub cpu_ns: u64,
    /// Time between the ends of the first and the last thread.
    pub spread_ns: u64,
    /// Chunks processed by a thread of the node that owns the memory. Absent if the job names no nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_chunks: Option<u64>,
    /// Whether the result was verified and is right.
    pub ok: bool,
}

/// Entry point of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "std", derive(serde::Deserialize))]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// The PVH note of the ELF file.
    Pvh,
    /// The Multiboot2 header of the ELF file.
    Multiboot2,
    /// UEFI firmware, through the crate `bootloader`.
    Uefi,
}

impl Entry {
    /// Returns the name, as it is in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pvh => "pvh",
            Self::Multiboot2 => "multiboot2",
            Self::Uefi => "uefi",
        }
    }
}

/// Kind of unit that a job counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "std", derive(serde::Deserialize))]
pub enum Unit {
    /// Pages of 4 KiB.
    #[serde(rename = "page-4k")]
    Page4K,
    /// Huge pages of 2 MiB.
    #[serde(rename = "page-2m")]
    Page2M,
    /// Huge pages of 1 GiB.
    #[serde(rename = "page-1g")]
    Page1G,
}

/// Status of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "std", derive(serde::Deserialize))]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// The run passed.
    Pass,
    /// A test or a job failed.
    Fail,
}
