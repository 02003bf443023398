//! A checked job without the client's types, and how it ended.

use super::thread_limit::ThreadLimit;
use crate::chunk::{Lineage, RawChunk};
use crate::cursor::{Cut, ExtentFn};
use crate::platform::Platform;
use crate::trail::Trail;
use crate::tuning::Tuning;
use crate::unwind::Payload;
use crate::{CancelToken, Stats, TracedEnding};

/// A job whose description was checked.
pub(crate) struct Plan<'p> {
    pub(crate) body: &'p dyn Body,
    /// Number of ranges. At least 1, at most [`MAX_NODE_RANGES`](crate::MAX_NODE_RANGES).
    pub(crate) ranges: u16,
    pub(crate) extent: &'p ExtentFn<'p>,
    /// Units of all ranges together.
    pub(crate) units: u64,
    pub(crate) cut: Cut,
    pub(crate) threads: ThreadLimit,
    /// Whether helpers are started at once, however little work there is: the caller works later.
    pub(crate) starts_at_once: bool,
    pub(crate) cancel: Option<&'p CancelToken>,
    /// [`Plan::NO_DEADLINE_NS`] for none.
    pub(crate) deadline_ns: u64,
    pub(crate) tuning: Option<&'p Tuning>,
    pub(crate) trail: Option<&'p Trail>,
    pub(crate) lineage: Lineage,
    pub(crate) undo: Option<&'p (dyn Fn(RawChunk) + Sync + 'p)>,
    /// The platform's number for the job in its trace; 0 if the job is not traced.
    pub(crate) trace_id: u64,
}

/// Runs one chunk; returns false if the chunk failed.
pub(crate) type ChunkFn<'f> = dyn FnMut(&RawChunk) -> bool + 'f;

/// Calls a [`ChunkFn`] for one chunk after the other until the worker's part is over.
pub(crate) type ChunkLoop<'l> = dyn FnMut(&mut ChunkFn<'_>) + 'l;

/// Called once, on the job's caller, after the start of the helpers and before the caller's part.
pub(crate) type Meanwhile<'m> = dyn FnMut() + 'm;

/// The client's work, the same for every worker.
pub(crate) trait Body: Sync {
    /// Does one worker's part: sets up, passes a chunk function to `chunk_loop`, cleans up.
    fn work(&self, chunk_loop: &mut ChunkLoop<'_>);

    /// Returns whether cleaning up may take long, as merging accumulators may.
    fn has_tail(&self) -> bool {
        false
    }
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Complete,
    Failed,
    Cancelled,
    DeadlinePassed,
}

impl Ending {
    /// Returns the ending as it is reported to a platform that traces.
    pub(crate) fn traced(self) -> TracedEnding {
        match self {
            Self::Complete => TracedEnding::Complete,
            Self::Failed => TracedEnding::Failed,
            Self::Cancelled => TracedEnding::Cancelled,
            Self::DeadlinePassed => TracedEnding::DeadlinePassed,
        }
    }
}

/// The result of a run, before a caught panic is resumed.
pub(super) struct Outcome {
    pub(super) ending: Ending,
    pub(super) panic: Option<Payload>,
}

/// A plan, with what its run needs and where it reports. Functions pass it on as one argument, which saves
/// stack.
pub(super) struct Request<'q, P> {
    pub(super) platform: &'q P,
    pub(super) plan: &'q Plan<'q>,
    pub(super) meanwhile: &'q mut Meanwhile<'q>,
    /// Empty before the run.
    pub(super) stats: &'q mut Stats,
    pub(super) outcome: Outcome,
}

impl<'q, P> Request<'q, P> {
    pub(super) fn new(
        platform: &'q P,
        plan: &'q Plan<'q>,
        meanwhile: &'q mut Meanwhile<'q>,
        stats: &'q mut Stats,
    ) -> Self {
        Self { platform, plan, meanwhile, stats, outcome: Outcome { ending: Ending::Complete, panic: None } }
    }
}

impl Outcome {
    pub(super) fn is_complete(&self) -> bool {
        self.ending == Ending::Complete && self.panic.is_none()
    }
}

impl Plan<'_> {
    /// The deadline of a plan that has none. No clock of nanoseconds gets there.
    pub(crate) const NO_DEADLINE_NS: u64 = u64::MAX;

    /// Returns the smallest length of a chunk; the last chunk of a range may be shorter.
    pub(super) fn smallest_chunk(&self) -> u64 {
        self.cut.min.max(self.cut.align)
    }

    /// Returns the number of chunks of the smallest length, rounded up.
    pub(super) fn smallest_chunks(&self) -> u64 {
        // Rounded up, as the posted versions of ktask did and padata does not: the rest is work too.
        self.units.div_ceil(self.smallest_chunk())
    }

    /// Returns whether the job may end early for a reason that comes from outside.
    pub(super) fn is_stoppable(&self) -> bool {
        self.cancel.is_some() || self.deadline_ns != Self::NO_DEADLINE_NS
    }

    /// Returns how the job has to end, if it was cancelled or its deadline has passed.
    pub(super) fn stop_requested<P: Platform>(&self, platform: &P) -> Option<Ending> {
        if self.cancel.is_some_and(CancelToken::is_cancelled) {
            return Some(Ending::Cancelled);
        }
        let has_deadline = self.deadline_ns != Self::NO_DEADLINE_NS;
        (has_deadline && platform.now_ns() >= self.deadline_ns).then_some(Ending::DeadlinePassed)
    }
}
