//! Chooses how many threads a job gets, and runs it.

use super::failed::{AfterRun, Failed};
use super::plan::{Meanwhile, Outcome, Plan};
use super::{parallel, solo};
use crate::Stats;
use crate::cursor::Cursors;
use crate::platform::Platform;
use crate::raw::Cells;
use crate::record::WorkerRecord;

/// Runs `plan` over `cursors`, then calls `after`.
pub(super) fn launch<P: Platform>(
    platform: &P,
    plan: &Plan<'_>,
    cursors: &Cursors<'_>,
    meanwhile: &mut Meanwhile<'_>,
    stats: &mut Stats,
    after: &mut AfterRun<'_>,
) -> Outcome {
    let threads = plan.threads.count(platform, plan.smallest_chunks(), stats);
    if threads <= 1 {
        return solo::run(platform, plan, cursors, meanwhile, stats, after);
    }
    with_team(platform, plan, cursors, threads, meanwhile, stats, after)
}

/// Runs `plan` on the calling thread and up to `threads - 1` helpers, then calls `after`.
///
/// Never inlined: a job on one thread should not have this frame on its caller's stack.
#[inline(never)]
fn with_team<P: Platform>(
    platform: &P,
    plan: &Plan<'_>,
    cursors: &Cursors<'_>,
    threads: usize,
    meanwhile: &mut Meanwhile<'_>,
    stats: &mut Stats,
    after: &mut AfterRun<'_>,
) -> Outcome {
    let cells = Cells::new(platform.helper_cells());
    let caller = WorkerRecord::new();
    let team = parallel::Workers { threads, caller: &caller, cells: &cells };
    let mut outcome = parallel::run(platform, plan, cursors, &team, meanwhile, stats);
    after(Failed::Team(&caller, cells.list()), &mut outcome, stats);
    outcome
}
