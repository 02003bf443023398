//! The description of a job, and its start.

use core::marker::PhantomData;
use core::num::NonZero;
use core::ops::Range;

use crate::body::{FirstError, PlainBody, ReduceBody};
use crate::chunk::{Lineage, RawChunk};
use crate::cursor::{Cut, ExtentFn};
use crate::engine::{self, Body, Ending, Meanwhile, Plan, ThreadLimit};
use crate::raw::TurnLock;
use crate::shape::Shape;
use crate::walk::WalkBody;
use crate::{
    CancelToken, Chunk, ChunkResult, Invalid, JobError, LockSet, MAX_WORKERS, NodeRange, Platform, Stats,
    TracedEnding, TracedJob, Trail, Tuning, Unit,
};

/// The extent to which a job may use the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// Every CPU, without the helper budget: nothing else needs the machine yet.
    Boot,
    /// At most [`RUNTIME_THREADS`] threads unless the job sets a limit, and helpers within the
    /// budget: other threads need the machine too.
    #[default]
    Runtime,
}

/// The largest number of threads of a [`Profile::Runtime`] job that sets no limit. It is the
/// default of the shipped kernel version (the posted versions had 4).
pub const RUNTIME_THREADS: usize = 16;

/// A range of units to work on, and how it may be cut and shared.
///
/// A job does nothing before it is run, any number of times, in one of these ways:
///
/// | the thread function | method |
/// |---|---|
/// | gets a chunk | [`run`](Self::run) |
/// | also gets the chunk's part of a mutable slice | [`for_each_mut`](Self::for_each_mut) |
/// | also gets an accumulator | [`run_reduce`](Self::run_reduce) |
/// | the same, with a result that does not depend on timing | [`run_ordered`](Self::run_ordered) |
/// | may end the job early with a result | [`find_any`](Self::find_any) |
/// | runs on helpers while the caller does something else | [`run_beside`](Self::run_beside) |
/// | also gets the chunk's nodes of a linked list | [`run_list`](Self::run_list) |
/// | also gets positions in a sequence of another kind | [`run_walk`](Self::run_walk) |
#[derive(Clone)]
#[must_use = "a job does nothing until it is run"]
pub struct Job<'a, U: Unit> {
    pub(crate) shape: Shape<'a, U>,
    profile: Profile,
    pub(crate) undo: Option<&'a (dyn Fn(Chunk<U>) + Sync)>,
    cancel: Option<&'a CancelToken>,
    deadline_ns: Option<u64>,
    timeout_ns: Option<u64>,
    tuning: Option<&'a Tuning>,
    trail: Option<&'a Trail>,
    takes_locks: LockSet,
    lineage: Lineage,
    name: &'static str,
}

/// What is special about a way to run a job.
pub(crate) struct Manner<'m> {
    /// How a job that one of its chunks has ended is traced.
    pub(crate) stopped: TracedEnding,
    /// What the caller does before its part of the job.
    pub(crate) meanwhile: Option<&'m mut Meanwhile<'m>>,
    /// The length of all chunks, if it is fixed.
    pub(crate) chunk_len: Option<NonZero<u64>>,
}

impl Manner<'_> {
    /// The manner of a job with nothing special.
    pub(crate) const PLAIN: Self = Self { stopped: TracedEnding::Failed, meanwhile: None, chunk_len: None };
}

impl<'a, U: Unit> Job<'a, U> {
    /// Describes a job over `range`, in chunks of at least one unit. A job over an empty range
    /// does nothing and succeeds.
    pub fn new(range: Range<U>) -> Self {
        Self::of_shape(Shape::new(range))
    }

    /// Describes a job over several ranges, each on its node, with gaps allowed between them.
    /// [`nodes`](Self::nodes) describes a job whose range must be covered.
    pub fn over_nodes(nodes: &'a [NodeRange<U>]) -> Self {
        Self::of_shape(Shape::over_nodes(nodes))
    }

    fn of_shape(shape: Shape<'a, U>) -> Self {
        Self {
            shape,
            profile: Profile::default(),
            undo: None,
            cancel: None,
            deadline_ns: None,
            timeout_ns: None,
            tuning: None,
            trail: None,
            takes_locks: LockSet::EMPTY,
            lineage: Lineage::default(),
            name: "",
        }
    }

    /// Sets the job's name in a trace ([`Platform::job_begins`]).
    pub fn name(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Sets the smallest length of a chunk; the last chunk of a range may be shorter. At least 1.
    ///
    /// It should be the least work that is worth handing out a chunk (about a microsecond). Some
    /// processors also zero memory faster in extents of 32 MiB and more.
    pub fn min_chunk(mut self, min_chunk: U) -> Self {
        self.shape.min_chunk = min_chunk.raw();
        self
    }

    /// Sets the largest length of a chunk: at least `min_chunk` rounded up to a multiple of `align`.
    ///
    /// It is for units whose cost is not known and may be high: a worker looks at the cancel token
    /// and the deadline between chunks. The first chunk of a range that starts between two multiples
    /// of `align` may be longer, by less than `align`.
    pub fn max_chunk(mut self, max_chunk: U) -> Self {
        self.shape.max_chunk = Some(max_chunk.raw());
        self
    }

    /// Makes chunks end at multiples of `align`, which is at least 1.
    ///
    /// Positions are counted from 0, not from the start of the range, so that no two chunks
    /// share a section or a page table.
    pub fn align(mut self, align: U) -> Self {
        self.shape.align = align.raw();
        self
    }

    /// Limits the number of threads, the caller included. At least 1; not together with
    /// [`threads_exact`](Self::threads_exact).
    pub fn max_threads(mut self, max_threads: usize) -> Self {
        self.shape.max_threads = Some(max_threads);
        self
    }

    /// Sets the exact number of threads, for measurements: 1 to [`MAX_WORKERS`].
    ///
    /// CPU count, budget and governor do not apply. The job gets fewer threads in three cases only:
    /// there is less than a chunk for each, [`Platform::max_threads`] or [`Platform::enabled`]
    /// forbids it, or helpers are not available.
    pub fn threads_exact(mut self, threads: usize) -> Self {
        self.shape.threads_exact = Some(threads);
        self
    }

    /// Declares which part of the range lies on which node, in any order.
    ///
    /// There are at most [`MAX_NODE_RANGES`](crate::MAX_NODE_RANGES) parts, and together they
    /// must cover the job's range exactly.
    pub fn nodes(mut self, nodes: &'a [NodeRange<U>]) -> Self {
        self.shape.nodes = nodes;
        self.shape.gaps_allowed = false;
        self
    }

    /// Sets how much of the machine the job may use.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Sets the function that undoes completed units when the job ends early.
    ///
    /// Its calls together cover exactly the units of the completed chunks. The bounds of the
    /// chunks may differ, and several threads may call it. A chunk that failed is not undone: the
    /// thread function cleans up after itself.
    pub fn undo(mut self, undo: &'a (dyn Fn(Chunk<U>) + Sync)) -> Self {
        self.undo = Some(undo);
        self
    }

    /// Ends the job at the next chunk once `token` is cancelled.
    pub fn cancel(mut self, token: &'a CancelToken) -> Self {
        self.cancel = Some(token);
        self
    }

    /// Ends the job at the next chunk once [`Platform::now_ns`] has reached `deadline_ns`.
    pub fn deadline_ns(mut self, deadline_ns: u64) -> Self {
        self.deadline_ns = Some(deadline_ns);
        self
    }

    /// Ends the job at the next chunk once it has run for `timeout_ns` nanoseconds, each time that it
    /// is run. Of a deadline and a timeout, the earlier one counts.
    pub fn timeout_ns(mut self, timeout_ns: u64) -> Self {
        self.timeout_ns = Some(timeout_ns);
        self
    }

    /// Keeps the thread count that the governor finds for the next run. See [`Tuning`].
    pub fn tuning(mut self, tuning: &'a Tuning) -> Self {
        self.tuning = Some(tuning);
        self
    }

    /// Records the governor's decisions in `trail`, those of the last run.
    pub fn trail(mut self, trail: &'a Trail) -> Self {
        self.trail = Some(trail);
        self
    }

    /// Declares the lock classes that the thread function takes.
    ///
    /// The job does not start ([`Invalid::LockHeld`]) if its caller, or the caller of an outer
    /// job, holds one of them. That caller would wait for helpers that wait for its lock.
    pub fn takes_locks(mut self, locks: LockSet) -> Self {
        self.takes_locks = locks;
        self
    }

    /// Declares that the job runs inside the chunk `outer` of another job.
    ///
    /// It is not needed for safety: nested jobs cannot block each other. It lets the lock check see
    /// the outer callers.
    pub fn within<V: Unit>(mut self, outer: &Chunk<V>) -> Self {
        self.lineage = outer.lineage;
        self
    }

    /// Calls `thread_fn` on chunks that together are the job's range, on the calling thread and
    /// on helpers. After `run` has returned, no call is running and none begins.
    ///
    /// `thread_fn` returns `Result<(), E>`, or nothing if it cannot fail ([`ChunkResult`]).
    ///
    /// # Errors
    ///
    /// The first error of `thread_fn`, cancellation, a passed deadline, or an invalid
    /// description (then nothing was started).
    // Never inlined, so that its frame is not part of its caller's: the same in all methods that run a job.
    #[inline(never)]
    pub fn run<P: Platform, R: ChunkResult>(
        &self,
        platform: &P,
        thread_fn: impl Fn(Chunk<U>) -> R + Sync,
    ) -> Result<Stats, JobError<R::Error>> {
        let mut first_error = FirstError::new();
        let body = PlainBody::new(thread_fn, &first_error);
        let mut stats = Stats::default();
        let ending = self.execute(platform, &body, &mut stats);
        first_error.take_result(ending, &stats)
    }

    /// Runs the job with an accumulator per worker, in place of counters that the thread function
    /// would share.
    ///
    /// Each worker begins with `init()`. `merge` combines two accumulators, in any order. A job
    /// without units returns `init()`. The rest is as in [`run`](Self::run).
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run). The accumulators are dropped.
    #[inline(never)]
    pub fn run_reduce<P: Platform, A: Send, R: ChunkResult>(
        &self,
        platform: &P,
        init: impl Fn() -> A + Sync,
        thread_fn: impl Fn(&mut A, Chunk<U>) -> R + Sync,
        merge: impl Fn(A, A) -> A + Sync,
    ) -> Result<(A, Stats), JobError<R::Error>> {
        let mut first_error = FirstError::new();
        let merged = TurnLock::new(None, 0);
        let body = ReduceBody {
            platform,
            init: &init,
            thread_fn,
            merge,
            merged: &merged,
            first_error: &first_error,
            unit: PhantomData::<fn(U)>,
        };
        let mut stats = Stats::default();
        let ending = self.execute(platform, &body, &mut stats);
        first_error.take_result_with(ending, &stats, || merged.into_inner().unwrap_or_else(init))
    }

    /// Runs the job over a sequence that can only be stepped through, such as a list.
    ///
    /// `start` is the position of the range's first unit. `advance(q, n)` returns the position
    /// `n` steps after `q`. `thread_fn` gets the half-open range of positions of its chunk. The
    /// rest is as in [`run`](Self::run).
    ///
    /// One worker at a time calls `advance`, in order, while others wait: it should take much
    /// less time than the work on a chunk. The undo gets unit numbers, not positions.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run), and [`Invalid::WalkOverNodes`] if the job has node ranges.
    #[inline(never)]
    pub fn run_walk<P: Platform, Q: Copy + Send, R: ChunkResult>(
        &self,
        platform: &P,
        start: Q,
        advance: impl Fn(Q, u64) -> Q + Sync,
        thread_fn: impl Fn(Chunk<U>, Range<Q>) -> R + Sync,
    ) -> Result<Stats, JobError<R::Error>> {
        if !self.shape.nodes.is_empty() {
            return Err(JobError::invalid(Invalid::WalkOverNodes));
        }
        let mut first_error = FirstError::new();
        let body = WalkBody {
            platform,
            position: TurnLock::new(start, self.shape.start),
            advance,
            thread_fn,
            first_error: &first_error,
            unit: PhantomData::<fn(U)>,
        };
        let mut stats = Stats::default();
        let ending = self.execute(platform, &body, &mut stats);
        first_error.take_result(ending, &stats)
    }

    /// Checks the description and runs the job on the engine. Writes the empty `stats`.
    pub(crate) fn execute<P: Platform>(
        &self,
        platform: &P,
        body: &dyn Body,
        stats: &mut Stats,
    ) -> Result<Ending, Invalid> {
        self.execute_in(platform, body, Manner::PLAIN, stats)
    }

    /// Does the same in another manner.
    pub(crate) fn execute_in<P: Platform>(
        &self,
        platform: &P,
        body: &dyn Body,
        manner: Manner<'_>,
        stats: &mut Stats,
    ) -> Result<Ending, Invalid> {
        let units = self.shape.units(platform)?;
        let held = self.lineage.locks.union(platform.held_locks());
        let conflict = held.0 & self.takes_locks.0;
        if conflict != 0 {
            return Err(Invalid::LockHeld { locks: conflict });
        }
        if units == 0 {
            return Ok(Ending::Complete);
        }
        if let Some(trail) = self.trail {
            trail.clear();
        }
        let undo = self.undo.map(|undo| move |raw: RawChunk| undo(Chunk::from_raw(&raw)));
        let undo = undo.as_ref().map(|undo| undo as _);
        let extent = |index: usize| self.shape.extent(index);
        let mut plan = self.plan(platform, units, held, body, &extent);
        plan.undo = undo;
        if let Some(len) = manner.chunk_len {
            (plan.cut.min, plan.cut.max) = (len.get(), len.get());
        }
        plan.starts_at_once = manner.meanwhile.is_some();
        plan.trace_id = self.trace_begin(platform, units);
        let mut nothing = || {};
        let meanwhile = manner.meanwhile.unwrap_or(&mut nothing);
        let ending = engine::execute(platform, &plan, meanwhile, stats);
        if plan.trace_id != 0 {
            let traced = if ending == Ending::Failed { manner.stopped } else { ending.traced() };
            platform.job_ends(plan.trace_id, traced, stats);
        }
        Ok(ending)
    }

    /// Returns the plan of the job, which is checked, without undo and trace number.
    ///
    /// Never inlined: a job should not have this frame on its caller's stack.
    #[inline(never)]
    fn plan<'p, P: Platform>(
        &'p self,
        platform: &P,
        units: u64,
        held: LockSet,
        body: &'p dyn Body,
        extent: &'p ExtentFn<'p>,
    ) -> Plan<'p> {
        Plan {
            body,
            ranges: self.shape.nodes.len().max(1) as u16,
            extent,
            units,
            cut: Cut { min: self.shape.min_chunk, max: self.shape.longest_chunk(), align: self.shape.align },
            threads: self.thread_limit(),
            starts_at_once: false,
            cancel: self.cancel,
            deadline_ns: self.stop_at_ns(platform),
            tuning: self.tuning,
            trail: self.trail,
            lineage: Lineage { locks: held, ..self.lineage },
            undo: None,
            trace_id: 0,
        }
    }

    /// Traces the start of the job over `units`. Returns its trace number.
    ///
    /// Never inlined: a job should not have this frame on its caller's stack.
    #[inline(never)]
    fn trace_begin<P: Platform>(&self, platform: &P, units: u64) -> u64 {
        platform.job_begins(&TracedJob { name: self.name, start: self.shape.start, units })
    }

    /// Returns the time at which the job has to end: the earlier one of its deadline and the end of
    /// its timeout, which begins now.
    fn stop_at_ns<P: Platform>(&self, platform: &P) -> u64 {
        let timed_out_ns = self.timeout_ns.map(|timeout_ns| platform.now_ns().saturating_add(timeout_ns));
        let never_ns = Plan::NO_DEADLINE_NS;
        self.deadline_ns.unwrap_or(never_ns).min(timed_out_ns.unwrap_or(never_ns))
    }

    /// Returns the limit that the job itself sets on its threads.
    fn thread_limit(&self) -> ThreadLimit {
        if let Some(threads) = self.shape.threads_exact {
            // At most `MAX_WORKERS`, as was checked.
            return ThreadLimit::Exact(threads as u16);
        }
        let (default, budgeted) = match self.profile {
            Profile::Boot => (MAX_WORKERS, false),
            Profile::Runtime => (RUNTIME_THREADS, true),
        };
        let limit = self.shape.max_threads.unwrap_or(default).min(MAX_WORKERS) as u16;
        ThreadLimit::UpTo { limit, budgeted }
    }
}
