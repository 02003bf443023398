//! Chooses how many threads a job gets, and runs it.

use super::failed::Failed;
use super::plan::{Body, Outcome, Plan};
use super::{parallel, solo, storage};
use crate::Stats;
use crate::cursor::Cursor;
use crate::platform::Platform;

/// Runs `plan` over `cursors`. Then calls `after` with the chunks that failed, which lie on
/// this function's stack.
pub(super) fn launch<P: Platform>(
    platform: &P,
    plan: &Plan<'_>,
    cursors: &[Cursor],
    body: &dyn Body,
    after: &mut dyn FnMut(Failed<'_>, &mut Outcome),
) -> Outcome {
    let mut stats = Stats::default();
    // Rounded up, as the posted versions of ktask did and padata does not: the rest is work too.
    let chunks = plan.units.div_ceil(plan.smallest_chunk());
    let threads = plan.threads.count(platform, chunks, &mut stats);
    if threads <= 1 {
        let (mut outcome, failed) = solo::run(platform, plan, cursors, body, stats);
        after(Failed::One(failed), &mut outcome);
        return outcome;
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
