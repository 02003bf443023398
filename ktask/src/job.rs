//! Describing a job and running it.

use core::marker::PhantomData;
use core::ops::Range;

use crate::body::{FirstError, PlainBody, ReduceBody};
use crate::chunk::{Lineage, RawChunk};
use crate::cursor::Cursor;
use crate::engine::{self, Body, Ending, Plan, ThreadLimit};
use crate::raw::Lock;
use crate::shape::Shape;
use crate::walk::{Sequencer, WalkBody};
use crate::{
    CancelToken, Chunk, Invalid, JobError, LockSet, MAX_WORKERS, NodeRange, Platform, Stats, TracedJob,
    Tuning, Unit,
};

/// How far a job may go in using the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Nobody else needs the machine yet: every CPU, no helper budget.
    Boot,
    /// Others are at work: at most [`RUNTIME_THREADS`] threads unless the job says
    /// otherwise, and within the helper budget.
    #[default]
    Runtime,
}

/// Threads that a [`Profile::Runtime`] job has at most when it names no number: the
/// default that the shipped kernel version arrived at (the posted ones had 4).
pub const RUNTIME_THREADS: usize = 16;

/// A job: a range of units and how it may be cut and shared.
///
/// Nothing happens before [`run`](Self::run), which may be called any number of times.
#[must_use = "a job does nothing until it is run"]
pub struct Job<'a, U: Unit> {
    shape: Shape<'a, U>,
    profile: Profile,
    undo: Option<&'a (dyn Fn(Chunk<U>) + Sync)>,
    cancel: Option<&'a CancelToken>,
    deadline_ns: Option<u64>,
    tuning: Option<&'a Tuning>,
    takes_locks: LockSet,
    lineage: Lineage,
    name: &'static str,
}

impl<'a, U: Unit> Job<'a, U> {
    /// A job over `range`, in chunks of at least one unit. An empty range is a job
    /// that does nothing and succeeds.
    pub fn new(range: Range<U>) -> Self {
        Self::of_shape(Shape::new(range))
    }

    /// A job over several ranges, each on its node; they may leave units between them
    /// out. See [`nodes`](Self::nodes) for a job whose range must be covered.
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
            tuning: None,
            takes_locks: LockSet::EMPTY,
            lineage: Lineage::default(),
            name: "",
        }
    }

    /// What to call the job in a trace ([`Platform::job_begins`]).
    pub fn name(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// No chunk is smaller, but for the last of the range: the least work for which
    /// handing out a chunk (about a microsecond) is worth it. Memory of 32 MiB and more
    /// in one piece is also zeroed faster on some processors. At least 1.
    pub fn min_chunk(mut self, min_chunk: U) -> Self {
        self.shape.min_chunk = min_chunk.raw();
        self
    }

    /// Chunks end at positions that are multiples of this, counted from 0 and not from
    /// the start of the range, so that none shares a section or a page table with
    /// another. At least 1.
    pub fn align(mut self, align: U) -> Self {
        self.shape.align = align.raw();
        self
    }

    /// No more threads than this, the caller included. At least 1.
    pub fn max_threads(mut self, max_threads: usize) -> Self {
        self.shape.max_threads = Some(max_threads);
        self
    }

    /// Exactly so many threads, for measuring: neither the CPU count nor the budget nor
    /// the governor has a say. Fewer only where there is less than a chunk for each,
    /// where [`Platform::max_threads`] or [`Platform::enabled`] forbids, or
    /// where helpers are not to be had. 1 to [`MAX_WORKERS`].
    pub fn threads_exact(mut self, threads: usize) -> Self {
        self.shape.threads_exact = Some(threads);
        self
    }

    /// Which part of the range belongs to which node, in any order, at most
    /// [`MAX_NODE_RANGES`](crate::MAX_NODE_RANGES). Together they must cover the job's range exactly.
    pub fn nodes(mut self, nodes: &'a [NodeRange<U>]) -> Self {
        self.shape.nodes = nodes;
        self.shape.gaps_allowed = false;
        self
    }

    /// How far the job may go in using the machine.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// Called, when the job fails, for parts of the range that together are exactly the
    /// completed chunks, on several threads too; their cuts may be others. The failing
    /// chunk is not among them: the thread function cleans up after itself.
    pub fn undo(mut self, undo: &'a (dyn Fn(Chunk<U>) + Sync)) -> Self {
        self.undo = Some(undo);
        self
    }

    /// Ends the job at the next chunk once `token` is cancelled.
    pub fn cancel(mut self, token: &'a CancelToken) -> Self {
        self.cancel = Some(token);
        self
    }

    /// Ends the job at the next chunk once [`Platform::now_ns`] has reached this.
    pub fn deadline_ns(mut self, deadline_ns: u64) -> Self {
        self.deadline_ns = Some(deadline_ns);
        self
    }

    /// Keeps what the governor finds out for the next run. See [`Tuning`].
    pub fn tuning(mut self, tuning: &'a Tuning) -> Self {
        self.tuning = Some(tuning);
        self
    }

    /// Lock classes that the thread function takes. The job refuses to start
    /// ([`Invalid::LockHeld`]) while its caller, or one of the jobs around it, holds one
    /// of them: it would wait for helpers that wait for it.
    pub fn takes_locks(mut self, locks: LockSet) -> Self {
        self.takes_locks = locks;
        self
    }

    /// The job is part of the chunk `outer` of another job. Not needed for safety, nested
    /// jobs cannot block each other; it lets waiting callers help within the family, and
    /// the lock check see the outer callers.
    pub fn within<V: Unit>(mut self, outer: &Chunk<V>) -> Self {
        self.lineage = outer.lineage;
        self
    }

    /// Calls `thread_fn` on chunks that together are the job's range, on the calling thread
    /// and on helpers. When it returns, no call is running and none will come.
    ///
    /// # Errors
    ///
    /// The first error of `thread_fn`, cancellation, a passed deadline, or a job that was
    /// described wrongly (then nothing was started).
    pub fn run<P: Platform, E: Send>(
        &self,
        platform: &P,
        thread_fn: impl Fn(Chunk<U>) -> Result<(), E> + Sync,
    ) -> Result<Stats, JobError<E>> {
        let first_error = FirstError::new();
        let body = PlainBody { thread_fn, first_error: &first_error, unit: PhantomData::<fn(U)> };
        let (ending, stats) = self.execute(platform, &body).map_err(JobError::invalid)?;
        first_error.into_result(ending, stats)
    }

    /// As [`run`](Self::run), with an accumulator per worker instead of shared counters in
    /// the thread function: each worker begins with `init()`, and `merge` makes one of two
    /// in any order. A job without units gives `init()`.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run); the accumulators are dropped then.
    pub fn run_reduce<P: Platform, A: Send, E: Send>(
        &self,
        platform: &P,
        init: impl Fn() -> A + Sync,
        thread_fn: impl Fn(&mut A, Chunk<U>) -> Result<(), E> + Sync,
        merge: impl Fn(A, A) -> A + Sync,
    ) -> Result<(A, Stats), JobError<E>> {
        let first_error = FirstError::new();
        let merged = Lock::new(None);
        let body = ReduceBody {
            init: &init,
            thread_fn,
            merge,
            merged: &merged,
            first_error: &first_error,
            unit: PhantomData::<fn(U)>,
        };
        let (ending, stats) = self.execute(platform, &body).map_err(JobError::invalid)?;
        let stats = first_error.into_result(ending, stats)?;
        Ok((merged.into_inner().unwrap_or_else(init), stats))
    }

    /// As [`run`](Self::run), for a row of things that are reached by stepping: `advance(q, n)`
    /// is the position `n` steps after `q`, and `thread_fn` gets the half-open range of
    /// positions of its chunk. `start` is the position of the range's first unit.
    ///
    /// `advance` is called by one worker at a time, in order, while others wait: it should
    /// take much less time than the work on a chunk. The undo is told numbers only.
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run), and [`Invalid::WalkOverNodes`] if the job has node ranges.
    pub fn run_walk<P: Platform, Q: Copy + Send, E: Send>(
        &self,
        platform: &P,
        start: Q,
        advance: impl Fn(Q, u64) -> Q + Sync,
        thread_fn: impl Fn(Chunk<U>, Range<Q>) -> Result<(), E> + Sync,
    ) -> Result<Stats, JobError<E>> {
        if !self.shape.nodes.is_empty() {
            return Err(JobError::invalid(Invalid::WalkOverNodes));
        }
        let first_error = FirstError::new();
        let body = WalkBody {
            platform,
            sequencer: Lock::new(Sequencer::new(self.shape.range.start.raw(), start)),
            advance,
            thread_fn,
            first_error: &first_error,
            unit: PhantomData::<fn(U)>,
        };
        let (ending, stats) = self.execute(platform, &body).map_err(JobError::invalid)?;
        first_error.into_result(ending, stats)
    }

    /// Checks the description, then has the engine run it.
    fn execute<P: Platform>(&self, platform: &P, body: &dyn Body) -> Result<(Ending, Stats), Invalid> {
        let units = self.shape.units(platform)?;
        let held = self.lineage.locks.union(platform.held_locks());
        let circle = held.0 & self.takes_locks.0;
        if circle != 0 {
            return Err(Invalid::LockHeld { locks: circle });
        }
        if units == 0 {
            return Ok((Ending::Complete, Stats::default()));
        }
        let undo = self.undo.map(|undo| move |raw: RawChunk| undo(Chunk::from_raw(raw)));
        let told = TracedJob { name: self.name, start: self.shape.range.start.raw(), units };
        let trace_id = platform.job_begins(&told);
        let plan = Plan {
            trace_id,
            units,
            min_chunk: self.shape.min_chunk,
            align: self.shape.align,
            threads: self.thread_limit(),
            cancel: self.cancel,
            deadline_ns: self.deadline_ns,
            tuning: self.tuning,
            lineage: Lineage { locks: held, ..self.lineage },
            undo: undo.as_ref().map(|undo| undo as _),
        };
        let range = |index: usize| match self.shape.nodes.get(index) {
            Some(range) => Cursor::new(range.start.raw(), range.end.raw(), Some(range.node)),
            None => Cursor::new(self.shape.range.start.raw(), self.shape.range.end.raw(), None),
        };
        let (ending, stats) = engine::execute(platform, &plan, self.shape.nodes.len().max(1), &range, body);
        if trace_id != 0 {
            platform.job_ends(trace_id, ending.traced(), &stats);
        }
        Ok((ending, stats))
    }

    fn thread_limit(&self) -> ThreadLimit {
        if let Some(threads) = self.shape.threads_exact {
            return ThreadLimit::Exact(threads);
        }
        let (default, budgeted) = match self.profile {
            Profile::Boot => (MAX_WORKERS, false),
            Profile::Runtime => (RUNTIME_THREADS, true),
        };
        ThreadLimit::UpTo { limit: self.shape.max_threads.unwrap_or(default), budgeted }
    }
}
