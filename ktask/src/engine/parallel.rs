//! A job on its caller and helpers.

use super::governor::{Decision, Governor, Setting, View};
use super::plan::{Body, Outcome, Plan};
use super::run::Run;
use super::team::Team;
use super::worker_slot::WorkerSlot;
use super::{wait, worker};
use crate::tuning::Tuning;
use crate::{Stats, Step};
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
    let is_governed = !plan.threads.is_exact() && Governor::governs(slots.len());
    let run = Run::new(platform, plan, cursors, slots, body, is_governed);
    raw::scope(platform, run.family(), &|index| help(&run, index), |helpers| {
        let mut team = Team::new(&run, helpers);
        let mut governor = is_governed.then(|| {
            Governor::new(Setting {
                max: slots.len(),
                cores: platform.physical_cores(),
                units: plan.units,
                smallest_chunk: plan.smallest_chunk(),
                ranges: run.ranges_left(),
                known: plan.tuning.and_then(Tuning::threads),
            })
        });
        let threads = governor.as_ref().map_or(slots.len(), Governor::threads);
        team.set_threads(threads, &mut stats);
        worker::work(&run, 0, &mut |_| {
            team.replace_missing();
            if let Some(governor) = &mut governor {
                govern(&run, governor, &mut team, &mut stats);
            }
            true
        });
        wait::until_helpers_ended(&run, helpers, &mut stats);
    });
    reclaim_lost(&run, &mut stats);
    run.report(&mut stats);
    Outcome { ending: run.ending(), stats, panic: run.into_panic() }
}

/// Shows the run to the governor, and does what it decides.
fn govern<P: Platform>(
    run: &Run<'_, P>,
    governor: &mut Governor,
    team: &mut Team<'_, P>,
    stats: &mut Stats,
) {
    let now_ns = run.platform.now_ns();
    let before = governor.threads();
    let view = View {
        now_ns,
        running: run.running(),
        left: run.left(),
        ranges: run.ranges_left(),
        sampled: run.sampled(),
    };
    match governor.look(&view) {
        Decision::Continue => {}
        Decision::Measure => run.measure_from(now_ns),
        Decision::Threads { threads, rate } => {
            let units_per_s = run.units_of(rate);
            let step = Step { at_ns: run.age_ns(), threads: before, units_per_s, next_threads: threads };
            stats.trail.push(step);
            team.set_threads(threads, stats);
        }
    }
    if let (Some(tuning), Some(threads)) = (run.plan.tuning, governor.take_learned()) {
        tuning.learn(threads);
    }
}

/// Does a helper's part, on the helper's thread.
fn help<P: Platform>(run: &Run<'_, P>, index: usize) {
    let lineage = run.plan.lineage;
    let context = HelperContext { caller_locks: lineage.locks, depth: lineage.depth };
    let before = run.platform.begin_help(context);
    run.count_worker_in();
    let mut was_told_to_leave = false;
    let cpu_ns = worker::work(run, index, &mut |cursor| {
        was_told_to_leave = run.is_governed && !run.keeps_helper(cursor);
        !was_told_to_leave
    });
    run.count_worker_out();
    if was_told_to_leave {
        run.count_left();
    }
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
