//! What can happen, and how it is kept: three words per event, beside the time.
//!
//! ```text
//! word 0   bits 0..8 kind | 8..32 running thread | 32..56 id | 56..64 detail
//! word 1   a number of the event's own
//! word 2   bits 0..48 a number | 48..64 a small one
//! ```
//!
//! Packing is a few shifts, and none at all for what is constant where it is called.

use serde::{Deserialize, Serialize};

/// One past the largest number of a thread or a job that an event can hold.
pub const ID_END: u32 = 1 << 24;
/// One past the largest amount that an event can hold where a small number shares its word.
pub const AMOUNT_END: u64 = 1 << 48;
/// Bytes of a name that one event holds.
pub const NAME_PART_BYTES: usize = 16;
/// Parts of a name that are kept: what is longer is cut.
pub const NAME_PARTS: usize = 4;

/// Something that happened, on the CPU in whose ring it stands, while a thread ran that is kept beside it.
///
/// Threads and jobs go by number (below [`ID_END`]), CPUs and memory nodes too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The CPU leaves the running thread for another.
    Switch {
        /// The other thread.
        next: u32,
        /// Why the running one leaves.
        why: Why,
        /// Threads that wait for this CPU, the one that leaves among them if it does.
        waiting: u32,
    },
    /// A thread is put into a run queue, new or after having slept.
    Wake {
        /// The thread.
        thread: u32,
        /// The CPU whose queue it is.
        cpu: u16,
    },
    /// A thread that waits for a CPU, or is on its way off one, goes to another's queue or is fetched.
    Migrate {
        /// The thread.
        thread: u32,
        /// The CPU that it was at.
        from: u16,
        /// The CPU that it goes to.
        to: u16,
    },
    /// An interrupt is sent to another CPU.
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
    /// An interrupt handler is done. A switch to another thread may follow.
    InterruptExit {
        /// Its vector.
        vector: u8,
    },
    /// The CPU has nothing to do and halts.
    HaltEnter,
    /// It goes on.
    HaltExit,
    /// The running thread starts a job.
    JobBegin {
        /// The job, by a number that no other has before some 16 million more.
        job: u32,
        /// First unit of its range.
        start: u64,
        /// How many units are to be done.
        units: u64,
    },
    /// The job has ended; the same thread runs as at its start.
    JobEnd {
        /// The job.
        job: u32,
        /// How.
        outcome: Outcome,
        /// Chunks that were begun.
        chunks: u64,
        /// Threads that did at least one.
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
        /// How many.
        units: u64,
    },
    /// The running thread has done the chunk that it began last, or failed.
    ChunkEnd {
        /// The job.
        job: u32,
        /// Whether it was done.
        ok: bool,
        /// First unit.
        start: u64,
    },
    /// The idle CPU begins to clear a page for later.
    PoolFillBegin {
        /// Its memory node.
        node: u16,
    },
    /// And is done.
    PoolFillEnd {
        /// Whether there was a page to be had.
        filled: bool,
    },
    /// The running thread touched memory that was not there.
    PageFault {
        /// The address.
        address: u64,
    },
    /// A CPU is sent away: no threads are given to it from here on.
    CpuOffline {
        /// The CPU.
        cpu: u16,
    },
    /// A CPU is brought back.
    CpuOnline {
        /// The CPU.
        cpu: u16,
    },
    /// Part of the name of something that begins.
    Name {
        /// What is named.
        what: Named,
        /// Its number.
        id: u32,
        /// Which part, from 0: bytes from `part` times [`NAME_PART_BYTES`] on.
        part: u8,
        /// The bytes, with zeros after the last.
        bytes: [u8; NAME_PART_BYTES],
    },
}

/// Why a thread leaves its CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Why {
    /// It waits for its next turn: it was preempted, or gave way.
    GaveWay,
    /// It may not be here any more, and goes to another CPU.
    Moves,
    /// It waits for somebody to wake it.
    Blocked,
    /// It has ended.
    Ended,
    /// It is the CPU's idle thread, and there is something to do.
    Idle,
}

impl Why {
    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::GaveWay => "gave way",
            Self::Moves => "moves",
            Self::Blocked => "blocked",
            Self::Ended => "ended",
            Self::Idle => "idle",
        }
    }

    const ALL: [Self; 5] = [Self::GaveWay, Self::Moves, Self::Blocked, Self::Ended, Self::Idle];
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Outcome {
    /// All was done.
    Complete,
    /// A chunk failed.
    Failed,
    /// Somebody wanted it to end.
    Cancelled,
    /// Its time was over.
    DeadlinePassed,
}

impl Outcome {
    /// In a word.
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

/// What has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub enum Named {
    /// A thread.
    Thread,
    /// A job.
    Job,
}

/// Kinds of events that are switched on and off together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EventClass {
    /// Switches between threads.
    Switch,
    /// Threads that are woken or new.
    Wake,
    /// Threads that go from one CPU to another.
    Migrate,
    /// Interrupts sent to other CPUs.
    Ipi,
    /// Interrupt handlers.
    Interrupt,
    /// CPUs that halt.
    Halt,
    /// Jobs.
    Job,
    /// Chunks of jobs.
    Chunk,
    /// Pages cleared for later.
    Pool,
    /// Page faults.
    Fault,
    /// CPUs that go and come back.
    Hotplug,
}

impl EventClass {
    /// Names of all classes, in the order of their bits.
    pub const NAMES: [&str; 11] =
        ["switch", "wake", "migrate", "ipi", "interrupt", "halt", "job", "chunk", "pool", "fault", "hotplug"];

    /// The class's bit in a mask of classes.
    #[inline]
    #[must_use]
    pub const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// The kind in word 0. 0 is none: memory that was never written.
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

/// Word 0 but for the running thread.
const fn head(kind: u64, id: u32, detail: u8) -> u64 {
    kind | ((id % ID_END) as u64) << 32 | (detail as u64) << 56
}

/// Word 2.
const fn tail(amount: u64, small: u16) -> u64 {
    let amount = if amount < AMOUNT_END { amount } else { AMOUNT_END - 1 };
    amount | (small as u64) << 48
}

impl Event {
    /// The event in three words, with the `thread` that ran. Numbers of threads and jobs lose what is beyond
    /// [`ID_END`]; amounts end at [`AMOUNT_END`].
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

/// The events that tell the name of a thread or a job.
pub fn name_events(what: Named, id: u32, name: &str) -> impl Iterator<Item = Event> + '_ {
    name.as_bytes().chunks(NAME_PART_BYTES).take(NAME_PARTS).enumerate().map(move |(part, text)| {
        let mut bytes = [0; NAME_PART_BYTES];
        bytes[..text.len()].copy_from_slice(text);
        Event::Name { what, id, part: part as u8, bytes }
    })
}
