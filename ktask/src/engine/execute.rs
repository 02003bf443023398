//! The engine's entry point.

use super::launch::launch;
use super::plan::{Body, Ending, Meanwhile, Outcome, Plan};
use super::{storage, undo};
use crate::Stats;
use crate::cursor::{Cursor, Cursors};
use crate::platform::Platform;
use crate::unwind;

/// Runs `plan` with `body` over the ranges `range(0)` to `range(ranges - 1)`, and `meanwhile`.
/// Writes the empty `stats`.
///
/// A panic of `body` is resumed here, after the join and the undo.
///
/// Inlined into its one caller, because two frames take more of the stack than one.
#[inline(always)]
pub(crate) fn execute<P: Platform>(
    platform: &P,
    plan: &Plan<'_>,
    ranges: usize,
    range: &dyn Fn(usize) -> Cursor,
    body: &dyn Body,
    meanwhile: &mut Meanwhile<'_>,
    stats: &mut Stats,
) -> Ending {
    let outcome = if ranges == 1 {
        over(platform, plan, Cursors::new(&[range(0)], 1), range, body, meanwhile, stats)
    } else {
        over_several(platform, plan, ranges, range, body, meanwhile, stats)
    };
    match outcome.panic {
        Some(payload) => unwind::resume(payload),
        None => outcome.ending,
    }
}

/// Runs `plan` over `cursors`, and undoes it if it has to be.
fn over<P: Platform>(
    platform: &P,
    plan: &Plan<'_>,
    cursors: Cursors<'_>,
    range: &dyn Fn(usize) -> Cursor,
    body: &dyn Body,
    meanwhile: &mut Meanwhile<'_>,
    stats: &mut Stats,
) -> Outcome {
    launch(platform, plan, cursors, body, meanwhile, stats, &mut |failed, outcome, stats| {
        undo::undo_completed(platform, plan, cursors, range, failed, outcome, stats);
    })
}

/// Never inlined: a job over one range should not have this frame on its caller's stack.
#[inline(never)]
fn over_several<P: Platform>(
    platform: &P,
    plan: &Plan<'_>,
    ranges: usize,
    range: &dyn Fn(usize) -> Cursor,
    body: &dyn Body,
    meanwhile: &mut Meanwhile<'_>,
    stats: &mut Stats,
) -> Outcome {
    let mut outcome = None;
    storage::with_cursors(ranges, range, &mut |cursors| {
        outcome = Some(over(platform, plan, cursors, range, body, meanwhile, stats));
    });
    match outcome {
        Some(outcome) => outcome,
        None => unreachable!("with_cursors calls its closure"),
    }
}
