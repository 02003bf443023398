//! Chooses how many threads a job gets, and runs it.

use super::failed::{AfterRun, Failed};
use super::plan::Request;
use super::{parallel, solo};
use crate::cursor::Cursors;
use crate::platform::Platform;
use crate::raw::Cells;
use crate::record::WorkerRecord;

/// Runs the plan of `request` over `cursors`, then calls `after`.
pub(super) fn launch<P: Platform>(request: &mut Request<'_, P>, cursors: &Cursors<'_>, after: AfterRun<P>) {
    let plan = request.plan;
    let threads = plan.threads.count(request.platform, plan.smallest_chunks(), request.stats);
    if threads <= 1 {
        solo::run(request, cursors, after);
    } else {
        with_team(request, cursors, threads, after);
    }
}

/// Runs the plan on the calling thread and up to `threads - 1` helpers, then calls `after`.
///
/// Never inlined: a job on one thread should not have this frame on its caller's stack.
#[inline(never)]
fn with_team<P: Platform>(
    request: &mut Request<'_, P>,
    cursors: &Cursors<'_>,
    threads: usize,
    after: AfterRun<P>,
) {
    let cells = Cells::new(request.platform.helper_cells());
    let caller = WorkerRecord::new();
    parallel::run(request, cursors, &parallel::Workers { threads, caller: &caller, cells: &cells });
    after(request, cursors, Failed::Team(&caller, cells.list()));
}
