//! The classes of the kernel's spin locks, outermost first. This list and the lock order in `docs/invariants.md` agree.

/// The purpose of a spin lock, which sets its place in the lock order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockClass {
    /// The name in reports.
    pub name: &'static str,
    /// The place in the order: a lower rank is further out. The order of classes of the same rank is learnt.
    pub rank: u8,
}

const fn class(rank: u8, name: &'static str) -> LockClass {
    LockClass { name, rank }
}

impl LockClass {
    /// Spare stacks.
    pub const STACKS: Self = class(10, "stacks");
    /// Address space of device registers.
    pub const DEVICE_PAGES: Self = class(10, "device pages");
    /// The kernel's page tables.
    pub const PAGE_TABLES: Self = class(20, "page tables");
    /// The file of each window of address space.
    pub const FILES: Self = class(20, "table of files");
    /// Pages of files whose numbers share a bucket.
    pub const FILE_PAGE_BUCKET: Self = class(24, "bucket of file pages");
    /// Pages of files on one node.
    pub const FILE_PAGE_LIST: Self = class(24, "list of file pages");
    /// The page cache of one CPU.
    pub const PAGE_CACHE: Self = class(30, "page cache");
    /// A stack of allocated blocks.
    pub const PAGE_STACK: Self = class(31, "page stack");
    /// The page allocator of one node.
    pub const ZONE: Self = class(32, "zone");
    /// Threads that wait for a condition.
    pub const WAIT_QUEUE: Self = class(40, "wait queue");
    /// Owner and waiting threads of a sleeping mutex.
    pub const MUTEX_STATE: Self = class(40, "mutex state");
    /// Workers and queue of a worker pool.
    pub const WORKER_POOL: Self = class(50, "worker pool");
    /// The thread of a worker.
    pub const WORKER_THREAD: Self = class(51, "worker thread");
    /// Queue link and attributes of a work item.
    pub const WORK_ITEM: Self = class(52, "work item");
    /// The task of a helper, and the list of free helpers.
    pub const HELPER_SLOT: Self = class(53, "helper slot");
    /// The group that pays for a thread's work.
    pub const CHARGE_TARGET: Self = class(53, "charge target");
    /// The turnstile of a thread.
    pub const TURNSTILE: Self = class(53, "turnstile");
    /// A thread's donation of weight, with its donee.
    pub const DONATION: Self = class(60, "donation");
    /// The donations that a thread receives.
    pub const RECEIVED_DONATIONS: Self = class(61, "received donations");
    /// How far a search of one CPU through the table of threads is.
    pub const TABLE_SEARCH: Self = class(62, "table search");
    /// The run queue of one CPU.
    pub const RUN_QUEUE: Self = class(63, "run queue");
    /// The timer queue of one CPU.
    pub const TIMERS: Self = class(70, "timers");
    /// Dead threads whose memory is not freed yet.
    pub const DEAD_THREADS: Self = class(70, "dead threads");
    /// The removal of threads from the table, which a reader of the table blocks.
    pub const LEAVING_THREADS: Self = class(70, "leaving threads");
    /// The function of a new thread, and the stack of a dead one.
    pub const THREAD_ENTRY: Self = class(70, "thread entry");
    /// The period of a group.
    pub const GROUP_PERIOD: Self = class(75, "group's period");
    /// The heap.
    pub const HEAP: Self = class(80, "heap");
    /// The mutexes that a thread holds; in debug builds.
    #[cfg(debug_assertions)]
    pub const HELD_MUTEXES: Self = class(80, "held mutexes");
    /// The I/O APICs.
    pub const IO_APICS: Self = class(85, "i/o apics");
    /// A serial port.
    pub const SERIAL_PORT: Self = class(90, "serial port");
    /// The screen.
    pub const SCREEN: Self = class(91, "screen");
    /// Text that waits to be drawn.
    pub const SCREEN_TEXT: Self = class(92, "screen text");
}
