//! Chooses how many threads a job gets, and runs it.

use super::failed::{AfterRun, Failed};
use super::plan::{Body, Outcome, Plan};
use super::{parallel, solo, storage};
use crate::Stats;
use crate::cursor::Cursor;
use crate::platform::Platform;

/// Runs `plan` over `cursors`, then calls `after`.
pub(super) fn launch<P: Platform>(
    platform: &P,
    plan: &Plan<'_>,
    cursors: &[Cursor],
    body: &dyn Body,
    after: &mut AfterRun<'_>,
) -> Outcome {
    let mut stats = Stats::default();
    let threads = plan.threads.count(platform, plan.smallest_chunks(), &mut stats);
    if threads <= 1 {
        return solo::run(platform, plan, cursors, body, stats, after);
    }
    let mut outcome = None;
    storage::with_slots(threads, &mut |slots| {
        let mut parallel = parallel::run(platform, plan, cursors, slots, body, stats);
        after(Failed::Slots(slots), &mut parallel);
        outcome = Some(parallel);
    });
    match outcome {
        Some(outcome) => outcome,
        None => unreachable!("with_slots calls its closure"),
    }
}
