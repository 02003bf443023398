//! A job on its caller and helpers.

use super::governor::Governor;
use super::plan::{Body, Outcome, Plan};
use super::run::Run;
use super::team::Team;
use super::worker_slot::WorkerSlot;
use super::{wait, worker};
use crate::Stats;
use crate::cursor::Cursor;
use crate::platform::{HelperContext, Platform};
use crate::raw;

/// Runs `plan` on the calling thread and up to `slots.len() - 1` helpers.
///
/// Never inlined: an undo should not have this frame on its caller's stack.
#[inline(never)]
pub(super) fn run<P: Platform>(
    platform: &P,
    plan: &Plan<'_>,
    cursors: &[Cursor],
    slots: &[WorkerSlot],
    body: &dyn Body,
    mut stats: Stats,
) -> Outcome {
    let is_governed = Governor::governs(plan, slots.len());
    let run = Run::new(platform, plan, cursors, slots, body, is_governed);
    raw::scope(platform, run.family(), &|index| help(&run, index), |helpers| {
        let mut team = Team::new(&run, helpers);
        let mut governor = Governor::new(plan, slots.len(), platform.physical_cores());
        team.set_threads(governor.threads(), &mut stats);
        worker::work(&run, 0, &mut |_| {
            if is_governed {
                governor.tick(&run, &mut team, &mut stats);
            }
            true
        });
        wait::until_helpers_ended(&run, helpers, &mut stats);
    });
    reclaim_lost(&run, &mut stats);
    run.report(&mut stats);
    Outcome { ending: run.ending(), stats, panic: run.into_panic() }
}

/// Does a helper's part, on the helper's thread.
fn help<P: Platform>(run: &Run<'_, P>, index: usize) {
    let lineage = run.plan.lineage;
    let context = HelperContext { caller_locks: lineage.locks, depth: lineage.depth };
    let before = run.platform.begin_help(context);
    run.count_worker_in();
    let cpu_ns = worker::work(run, index, &mut |cursor| !run.is_governed || run.keeps_helper(cursor));
    run.count_worker_out();
    run.platform.end_help(before);
    run.lending.charge(run.platform, cpu_ns);
    if let Some(permit) = run.slots[index].take_permit() {
        run.platform.budget().release(permit);
    }
    run.slots[index].set_done();
    run.lending.helper_ended(run.platform, index);
}

/// After the join: frees the slots of helpers that never ran. All other helpers have ended.
fn reclaim_lost<P: Platform>(run: &Run<'_, P>, stats: &mut Stats) {
    for slot in &run.slots[1..] {
        if slot.unfinished().is_some() {
            stats.helpers_lost += 1;
            if let Some(permit) = slot.vacate() {
                run.platform.budget().release(permit);
            }
        }
    }
}
