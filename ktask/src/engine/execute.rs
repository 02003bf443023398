//! The engine's entry point.

use super::launch::launch;
use super::plan::{Body, Ending, Meanwhile, Plan};
use super::{storage, undo};
use crate::Stats;
use crate::cursor::Cursor;
use crate::platform::Platform;
use crate::unwind;

/// Runs `plan` with `body` over the ranges `range(0)` to `range(ranges - 1)`, and `meanwhile`.
///
/// A panic of `body` is resumed here, after the join and the undo.
pub(crate) fn execute<P: Platform>(
    platform: &P,
    plan: &Plan<'_>,
    ranges: usize,
    range: &dyn Fn(usize) -> Cursor,
    body: &dyn Body,
    meanwhile: &mut Meanwhile<'_>,
) -> (Ending, Stats) {
    let mut outcome = None;
    storage::with_cursors(ranges, range, &mut |cursors| {
        outcome = Some(launch(platform, plan, cursors, body, meanwhile, &mut |failed, outcome| {
            undo::undo_completed(platform, plan, cursors, failed, outcome);
        }));
    });
    let Some(outcome) = outcome else {
        unreachable!("with_cursors calls its closure");
    };
    match outcome.panic {
        Some(payload) => unwind::resume(payload),
        None => (outcome.ending, outcome.stats),
    }
}
