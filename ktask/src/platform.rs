//! The interface that a kernel implements.

use crate::helper_id::HelperId;
use crate::node::NodeId;
use crate::raw::{HelperCell, Parking};
use crate::shared_cells::shared_cells;
use crate::{Budget, HelperTask, MAX_WORKERS, Stats, TracedChunk, TracedEnding, TracedJob, WakeCost};

/// A set of lock classes, numbered 0 to 63.
///
/// It serves the check that a job's thread function takes no lock that the waiting caller holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LockSet(pub u64);

impl LockSet {
    /// The empty set.
    pub const EMPTY: Self = Self(0);

    /// Returns whether lock class `class` is in the set. A number above 63 never is.
    #[must_use]
    pub const fn contains(self, class: u32) -> bool {
        class < 64 && self.0 & (1 << class) != 0
    }

    /// Returns the set with lock class `class` added. A number above 63 changes nothing.
    #[must_use]
    pub const fn with(self, class: u32) -> Self {
        if class < 64 { Self(self.0 | 1 << class) } else { self }
    }

    /// Returns the set without lock class `class`.
    #[must_use]
    pub const fn without(self, class: u32) -> Self {
        if class < 64 { Self(self.0 & !(1 << class)) } else { self }
    }

    /// Returns the classes of both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The place where a helper should run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Placement {
    /// The node whose CPUs are preferred; `None` for any node. A helper on another node is slower,
    /// but correct.
    pub node: Option<NodeId>,
}

/// The facts about a helper's job that the lock check needs. The default is the context of a
/// thread that helps no job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HelperContext {
    /// Locks that the job's caller and the callers of outer jobs held when they started their
    /// jobs. A helper that takes one of them waits for a thread that waits for the helper.
    pub caller_locks: LockSet,
    /// The number of outer jobs; 0 for a job that is not nested.
    pub depth: u32,
}

impl HelperContext {
    /// The context of a thread that helps no job.
    pub const NONE: Self = Self { caller_locks: LockSet::EMPTY, depth: 0 };
}

/// The services that a kernel provides to ktask.
///
/// A platform is a *handle*: a zero-sized type in a kernel, a reference or an `Arc` in a program.
/// Six methods and the thread type have no default; `examples/own_platform.rs` is a complete
/// platform in under 100 lines. A kernel whose scheduler supports it also implements
/// [`thread_time_ns`](Self::thread_time_ns), [`cancel_helper`](Self::cancel_helper) and
/// [`lend_weight`](Self::lend_weight).
///
/// All methods are safe functions, and no return value of a platform can break memory safety or
/// the exactly-once contract. A wrong CPU count costs speed, and so does a helper task that is late,
/// kept or dropped: a job waits for helpers that run, and for no others. The worst case is a `park`
/// that never returns: [`Job::run`](crate::Job::run) then waits forever.
///
/// # Calling threads
///
/// *The job's caller* calls, on its own thread, all methods but [`charge`](Self::charge),
/// [`begin_help`](Self::begin_help) and [`end_help`](Self::end_help). So
/// [`start_helper`](Self::start_helper) and [`online_cpus`](Self::online_cpus) can read the
/// caller's CPU mask, quota and account from the current thread.
///
/// *Helpers* call these three, [`unpark`](Self::unpark), the clocks,
/// [`current_node`](Self::current_node), [`node_distance`](Self::node_distance),
/// [`budget`](Self::budget), [`chunk_begins`](Self::chunk_begins) and
/// [`chunk_ends`](Self::chunk_ends), and in a walk and to merge accumulators
/// [`current_thread`](Self::current_thread) and [`park`](Self::park).
///
/// No thread spins for another: a thread that waits for a stopped one parks. So strict priorities do no harm,
/// as long as a parked caller leaves its CPU to its helpers.
///
/// No method is called with a lock of ktask held, and none from interrupt context unless a job
/// is run there.
pub trait Platform: Clone + Send + Sync + Sized + 'static {
    /// A handle that wakes a thread. It stays valid after the thread has ended; waking is then
    /// harmless.
    type Thread: Clone + Send + Sync + 'static;

    /// Returns the number of CPUs that the calling thread and its helpers may use now.
    ///
    /// These are online, within the calling thread's CPU mask, and no more than its CPU quota is
    /// worth (rounded up). At least 1; 0 is taken as 1.
    fn online_cpus(&self) -> usize;

    /// Returns the monotonic time in nanoseconds. The platform chooses the origin.
    fn now_ns(&self) -> u64;

    /// Returns a handle to the calling thread.
    fn current_thread(&self) -> Self::Thread;

    /// Blocks the calling thread until [`unpark`](Self::unpark) is called for it or
    /// [`now_ns`](Self::now_ns) reaches `deadline_ns`.
    ///
    /// One `unpark` that comes before the `park` is remembered: the `park` then returns at once.
    /// Spurious returns are allowed.
    fn park(&self, deadline_ns: Option<u64>);

    /// Wakes `thread` from [`park`](Self::park), or makes its next `park` return at once.
    ///
    /// What the waker wrote before is visible to the woken thread after its `park`.
    fn unpark(&self, thread: &Self::Thread);

    /// Has another thread call [`HelperTask::run`] on `task` soon, at the scheduler's lowest
    /// weight, within the calling thread's CPU mask.
    ///
    /// It must not allocate, must not wait (pools are filled beforehand), and must not run the
    /// task on the calling thread.
    ///
    /// # Errors
    ///
    /// Gives the task back if no helper is available (pool empty, CPU offline). The job then runs
    /// on fewer threads. A task that is dropped later without having been run counts as a lost
    /// helper and costs only speed. A task that is still queued when its job ends does nothing when
    /// it is run. Running a task may end in [`unpark`](Self::unpark): do not with a lock held that
    /// `unpark` takes.
    fn start_helper(
        &self,
        task: HelperTask<Self>,
        placement: Placement,
    ) -> Result<HelperId, HelperTask<Self>>;

    /// Keeps `task` for a thread that happens to look for work, and wakes none for it. Some thread should
    /// do so within 100 us.
    ///
    /// A job begins with offers, so that it has helpers soon if its first chunk is long. It takes the
    /// offers back by [`cancel_helper`](Self::cancel_helper) if it turns out to be short. The rest is as
    /// in [`start_helper`](Self::start_helper).
    ///
    /// # Errors
    ///
    /// Gives the task back if there is no room, or no thread looks for work without being woken. That is
    /// the default. A job of few chunks then starts its helpers at once.
    fn offer_helper(
        &self,
        task: HelperTask<Self>,
        placement: Placement,
    ) -> Result<HelperId, HelperTask<Self>> {
        let _ = placement;
        Err(task)
    }

    /// Returns the measured cost of waking a helper, which jobs read and update. All platforms that keep
    /// the default share one.
    fn wake_cost(&self) -> &WakeCost {
        WakeCost::shared()
    }

    /// Returns the number of memory nodes, which are numbered from 0. At least 1.
    fn nodes(&self) -> usize {
        1
    }

    /// Returns how many CPUs of [`online_cpus`](Self::online_cpus) are on `node`; 0 for a node
    /// with memory only.
    fn online_cpus_of_node(&self, node: NodeId) -> usize {
        if node.0 == 0 { self.online_cpus() } else { 0 }
    }

    /// Returns the number of cores among [`online_cpus`](Self::online_cpus): hardware threads
    /// that share a core count once.
    ///
    /// It is the first thread count that the governor tries, because the second hardware thread
    /// of a core adds little where memory is the limit.
    fn physical_cores(&self) -> usize {
        self.online_cpus()
    }

    /// Returns the node of the CPU that the calling thread runs on.
    fn current_node(&self) -> NodeId {
        NodeId(0)
    }

    /// Returns the distance from a CPU of node `from` to the memory of node `to`, as in the
    /// firmware's distance table: 10 is local, more is farther.
    fn node_distance(&self, from: NodeId, to: NodeId) -> u32 {
        if from == to { 10 } else { 20 }
    }

    /// Returns the CPU time that the calling thread has used, in nanoseconds.
    ///
    /// The default is wall time, which is right if helpers are never preempted.
    fn thread_time_ns(&self) -> u64 {
        self.now_ns()
    }

    /// Returns whether [`thread_time_ns`](Self::thread_time_ns) costs about as little as
    /// [`now_ns`](Self::now_ns).
    ///
    /// If not, the first 50 us of a worker's part count as CPU time in full, and so does the whole
    /// of a job that its caller runs alone in fewer than 1000 smallest chunks.
    fn thread_time_is_cheap(&self) -> bool {
        true
    }

    /// Takes a helper that has not started out of the platform's queue. Returns its task if it was
    /// still queued, `None` if it runs, has run, or is unknown.
    ///
    /// The job has revoked the task before it calls this. So this only makes room in the queue.
    fn cancel_helper(&self, helper: HelperId) -> Option<HelperTask<Self>> {
        let _ = helper;
        None
    }

    /// Makes `helper` run at the calling thread's weight (`lend` true), or at the lowest weight
    /// again (`lend` false). A helper that has ended is ignored.
    ///
    /// A job lends to one helper at a time, and only while its caller waits.
    fn lend_weight(&self, helper: HelperId, lend: bool) {
        let _ = (helper, lend);
    }

    /// Charges `cpu_ns` nanoseconds of the calling helper's CPU time to `caller`. A helper calls
    /// this as it ends.
    ///
    /// A kernel adds the time to the account of `caller`, so that borrowed time is not free.
    fn charge(&self, caller: &Self::Thread, cpu_ns: u64) {
        let _ = (caller, cpu_ns);
    }

    /// Returns the locks that the calling thread holds, for the lock check.
    ///
    /// It pays in debug builds. The default returns no lock, and the check finds nothing.
    fn held_locks(&self) -> LockSet {
        LockSet::EMPTY
    }

    /// Sets the calling helper's context before its first chunk, and returns the previous one.
    ///
    /// A kernel whose locks know their holder keeps `context.caller_locks` with the thread, and
    /// reports an attempt to take one of these locks as a deadlock.
    fn begin_help(&self, context: HelperContext) -> HelperContext {
        let _ = context;
        HelperContext::NONE
    }

    /// Restores the calling helper's context after its last chunk. `before` is what
    /// [`begin_help`](Self::begin_help) returned.
    ///
    fn end_help(&self, before: HelperContext) {
        let _ = before;
    }

    /// Traces the start of a job, in its caller. Returns the job's trace number for the next three
    /// methods, or 0 if the job is not to be traced.
    ///
    /// The time that these four methods take adds to the cost of every job and chunk.
    fn job_begins(&self, job: &TracedJob) -> u64 {
        let _ = job;
        0
    }

    /// Traces the end of a job, in its caller, after the last helper's end and the undo. It is not
    /// called if a panic is resumed in the caller.
    fn job_ends(&self, trace_id: u64, ending: TracedEnding, stats: &Stats) {
        let _ = (trace_id, ending, stats);
    }

    /// Traces the start of a chunk, in its worker, before the thread function is called. Chunks of
    /// an undo are not traced.
    fn chunk_begins(&self, trace_id: u64, chunk: TracedChunk) {
        let _ = (trace_id, chunk);
    }

    /// Traces the end of a chunk, in its worker. `is_done` is false if the chunk failed. It is not
    /// called after a panic.
    fn chunk_ends(&self, trace_id: u64, chunk: TracedChunk, is_done: bool) {
        let _ = (trace_id, chunk, is_done);
    }

    /// Returns the memory for the helpers of all jobs, one cell for each that is started and has not
    /// ended. Jobs that find no free cell have fewer helpers.
    ///
    /// It should be the same at each call. All platforms that keep the default share 1024 cells.
    fn helper_cells(&self) -> &'static [HelperCell] {
        shared_cells()
    }

    /// Returns the system-wide limit on helpers. All platforms that keep the default share one
    /// budget.
    fn budget(&self) -> &Budget {
        Budget::shared()
    }

    /// Returns the number of CPUs that the [`budget`](Self::budget) is a share of: those of the
    /// machine, or of `node`, that are online, whatever the calling thread may use of them.
    ///
    /// The default is right where every thread may use every CPU.
    fn budget_cpus(&self, node: Option<NodeId>) -> usize {
        match node {
            None => self.online_cpus(),
            Some(node) => self.online_cpus_of_node(node),
        }
    }

    /// Returns how heavy the calling thread is for the [`budget`](Self::budget): 0 is the heaviest level, 63 and
    /// above the lightest. A nice level plus 20 is such a number.
    ///
    /// Helpers of lighter callers leave at the end of a chunk when heavier callers need their permits. By default all
    /// callers are equal.
    fn caller_level(&self) -> u8 {
        0
    }

    /// Returns the largest number of threads of any job, its caller included. 0 is taken as 1.
    ///
    /// It is the administrator's limit and binds [`Job::threads_exact`](crate::Job::threads_exact)
    /// too.
    fn max_threads(&self) -> usize {
        MAX_WORKERS
    }

    /// Returns whether jobs may use helpers. If not, each job is one plain call per range on its
    /// caller's thread.
    fn enabled(&self) -> bool {
        true
    }
}

impl<P: Platform> Parking for P {
    type Thread = P::Thread;

    fn this_thread(&self) -> P::Thread {
        self.current_thread()
    }

    fn sleep(&self) {
        self.park(None);
    }

    fn wake(&self, thread: &P::Thread) {
        self.unpark(thread);
    }
}
