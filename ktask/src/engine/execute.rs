//! The engine's entry point.

use super::launch::launch;
use super::plan::{Ending, Meanwhile, Outcome, Plan};
use super::{storage, undo};
use crate::Stats;
use crate::cursor::Cursors;
use crate::platform::Platform;
use crate::unwind;

/// Runs `plan`, and `meanwhile`. Writes the empty `stats`.
///
/// A panic of the body is resumed here, after the join and the undo.
///
/// Inlined into its one caller, because two frames take more of the stack than one.
#[inline(always)]
pub(crate) fn execute<P: Platform>(
    platform: &P,
    plan: &Plan<'_>,
    meanwhile: &mut Meanwhile<'_>,
    stats: &mut Stats,
) -> Ending {
    let outcome = if plan.ranges == 1 {
        storage::with_cursor(plan.extent, |cursors| over(platform, plan, cursors, meanwhile, stats))
    } else {
        storage::with_cursors(plan.ranges, plan.extent, |cursors| {
            over(platform, plan, cursors, meanwhile, stats)
        })
    };
    match outcome.panic {
        Some(payload) => unwind::resume(payload),
        None => outcome.ending,
    }
}

/// Runs `plan` over `cursors`, and undoes it if it has to be.
#[inline(always)]
fn over<P: Platform>(
    platform: &P,
    plan: &Plan<'_>,
    cursors: &Cursors<'_>,
    meanwhile: &mut Meanwhile<'_>,
    stats: &mut Stats,
) -> Outcome {
    launch(platform, plan, cursors, meanwhile, stats, &mut |failed, outcome, stats| {
        undo::undo_completed(platform, plan, cursors, failed, outcome, stats);
    })
}
