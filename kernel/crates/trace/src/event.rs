//! Trace events, and their packed form: three words per event, beside the time.
//!
//! ```text
//! word 0   bits 0..8 kind | 8..32 running thread | 32..56 id | 56..64 detail
//! word 1   number
//! word 2   bits 0..48 amount | 48..64 small number
//! ```
//!
//! Packing takes a few shifts; the compiler removes those of constant fields.

use serde::{Deserialize, Serialize};

/// One past the largest thread or job number that an event can hold.
pub const ID_END: u32 = 1 << 24;
/// One past the largest amount that an event can hold beside a small number.
pub const AMOUNT_END: u64 = 1 << 48;
/// Bytes of a name that one event holds.
pub const NAME_PART_BYTES: usize = 16;
/// Most parts of a name; a longer name is truncated.
pub const NAME_PARTS: usize = 4;

/// An event of the CPU in whose ring it is; the packed form also has the thread that ran.
///
/// Threads and jobs are numbers below [`ID_END`]; CPUs and memory nodes are numbers too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The CPU switches from the running thread to another.
    Switch {
        /// The thread that runs next.
        next: u32,
        /// Why the running thread leaves the CPU.
        why: Why,
        /// Threads that wait for this CPU, the leaving one included if it does.
        waiting: u32,
    },
    /// A new or woken thread is put into a run queue.
    Wake {
        /// The thread.
        thread: u32,
        /// The CPU of the queue.
        cpu: u16,
    },
    /// A thread that waits for a CPU, or is leaving one, moves to another CPU's queue or is stolen.
    Migrate {
        /// The thread.
        thread: u32,
        /// The old CPU.
        from: u16,
        /// The new CPU.
        to: u16,
    },
    /// This CPU sends an interrupt to another CPU.
    IpiSend {
        /// Its vector.
        vector: u8,
        /// The other CPU.
        to: u16,
    },
    /// An interrupt handler begins.
    InterruptEnter {
        /// Its vector.
        vector: u8,
    },
    /// An interrupt handler ends. A switch to another thread may follow.
    InterruptExit {
        /// Its vector.
        vector: u8,
    },
    /// The idle CPU halts.
    HaltEnter,
    /// The CPU leaves halt.
    HaltExit,
    /// The running thread starts a job.
    JobBegin {
        /// The job's number; numbers repeat after some 16 million jobs.
        job: u32,
        /// First unit of its range.
        start: u64,
        /// Number of units.
        units: u64,
    },
    /// The job has ended, on the thread that started it.
    JobEnd {
        /// The job.
        job: u32,
        /// How it ended.
        outcome: Outcome,
        /// Chunks that were started.
        chunks: u64,
        /// Threads that processed at least one chunk.
        threads: u16,
    },
    /// The running thread begins a chunk.
    ChunkBegin {
        /// The job.
        job: u32,
        /// Number of the worker: 0 is the job's caller.
        worker: u16,
        /// First unit.
        start: u64,
        /// Number of units.
        units: u64,
    },
    /// The running thread ends its chunk.
    ChunkEnd {
        /// The job.
        job: u32,
        /// Whether the chunk succeeded.
        ok: bool,
        /// First unit.
        start: u64,
    },
    /// The idle CPU begins to pre-zero a page.
    PoolFillBegin {
        /// The page's memory node.
        node: u16,
    },
    /// The idle CPU has pre-zeroed a page, or found none.
    PoolFillEnd {
        /// Whether there was a page.
        filled: bool,
    },
    /// The running thread accessed an unmapped address.
    PageFault {
        /// The address.
        address: u64,
    },
    /// A CPU begins to go offline: it gets no more threads.
    CpuOffline {
        /// The CPU.
        cpu: u16,
    },
    /// A CPU comes online.
    CpuOnline {
        /// The CPU.
        cpu: u16,
    },
    /// Part of the name of a thread or job that starts.
    Name {
        /// What is named.
        what: Named,
        /// Its number.
        id: u32,
        /// The part's number, from 0: it begins at byte `part` times [`NAME_PART_BYTES`].
        part: u8,
        /// The bytes, padded with zeros.
        bytes: [u8; NAME_PART_BYTES],
    },
}

/// Why a thread leaves its CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Why {
    /// It was preempted or yielded, and waits for its next slice.
    Preempted,
    /// Its affinity excludes this CPU now; it moves to another.
    Moves,
    /// It blocks until it is woken.
    Blocked,
    /// It has ended.
    Ended,
    /// It is the CPU's idle thread, and another thread is ready.
    Idle,
}

impl Why {
    /// Returns the name in logs and traces.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Preempted => "preempted",
            Self::Moves => "moves",
            Self::Blocked => "blocked",
            Self::Ended => "ended",
            Self::Idle => "idle",
        }
    }

    const ALL: [Self; 5] = [Self::Preempted, Self::Moves, Self::Blocked, Self::Ended, Self::Idle];
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Outcome {
    /// All units were processed.
    Complete,
    /// A chunk failed.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// Its deadline passed.
    DeadlinePassed,
}

impl Outcome {
    /// Returns the name in logs and traces.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::DeadlinePassed => "deadline passed",
        }
    }

    const ALL: [Self; 4] = [Self::Complete, Self::Failed, Self::Cancelled, Self::DeadlinePassed];
}

/// What a name event names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Named {
    /// A thread.
    Thread,
    /// A job.
    Job,
}

/// Classes of events, which `trace.events` switches on and off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EventClass {
    /// Thread switches.
    Switch,
    /// Threads that start or are woken.
    Wake,
    /// Threads that move between CPUs.
    Migrate,
    /// Interrupts sent to other CPUs.
    Ipi,
    /// Interrupt handlers.
    Interrupt,
    /// Halts of idle CPUs.
    Halt,
    /// Jobs.
    Job,
    /// Chunks of jobs.
    Chunk,
    /// Pre-zeroed pages.
    Pool,
    /// Page faults.
    Fault,
    /// CPUs that go offline or come online.
    Hotplug,
}

impl EventClass {
    /// Names of all classes, in bit order.
    pub const NAMES: [&str; 11] =
        ["switch", "wake", "migrate", "ipi", "interrupt", "halt", "job", "chunk", "pool", "fault", "hotplug"];

    /// Returns the class's bit in a mask of classes.
    #[inline]
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// The kind in word 0. 0 is no kind: the cell was never written.
mod kind {
    pub const SWITCH: u64 = 1;
    pub const WAKE: u64 = 2;
    pub const MIGRATE: u64 = 3;
    pub const IPI_SEND: u64 = 4;
    pub const INTERRUPT_ENTER: u64 = 5;
    pub const INTERRUPT_EXIT: u64 = 6;
    pub const HALT_ENTER: u64 = 7;
    pub const HALT_EXIT: u64 = 8;
    pub const JOB_BEGIN: u64 = 9;
    pub const JOB_END: u64 = 10;
    pub const CHUNK_BEGIN: u64 = 11;
    pub const CHUNK_END: u64 = 12;
    pub const POOL_FILL_BEGIN: u64 = 13;
    pub const POOL_FILL_END: u64 = 14;
    pub const PAGE_FAULT: u64 = 15;
    pub const CPU_OFFLINE: u64 = 16;
    pub const CPU_ONLINE: u64 = 17;
    pub const NAME: u64 = 18;
}

/// Returns word 0 without the running thread.
const fn head(kind: u64, id: u32, detail: u8) -> u64 {
    kind | ((id % ID_END) as u64) << 32 | (detail as u64) << 56
}

/// Returns word 2.
const fn tail(amount: u64, small: u16) -> u64 {
    let amount = if amount < AMOUNT_END { amount } else { AMOUNT_END - 1 };
    amount | (small as u64) << 48
}

impl Event {
    /// Packs the event and the running `thread` into three words. Thread and job numbers are taken modulo [`ID_END`];
    /// amounts are capped below [`AMOUNT_END`].
    #[inline(always)]
    #[must_use]
    pub const fn pack(self, thread: u32) -> [u64; 3] {
        let [head, number, tail] = self.words();
        [head | ((thread % ID_END) as u64) << 8, number, tail]
    }

    #[inline(always)]
    const fn words(self) -> [u64; 3] {
        match self {
            Self::Switch { next, why, waiting } => [head(kind::SWITCH, next, why as u8), waiting as u64, 0],
            Self::Wake { thread, cpu } => [head(kind::WAKE, thread, 0), cpu as u64, 0],
            Self::Migrate { thread, from, to } => [head(kind::MIGRATE, thread, 0), from as u64, to as u64],
            Self::IpiSend { vector, to } => [head(kind::IPI_SEND, 0, vector), to as u64, 0],
            Self::InterruptEnter { vector } => [head(kind::INTERRUPT_ENTER, 0, vector), 0, 0],
            Self::InterruptExit { vector } => [head(kind::INTERRUPT_EXIT, 0, vector), 0, 0],
            Self::HaltEnter => [head(kind::HALT_ENTER, 0, 0), 0, 0],
            Self::HaltExit => [head(kind::HALT_EXIT, 0, 0), 0, 0],
            Self::JobBegin { job, start, units } => [head(kind::JOB_BEGIN, job, 0), start, units],
            Self::JobEnd { job, outcome, chunks, threads } => {
                [head(kind::JOB_END, job, outcome as u8), 0, tail(chunks, threads)]
            }
            Self::ChunkBegin { job, worker, start, units } => {
                [head(kind::CHUNK_BEGIN, job, 0), start, tail(units, worker)]
            }
            Self::ChunkEnd { job, ok, start } => [head(kind::CHUNK_END, job, ok as u8), start, 0],
            Self::PoolFillBegin { node } => [head(kind::POOL_FILL_BEGIN, 0, 0), node as u64, 0],
            Self::PoolFillEnd { filled } => [head(kind::POOL_FILL_END, 0, filled as u8), 0, 0],
            Self::PageFault { address } => [head(kind::PAGE_FAULT, 0, 0), address, 0],
            Self::CpuOffline { cpu } => [head(kind::CPU_OFFLINE, 0, 0), cpu as u64, 0],
            Self::CpuOnline { cpu } => [head(kind::CPU_ONLINE, 0, 0), cpu as u64, 0],
            Self::Name { what, id, part, bytes } => {
                let all = u128::from_le_bytes(bytes);
                // The part is below 128, so there is a bit for what is named.
                [head(kind::NAME, id, part | (what as u8) << 7), all as u64, (all >> 64) as u64]
            }
        }
    }

    /// The event that [`pack`](Self::pack) made these words of, and the thread that ran; `None` when there is no
    /// such event.
    #[must_use]
    pub fn unpack([head, number, tail]: [u64; 3]) -> Option<(u32, Self)> {
        let thread = (head >> 8) as u32 % ID_END;
        let id = (head >> 32) as u32 % ID_END;
        let detail = (head >> 56) as u8;
        let (amount, small) = (tail % AMOUNT_END, (tail >> 48) as u16);
        let event = match head & 0xff {
            kind::SWITCH => {
                Self::Switch { next: id, why: *Why::ALL.get(usize::from(detail))?, waiting: number as u32 }
            }
            kind::WAKE => Self::Wake { thread: id, cpu: number as u16 },
            kind::MIGRATE => Self::Migrate { thread: id, from: number as u16, to: tail as u16 },
            kind::IPI_SEND => Self::IpiSend { vector: detail, to: number as u16 },
            kind::INTERRUPT_ENTER => Self::InterruptEnter { vector: detail },
            kind::INTERRUPT_EXIT => Self::InterruptExit { vector: detail },
            kind::HALT_ENTER => Self::HaltEnter,
            kind::HALT_EXIT => Self::HaltExit,
            kind::JOB_BEGIN => Self::JobBegin { job: id, start: number, units: tail },
            kind::JOB_END => {
                let outcome = *Outcome::ALL.get(usize::from(detail))?;
                Self::JobEnd { job: id, outcome, chunks: amount, threads: small }
            }
            kind::CHUNK_BEGIN => Self::ChunkBegin { job: id, worker: small, start: number, units: amount },
            kind::CHUNK_END => Self::ChunkEnd { job: id, ok: detail != 0, start: number },
            kind::POOL_FILL_BEGIN => Self::PoolFillBegin { node: number as u16 },
            kind::POOL_FILL_END => Self::PoolFillEnd { filled: detail != 0 },
            kind::PAGE_FAULT => Self::PageFault { address: number },
            kind::CPU_OFFLINE => Self::CpuOffline { cpu: number as u16 },
            kind::CPU_ONLINE => Self::CpuOnline { cpu: number as u16 },
            kind::NAME => {
                let what = if detail < 128 { Named::Thread } else { Named::Job };
                let bytes = (u128::from(number) | u128::from(tail) << 64).to_le_bytes();
                Self::Name { what, id, part: detail % 128, bytes }
            }
            _ => return None,
        };
        Some((thread, event))
    }
}

/// Returns the events for the name of a thread or a job.
pub fn name_events(what: Named, id: u32, name: &str) -> impl Iterator<Item = Event> + '_ {
    name.as_bytes().chunks(NAME_PART_BYTES).take(NAME_PARTS).enumerate().map(move |(part, text)| {
        let mut bytes = [0; NAME_PART_BYTES];
        bytes[..text.len()].copy_from_slice(text);
        Event::Name { what, id, part: part as u8, bytes }
    })
}
