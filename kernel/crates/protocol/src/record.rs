//! Records: one JSON object per line, on the second serial port.
//!
//! The kernel writes `Record<&str>` with [`Record::to_line`], which needs no memory but the buffer it
//! is given; the host reads `Record<String>` with `parse_line` (feature `std`). Readers ignore
//! kinds and fields that they do not know, so both may be added. All times are nanoseconds; `t_ns`
//! counts from the kernel's first instruction.

mod addresses;
#[cfg(feature = "std")]
mod parse;

pub use addresses::Addresses;
#[cfg(feature = "std")]
pub use parse::{ParseError, parse_line};

use core::fmt;
use serde::Serialize;

/// A buffer of this many bytes holds every record whose strings have been [`clip`]ped to [`MESSAGE_MAX_BYTES`] or
/// [`TEXT_MAX_BYTES`] and need no escapes; the longest is a `panic` with a full backtrace.
pub const LINE_MAX_BYTES: usize = 2304;

/// The longest message of a panic: two orders of locks, with their names and places, fit.
pub const MESSAGE_MAX_BYTES: usize = 512;

/// The longest string worth putting into a record, a panic's message apart.
pub const TEXT_MAX_BYTES: usize = 256;

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

/// A record did not fit in the buffer it was to be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// The size of that buffer.
    pub buffer_bytes: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record does not fit in a buffer of {} bytes", self.buffer_bytes)
    }
}

impl core::error::Error for TooLong {}

impl<S: Serialize> Record<S> {
    /// Writes the record into `buf` as one line of JSON and returns that line, its newline included.
    ///
    /// Strings are escaped, so the line holds exactly one newline, its last byte. The caller sends
    /// it in one go: lines of two CPUs must not mix.
    ///
    /// # Errors
    ///
    /// [`TooLong`] when `buf` is too small. What `buf` then holds means nothing.
    pub fn to_line<'b>(&self, buf: &'b mut [u8]) -> Result<&'b [u8], TooLong> {
        let buffer_bytes = buf.len();
        let too_long = TooLong { buffer_bytes };
        let body_bytes = serde_json_core::to_slice(self, buf).map_err(|_| too_long)?;
        *buf.get_mut(body_bytes).ok_or(too_long)? = b'\n';
        Ok(&buf[..=body_bytes])
    }
}

/// The longest part of `text`, from its start, that is at most `max_bytes` long and ends between two characters.
///
/// For text of unknown length, such as a panic message, before it goes into a record.
pub fn clip(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}

#[cfg(test)]
mod tests;
