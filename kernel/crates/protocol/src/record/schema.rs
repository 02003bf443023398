//! Kinds of records and their fields.

use serde::Serialize;

use super::addresses::Addresses;

/// One record. `S` is `&str` in the kernel and `String` on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "std", derive(serde::Deserialize))]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record<S> {
    /// The machine as the kernel found it; once, when every CPU that comes has come.
    Boot {
        /// Nanoseconds since kernel entry.
        t_ns: u64,
        /// The kernel's version.
        version: S,
        /// The way in.
        entry: Entry,
        /// CPUs that the firmware named.
        cpus_found: u32,
        /// CPUs that run.
        cpus_online: u32,
        /// Memory nodes.
        nodes: u32,
        /// Usable memory.
        memory_bytes: u64,
        /// What the time stamp counter was measured, or told, to run at.
        tsc_hz: u64,
        /// How interrupts are addressed to CPUs: `xapic` or `x2apic`.
        #[serde(default)]
        apic: S,
        /// The CPUs' own timers: `tsc-deadline` or `one-shot`.
        #[serde(default)]
        timer: S,
        /// Where the clock's rate comes from: `cpuid-15`, `hypervisor`, `kvm-clock`, `pm-timer`, `hpet`, `pit`, `guess`.
        #[serde(default)]
        clock: S,
    },
    /// A part of the boot, and how long it took.
    Phase {
        /// Nanoseconds since kernel entry, at the end of the phase.
        t_ns: u64,
        /// The phase; `a/b` is a part of `a`.
        name: S,
        /// How long it took.
        ns: u64,
    },
    /// One timed run of a job.
    Job {
        /// Nanoseconds since kernel entry, at the end of the run.
        t_ns: u64,
        /// Which job: `memory-map-init`, `zero-pages`, `huge-reserve`.
        job: S,
        /// Threads that were asked for.
        threads: u32,
        /// Threads that did at least one chunk.
        threads_used: u32,
        /// Units of work done.
        units: u64,
        /// What a unit is.
        unit: Unit,
        /// Memory that the units cover.
        bytes: u64,
        /// Chunks that the work was cut in.
        chunks: u64,
        /// Wall time.
        ns: u64,
        /// CPU time of all threads together.
        cpu_ns: u64,
        /// From the first thread that finished to the last.
        spread_ns: u64,
        /// Chunks done by a thread of the node that owns the memory.
        local_chunks: u64,
        /// Whether the result was verified, and right.
        ok: bool,
    },
    /// How fast a way to clear memory is on this machine.
    ZeroMethod {
        /// Nanoseconds since kernel entry.
        t_ns: u64,
        /// The method, by its instruction: `movnti`, `rep-stosq`.
        method: S,
        /// Its speed on one CPU.
        bytes_per_s: u64,
        /// Whether the kernel uses it from here on.
        chosen: bool,
    },
    /// One result of a benchmark.
    Bench {
        /// Nanoseconds since kernel entry.
        t_ns: u64,
        /// What was measured: `sched/switch/yield`.
        name: S,
        /// How many of what the benchmark varies or repeats.
        n: u64,
        /// What `n` counts: `runnable threads`, `rounds`.
        #[serde(default)]
        of: S,
        /// The result.
        value: u64,
        /// Of what: `ticks` of the TSC, `ns`, `permille`.
        unit: S,
    },
    /// A thread, as the shell's `ps` lists it.
    Thread {
        /// Nanoseconds since kernel entry, when the listing began: the same for all that belong together.
        t_ns: u64,
        /// Its number.
        tid: u32,
        /// Its name.
        name: S,
        /// What it does: `running`, `ready`, `sleeping`, `blocked`, `throttled`, `ended`.
        state: S,
        /// The CPU that runs it, or ran it last.
        cpu: u32,
        /// Its nice level; absent where it runs only when nothing else wants to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        nice: Option<i32>,
        /// The group that it is accounted to.
        group: S,
        /// CPU time.
        cpu_ns: u64,
        /// Time that it waited for a CPU.
        waited_ns: u64,
        /// Times that a CPU switched to it.
        switches: u64,
        /// Times that it ran on another CPU than before.
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
        /// Whether it takes threads.
        online: bool,
        /// The thread that it runs; empty where it never started.
        running: S,
        /// Threads that wait for it.
        waiting: u32,
        /// Time for which it had nothing to do.
        idle_ns: u64,
        /// Switches from one thread to another.
        switches: u64,
        /// Interrupts taken.
        interrupts: u64,
    },
    /// The shell ran a command.
    Command {
        /// Nanoseconds since kernel entry, at the end of the command.
        t_ns: u64,
        /// The command as it was typed.
        line: S,
        /// Whether it did what it was asked for.
        ok: bool,
        /// What went wrong; empty when nothing did.
        message: S,
    },
    /// The name of a thread that lived when the trace was written: threads in a trace go by number.
    TraceName {
        /// Nanoseconds since kernel entry.
        t_ns: u64,
        /// The thread's number.
        thread: u32,
        /// Its name.
        name: S,
    },
    /// A part of one CPU's trace. Parts of a CPU come in order.
    Trace {
        /// Nanoseconds since kernel entry, when the part was written.
        t_ns: u64,
        /// When tracing was switched on.
        since_ns: u64,
        /// The CPU.
        cpu: u32,
        /// Number of the first event in the part, counted on that CPU.
        first: u64,
        /// Events just before that one that were overwritten before they could be written.
        lost: u64,
        /// The events, as the crate `trace` packs them; empty when there are none.
        events: S,
    },
    /// Something that was wrong, and that the kernel lives with.
    Warning {
        /// Nanoseconds since kernel entry.
        t_ns: u64,
        /// What: which thing, which value, what would have been right.
        what: S,
    },
    /// The kernel stopped itself.
    Panic {
        /// Nanoseconds since kernel entry.
        t_ns: u64,
        /// The CPU that panicked.
        cpu: u32,
        /// The thread that panicked.
        thread: S,
        /// What it said.
        message: S,
        /// `file:line:column`; empty where there is none.
        location: S,
        /// Return addresses, innermost first.
        backtrace: Addresses,
    },
    /// The processor stopped the kernel.
    Fault {
        /// Nanoseconds since kernel entry.
        t_ns: u64,
        /// The CPU that faulted.
        cpu: u32,
        /// The thread that faulted.
        thread: S,
        /// Which exception, its error code and address, and what is known about the address.
        message: S,
        /// Empty: the first address of the backtrace says where.
        location: S,
        /// The faulting instruction, then return addresses, innermost first.
        backtrace: Addresses,
    },
    /// The last record of a run.
    End {
        /// Nanoseconds since kernel entry.
        t_ns: u64,
        /// Whether all went well.
        status: Status,
        /// What did not; empty on a pass.
        reason: S,
    },
}

/// How the kernel was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "std", derive(serde::Deserialize))]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// Directly, by the PVH note of the ELF file.
    Pvh,
    /// From UEFI firmware.
    Uefi,
}

/// What a job counts.
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

/// Whether a run went well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "std", derive(serde::Deserialize))]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It did.
    Pass,
    /// It did not.
    Fail,
}
