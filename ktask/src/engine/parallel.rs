//! A job on its caller and helpers.

use super::failed::records;
use super::governor::Governor;
use super::plan::{Body, Ending, Meanwhile, Outcome, Plan};
use super::run::Run;
use super::team::Team;
use super::wake::Wake;
use super::{wait, worker};
use crate::Stats;
use crate::cursor::{Cursor, Cursors};
use crate::platform::{HelperContext, Platform};
use crate::raw::{self, Cells, HelperCell};
use crate::record::WorkerRecord;
use crate::unwind;

/// The workers of a job: how many there may be, and where they report.
pub(super) struct Workers<'w> {
    /// The most workers, the caller included.
    pub(super) threads: usize,
    pub(super) caller: &'w WorkerRecord,
    pub(super) cells: &'w Cells,
}

/// Runs `plan` on the calling thread and helpers.
///
/// Never inlined: an undo should not have this frame on its caller's stack.
#[inline(never)]
pub(super) fn run<P: Platform>(
    platform: &P,
    plan: &Plan<'_>,
    cursors: Cursors<'_>,
    workers: &Workers<'_>,
    body: &dyn Body,
    meanwhile: &mut Meanwhile<'_>,
    stats: &mut Stats,
) -> Outcome {
    let is_governed = Governor::governs(plan, workers.threads);
    let run = Run::new(platform, plan, cursors, body, is_governed);
    let ended_ns = raw::scope(platform, workers.cells, &|cell| help(&run, cell), |helpers| {
        let mut team = Team::new(&run, helpers, workers.threads);
        let mut governor = Governor::new(plan, workers.threads, platform.physical_cores());
        let mut wake = Wake::begin(&run, &mut team, governor.threads(), stats);
        if let Err(payload) = unwind::catch(meanwhile) {
            run.stop(Ending::Failed);
            run.keep_panic(payload);
        }
        let started_ns = if plan.starts_at_once { platform.now_ns() } else { run.started_ns };
        let part = worker::work(&run, workers.caller, started_ns, &mut |_, now_ns| {
            if wake.tick(&run, &mut team, governor.threads(), now_ns, stats) && is_governed {
                governor.tick(&run, &mut team, stats);
            }
            true
        });
        // Helpers that were only offered work are none.
        stats.threads_at_end = if wake.has_started() { run.helpers() as u32 + 1 } else { 1 };
        let has_waited = wait::until_helpers_ended(&run, helpers, stats);
        if has_waited { platform.now_ns() } else { part.ended_ns }
    });
    run.report(stats);
    stats.wall_ns = ended_ns.saturating_sub(run.started_ns);
    stats.threads_used =
        records(workers.caller, workers.cells.list()).filter(|record| record.has_worked()).count() as u32;
    Outcome { ending: run.ending(), panic: run.into_panic() }
}

/// Does a helper's part, on the helper's thread.
fn help<P: Platform>(run: &Run<'_, P>, cell: &'static HelperCell) {
    let lineage = run.plan.lineage;
    let context = HelperContext { caller_locks: lineage.locks, depth: lineage.depth };
    let before = run.platform.begin_help(context);
    run.count_worker_in();
    let started_ns = run.platform.now_ns();
    if let Some(wake_ns) = run.take_wake_ns(started_ns) {
        run.platform.wake_cost().note_begin(wake_ns);
    }
    let may_continue = &mut |cursor: &Cursor, _| !run.is_governed || run.keeps_helper(cursor);
    let part = worker::work(run, &cell.record, started_ns, may_continue);
    run.count_worker_out();
    run.platform.end_help(before);
    run.charge(part.cpu_ns);
    if let Some(permit) = cell.record.take_permit() {
        run.platform.budget().release(permit);
    }
}
