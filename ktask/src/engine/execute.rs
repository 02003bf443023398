//! The engine's entry point.

use super::launch::launch;
use super::plan::{Ending, Meanwhile, Plan, Request};
use super::{storage, undo};
use crate::Stats;
use crate::platform::Platform;
use crate::unwind;

/// Runs `plan`, and `meanwhile`. Writes the empty `stats`.
///
/// A panic of the body is resumed here, after the join and the undo.
///
/// Inlined into its one caller, because two frames take more of the stack than one.
#[inline(always)]
pub(crate) fn execute<'e, P: Platform>(
    platform: &'e P,
    plan: &'e Plan<'e>,
    meanwhile: &'e mut Meanwhile<'e>,
    stats: &'e mut Stats,
) -> Ending {
    let mut request = Request::new(platform, plan, meanwhile, stats);
    if plan.ranges == 1 {
        storage::with_cursor(plan.extent, |cursors| launch(&mut request, cursors, undo::undo_completed));
    } else {
        storage::with_cursors(plan.ranges.into(), plan.extent, |cursors| {
            launch(&mut request, cursors, undo::undo_completed);
        });
    }
    match request.outcome.panic {
        Some(payload) => unwind::resume(payload),
        None => request.outcome.ending,
    }
}
