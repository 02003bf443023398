//! What a kernel supplies.

use crate::node::NodeId;
use crate::{Budget, HelperTask, MAX_WORKERS, Stats, TracedChunk, TracedEnding, TracedJob};

/// Names a helper that [`Platform::start_helper`] accepted.
///
/// The platform chooses the number. A job may ask about a helper that is long
/// gone, so a number must not come back while a job that got it runs: a slot
/// index with a generation above it, or a plain 64-bit counter, does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HelperId(pub u64);

/// A set of up to 64 lock classes, for the check that a job's thread function
/// does not take a lock that its waiting caller holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LockSet(pub u64);

impl LockSet {
    /// No lock at all.
    pub const EMPTY: Self = Self(0);

    /// Whether the lock class number `class` (0 to 63) is in the set; a larger
    /// number never is.
    #[must_use]
    pub const fn contains(self, class: u32) -> bool {
        class < 64 && self.0 & (1 << class) != 0
    }

    /// The set with the lock class number `class` (0 to 63) added; a larger
    /// number changes nothing.
    #[must_use]
    pub const fn with(self, class: u32) -> Self {
        if class < 64 { Self(self.0 | 1 << class) } else { self }
    }

    /// The set with the lock class number `class` (0 to 63) taken out.
    #[must_use]
    pub const fn without(self, class: u32) -> Self {
        if class < 64 { Self(self.0 & !(1 << class)) } else { self }
    }

    /// All classes of both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Where a helper should run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Placement {
    /// The node whose CPUs to prefer; `None` means anywhere. A wish: a helper
    /// elsewhere is slower, not wrong.
    pub node: Option<NodeId>,
}

/// What a helper thread is told before its first chunk. The default is that of a
/// thread that helps nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HelperContext {
    /// Locks that the job's caller, and the callers of the jobs around it, held
    /// when they started: a helper that takes one of them waits for a thread
    /// that waits for the helper.
    pub caller_locks: LockSet,
    /// How many jobs are around this one; 0 for a job that is not nested.
    pub depth: u32,
}

impl HelperContext {
    /// Of a thread that helps nobody.
    pub const NONE: Self = Self { caller_locks: LockSet::EMPTY, depth: 0 };
}

/// The few things that ktask asks of a kernel.
///
/// A platform is a *handle*: a zero-sized type in a kernel, a reference or an
/// `Arc` in a program. Six methods and the thread type have no default;
/// `examples/own_platform.rs` is a complete platform in under 100 lines. A kernel
/// whose scheduler supports it also overrides [`thread_time_ns`](Self::thread_time_ns),
/// [`cancel_helper`](Self::cancel_helper) and [`lend_weight`](Self::lend_weight).
///
/// Everything here is a safe function, and no answer of a platform can break
/// memory safety or the exactly-once contract: a wrong CPU count costs speed, a
/// helper that never runs (without being dropped or given back) makes
/// [`Job::run`](crate::Job::run) wait forever, and that is the worst of it.
///
/// # Who calls what
///
/// *The job's caller*, on its own thread: everything but [`charge`](Self::charge),
/// [`begin_help`](Self::begin_help) and [`end_help`](Self::end_help). So
/// [`start_helper`](Self::start_helper) and [`online_cpus`](Self::online_cpus)
/// can read the caller's CPU mask, quota and account from "the current thread".
/// *Helpers*: those three, [`unpark`](Self::unpark), the clocks,
/// [`current_node`](Self::current_node), [`node_distance`](Self::node_distance),
/// [`budget`](Self::budget), and in a walk [`park`](Self::park). No method is called with a lock of
/// ktask held, and none from interrupt context unless a job is run there.
pub trait Platform: Clone + Send + Sync + Sized + 'static {
    /// A handle to wake a thread, valid for as long as it is kept: waking a
    /// thread that has ended must be harmless.
    type Thread: Clone + Send + Sync + 'static;

    /// CPUs that the calling thread and helpers for it may use now: online,
    /// within the calling thread's CPU mask, and no more than its CPU quota is
    /// worth (rounded up). At least 1; 0 is taken as 1.
    fn online_cpus(&self) -> usize;

    /// Monotonic time in nanoseconds. Its zero is the platform's choice.
    fn now_ns(&self) -> u64;

    /// The calling thread.
    fn current_thread(&self) -> Self::Thread;

    /// Blocks the calling thread until [`unpark`](Self::unpark) is called for it or
    /// [`now_ns`](Self::now_ns) reaches `deadline_ns`.
    ///
    /// An `unpark` that comes before the `park` is remembered, once: the `park`
    /// then returns at once. Returning without reason is allowed.
    fn park(&self, deadline_ns: Option<u64>);

    /// Wakes `thread` from [`park`](Self::park), or lets its next one return at once.
    /// What the waker wrote before is visible to the thread that `park` returned on.
    fn unpark(&self, thread: &Self::Thread);

    /// Has some thread call [`HelperTask::run`] on `task`, soon, at the lowest
    /// weight the scheduler knows, within the calling thread's CPU mask.
    ///
    /// Must not allocate and must not wait: pools are filled beforehand. It must
    /// not run the task on the calling thread either.
    ///
    /// # Errors
    ///
    /// Gives the task back when no helper is to be had (pool empty, CPU gone). The
    /// job then runs on fewer threads. A task dropped later, without having been
    /// run, counts as a lost helper and costs speed only. Running and dropping a task both end
    /// in [`unpark`](Self::unpark): do neither with a lock held that `unpark` takes.
    fn start_helper(
        &self,
        task: HelperTask<Self>,
        placement: Placement,
    ) -> Result<HelperId, HelperTask<Self>>;

    /// The number of memory nodes; they are counted from 0. At least 1.
    fn nodes(&self) -> usize {
        1
    }

    /// As [`online_cpus`](Self::online_cpus), of one node. May be 0: a node with
    /// memory only.
    fn online_cpus_of_node(&self, node: NodeId) -> usize {
        if node.0 == 0 { self.online_cpus() } else { 0 }
    }

    /// CPUs of [`online_cpus`](Self::online_cpus) that are whole cores, counting
    /// hardware threads that share one core once. It is the first count that the
    /// governor tries: second threads of a core add little where memory is the limit.
    fn physical_cores(&self) -> usize {
        self.online_cpus()
    }

    /// The node of the CPU that the calling thread runs on.
    fn current_node(&self) -> NodeId {
        NodeId(0)
    }

    /// How far memory of node `to` is from a CPU of node `from`, as in the
    /// firmware's distance table: 10 is local, more is farther.
    fn node_distance(&self, from: NodeId, to: NodeId) -> u32 {
        if from == to { 10 } else { 20 }
    }

    /// CPU time that the calling thread has used, in nanoseconds. The default is
    /// wall time, which is right where helpers are never preempted.
    fn thread_time_ns(&self) -> u64 {
        self.now_ns()
    }

    /// Takes back a helper that has not started: the task if it was still
    /// queued, `None` if it runs, has run, or is unknown.
    fn cancel_helper(&self, helper: HelperId) -> Option<HelperTask<Self>> {
        let _ = helper;
        None
    }

    /// Lets `helper` run at the calling thread's weight (`lend` true) or puts it
    /// back to the lowest (`lend` false). A job lends to one helper at a time, and
    /// only while its caller has nothing to do but wait. A helper that is gone
    /// is ignored.
    fn lend_weight(&self, helper: HelperId, lend: bool) {
        let _ = (helper, lend);
    }

    /// Takes one queued helper task whose [`family`](HelperTask::family) is
    /// `family`, for the calling thread to run while it waits. `None` if there is
    /// none, or the platform keeps no queue.
    fn take_queued(&self, family: u64) -> Option<HelperTask<Self>> {
        let _ = family;
        None
    }

    /// Told by a helper as it ends: `cpu_ns` nanoseconds of its CPU time were
    /// spent for `caller`. A kernel adds them to that thread's account, so that
    /// borrowed time is not free.
    fn charge(&self, caller: &Self::Thread, cpu_ns: u64) {
        let _ = (caller, cpu_ns);
    }

    /// Locks that the calling thread holds, for the lock check. Worth the trouble in
    /// debug builds; the default knows of none and the check finds nothing.
    fn held_locks(&self) -> LockSet {
        LockSet::EMPTY
    }

    /// Called on a helper thread before its first chunk; returns the context that the
    /// thread had until now. A kernel whose locks know their holder keeps
    /// `context.caller_locks` with the thread and reports a lock that would
    /// be waited for in a circle.
    fn begin_help(&self, context: HelperContext) -> HelperContext {
        let _ = context;
        HelperContext::NONE
    }

    /// Called on a helper thread after its last chunk, with what
    /// [`begin_help`](Self::begin_help) returned: calls nest, because a thread that
    /// waits in a nested job may help another one of its family meanwhile.
    fn end_help(&self, before: HelperContext) {
        let _ = before;
    }

    /// Told by a job's caller as the job begins, for tracing. Returns the number under which the
    /// platform is told of the rest, or 0 if it does not want to be. What this and the next three do
    /// adds to the cost of every job and chunk.
    fn job_begins(&self, job: &TracedJob) -> u64 {
        let _ = job;
        0
    }

    /// Told by a job's caller after the last helper's end and the undo, if
    /// [`job_begins`](Self::job_begins) returned `trace_id`. Not where a panic goes on in the caller.
    fn job_ends(&self, trace_id: u64, ending: TracedEnding, stats: &Stats) {
        let _ = (trace_id, ending, stats);
    }

    /// Told by a worker before it calls the thread function. What an undo does is not told.
    fn chunk_begins(&self, trace_id: u64, chunk: TracedChunk) {
        let _ = (trace_id, chunk);
    }

    /// Told by the same worker afterwards, and whether the chunk was done or failed. Not after a
    /// panic.
    fn chunk_ends(&self, trace_id: u64, chunk: TracedChunk, is_done: bool) {
        let _ = (trace_id, chunk, is_done);
    }

    /// The system-wide limit on helpers. The default is one that all platforms
    /// without their own share.
    fn budget(&self) -> &Budget {
        Budget::shared()
    }

    /// No job gets more threads than this, its caller included. The knob of the
    /// system's owner: it binds [`Job::threads_exact`](crate::Job::threads_exact)
    /// too. 0 is taken as 1.
    fn max_threads(&self) -> usize {
        MAX_WORKERS
    }

    /// Whether jobs may use helpers at all. When not, each job is one plain call
    /// per range on its caller's thread.
    fn enabled(&self) -> bool {
        true
    }
}
