//! From a checked description to the last helper's end.
//!
//! Nothing here knows the client's types: units are numbers, the thread function is a
//! [`Body`]. So the engine is compiled once per platform, not once per job.

mod governor;
mod parallel;
mod slots;
mod solo;
mod storage;
mod team;
mod threads;
mod undo;
mod wait;
mod worker;

use crate::chunk::Lineage;
use crate::cursor::Cursor;
use crate::platform::Platform;
use crate::tuning::Tuning;
use crate::unwind::{self, Payload};
use crate::{CancelToken, NodeId, Stats, TracedEnding};

pub(crate) use threads::Threads;

/// A job, checked.
pub(crate) struct Plan<'p> {
    /// Units in all.
    pub(crate) units: u64,
    /// At least 1.
    pub(crate) min_chunk: u64,
    /// At least 1.
    pub(crate) align: u64,
    pub(crate) threads: Threads,
    pub(crate) cancel: Option<&'p CancelToken>,
    pub(crate) deadline_ns: Option<u64>,
    pub(crate) tuning: Option<&'p Tuning>,
    pub(crate) lineage: Lineage,
    pub(crate) undo: Option<&'p (dyn Fn(RawChunk) + Sync + 'p)>,
    /// What the platform calls the job in its trace; 0: it does not trace it.
    pub(crate) trace_id: u64,
}

/// A chunk without the client's type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawChunk {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) worker: usize,
    pub(crate) node: Option<NodeId>,
    pub(crate) local: bool,
    pub(crate) lineage: Lineage,
}

/// Runs one chunk; false means that it failed.
pub(crate) type Step<'s> = dyn FnMut(RawChunk) -> bool + 's;

/// Calls a step for one chunk after the other until there is no more for this worker.
pub(crate) type Drive<'d> = dyn FnMut(&mut Step<'_>) + 'd;

/// What every worker does.
pub(crate) trait Body: Sync {
    /// One worker's part from its first chunk to its last: sets itself up, passes a step to
    /// `drive`, clears up.
    fn work(&self, drive: &mut Drive<'_>);
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
    /// As platforms are told.
    pub(crate) fn told(self) -> TracedEnding {
        match self {
            Self::Complete => TracedEnding::Complete,
            Self::Failed => TracedEnding::Failed,
            Self::Cancelled => TracedEnding::Cancelled,
            Self::DeadlinePassed => TracedEnding::DeadlinePassed,
        }
    }
}

/// Runs `plan` over `ranges` (their number, and each one) with `body`.
///
/// A panic of `body` goes on here, after the join and the undo.
pub(crate) fn execute<P: Platform>(
    platform: &P,
    plan: &Plan<'_>,
    ranges: usize,
    range: &dyn Fn(usize) -> Cursor,
    body: &dyn Body,
) -> (Ending, Stats) {
    let mut outcome = None;
    storage::with_cursors(ranges, range, &mut |cursors| {
        outcome = Some(execute_over(platform, plan, cursors, body));
    });
    let Some(Outcome { ending, stats, panic }) = outcome else {
        unreachable!("with_cursors calls its closure");
    };
    match panic {
        Some(payload) => unwind::resume(payload),
        None => (ending, stats),
    }
}

/// What comes out of a run, before a panic goes on.
struct Outcome {
    ending: Ending,
    stats: Stats,
    panic: Option<Payload>,
}

impl Outcome {
    fn is_complete(&self) -> bool {
        self.ending == Ending::Complete && self.panic.is_none()
    }
}

impl Plan<'_> {
    /// Whether someone outside wants the job to end, and how that is called.
    fn ended_from_outside<P: Platform>(&self, platform: &P) -> Option<Ending> {
        if self.cancel.is_some_and(CancelToken::is_cancelled) {
            return Some(Ending::Cancelled);
        }
        let deadline_ns = self.deadline_ns?;
        (platform.now_ns() >= deadline_ns).then_some(Ending::DeadlinePassed)
    }
}

fn execute_over<P: Platform>(platform: &P, plan: &Plan<'_>, cursors: &[Cursor], body: &dyn Body) -> Outcome {
    let mut stats = Stats::default();
    let threads = plan.threads.count(platform, plan, &mut stats);
    if threads <= 1 {
        return solo::run(platform, plan, cursors, body, stats);
    }
    let mut outcome = None;
    storage::with_slots(threads, &mut |slots| {
        outcome = Some(parallel::run(platform, plan, cursors, slots, body, stats));
    });
    match outcome {
        Some(outcome) => outcome,
        None => unreachable!("with_slots calls its closure"),
    }
}
