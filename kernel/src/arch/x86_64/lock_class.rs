//! The kernel's spin locks by what they are for, outermost first: the lock
//! order of `docs/invariants.md`, which this list is to agree with.

/// What a spin lock is for, and with that its place in the lock order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockClass {
    /// What to call it.
    pub name: &'static str,
    /// Lower is further out. Those of equal rank are ordered as they are first seen.
    pub rank: u8,
}

const fn class(rank: u8, name: &'static str) -> LockClass {
    LockClass { name, rank }
}

impl LockClass {
    /// Stacks that wait for a thread.
    pub const STACKS: Self = class(10, "stacks");
    /// Address space of device registers.
    pub const DEVICE_PAGES: Self = class(10, "device pages");
    /// The kernel's page tables.
    pub const PAGE_TABLES: Self = class(20, "page tables");
    /// Which file a window of address space belongs to.
    pub const FILES: Self = class(20, "table of files");
    /// One CPU's cache of pages.
    pub const PAGE_CACHE: Self = class(30, "page cache");
    /// Blocks of pages that are kept at hand.
    pub const PAGE_STACK: Self = class(31, "stack of kept pages");
    /// A node's page allocator.
    pub const ZONE: Self = class(32, "zone");
    /// Threads that wait for a condition.
    pub const WAIT_QUEUE: Self = class(40, "wait queue");
    /// Owner and waiting threads of a sleeping mutex.
    pub const MUTEX_STATE: Self = class(40, "mutex state");
    /// Workers of a pool, and what waits for them.
    pub const WORKER_POOL: Self = class(50, "worker pool");
    /// The thread of a worker.
    pub const WORKER_THREAD: Self = class(51, "worker thread");
    /// A work item's place in the queue, and how it is to be done.
    pub const WORK_ITEM: Self = class(52, "work item");
    /// What a helper is to do, and which helpers are free.
    pub const HELPER_SLOT: Self = class(53, "helper slot");
    /// For whom a thread works.
    pub const CHARGE_TARGET: Self = class(53, "charge target");
    /// To whom a thread lends weight.
    pub const DONATION: Self = class(60, "donation");
    /// What a thread is lent.
    pub const RECEIVED_DONATIONS: Self = class(61, "received donations");
    /// One CPU's run queue.
    pub const RUN_QUEUE: Self = class(62, "run queue");
    /// One CPU's deadlines.
    pub const TIMERS: Self = class(70, "timers");
    /// Threads to be freed.
    pub const ENDED_THREADS: Self = class(70, "ended threads");
    /// Threads that may not leave the table while somebody looks through it.
    pub const LEAVING_THREADS: Self = class(70, "leaving threads");
    /// What a new thread is to do, and the stack of an ended one.
    pub const THREAD_ENTRY: Self = class(70, "thread entry");
    /// A group that enters a new period.
    pub const GROUP_PERIOD: Self = class(75, "group's period");
    /// The heap.
    pub const HEAP: Self = class(80, "heap");
    /// Which mutexes a thread holds; in debug builds.
    #[cfg(debug_assertions)]
    pub const HELD_MUTEXES: Self = class(80, "held mutexes");
    /// The I/O APICs.
    pub const IO_APICS: Self = class(85, "i/o apics");
    /// A serial port.
    pub const SERIAL_PORT: Self = class(90, "serial port");
}
