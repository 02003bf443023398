//! A job on its caller and helpers.

use super::failed::records;
use super::governor::{Decision, Governor, Setting, View};
use super::plan::{Ending, Outcome, Request};
use super::run::Run;
use super::team::Team;
use super::wake::Wake;
use super::{spread, wait, worker};
use crate::cursor::{Cursor, Cursors};
use crate::platform::{HelperContext, Platform};
use crate::raw::{self, Cells, HelperCell, Shelf};
use crate::record::WorkerRecord;
use crate::tuning::Tuning;
use crate::{Stats, Step, unwind};

/// The workers of a job: how many there may be, and where they report.
pub(super) struct Workers<'w> {
    /// The most workers, the caller included.
    pub(super) threads: usize,
    pub(super) caller: &'w WorkerRecord,
    pub(super) cells: &'w Cells,
}

/// The governors of all jobs, about 28 KiB: they would take a sixth of a job's stack. A job that finds no place
/// is not governed.
static GOVERNORS: Shelf<Governor, 32> = Shelf::new();

/// Runs the plan of `request` on the calling thread and helpers.
///
/// Inlined into its one caller, because two frames take more of the stack than one.
#[inline(always)]
pub(super) fn run<P: Platform>(request: &mut Request<'_, P>, cursors: &Cursors<'_>, workers: &Workers<'_>) {
    let (platform, plan) = (request.platform, request.plan);
    let stats = &mut *request.stats;
    let max = workers.threads;
    let known = plan.tuning.and_then(Tuning::threads);
    let mut governor = None;
    let mut threads = known.unwrap_or(max).clamp(2, max);
    if plan.threads.is_exact() {
        threads = max;
    } else if Governor::governs(max) {
        governor = GOVERNORS.lend(|| {
            let ranges = cursors.iter().filter(|cursor| cursor.left() > 0).count();
            let (cores, units, smallest_chunk) =
                (platform.physical_cores(), plan.units, plan.smallest_chunk());
            Governor::new(Setting { max, cores, units, smallest_chunk, ranges, known })
        });
        threads = governor.as_ref().map_or(threads, |governor| governor.threads());
    }
    let mut run = Run::new(platform, plan, cursors, governor.is_some());
    let (part, ended_ns) =
        raw::scope(platform, run.caller(), workers.cells, &|cell| help(&run, cell), |helpers| {
            let mut team = Team::new(&run, helpers, max);
            let mut wake = Wake::begin(&run, &mut team, threads, stats);
            if let Err(payload) = unwind::catch(&mut *request.meanwhile) {
                run.stop(Ending::Failed);
                run.keep_panic(payload);
            }
            let started_ns = if plan.starts_at_once { platform.now_ns() } else { run.started_ns };
            let part = worker::work(&run, workers.caller, started_ns, &mut |cursor, _, now_ns| {
                if wake.tick(&run, &mut team, threads, now_ns, stats) {
                    team.replace_missing(now_ns, stats);
                    if let Some(governor) = &mut governor {
                        govern(&run, governor, &mut team, (cursor, now_ns), stats);
                    }
                }
                true
            });
            // Helpers that were only offered work are none.
            stats.threads_at_end = if wake.has_started() { run.helpers_had() as u32 + 1 } else { 1 };
            let has_waited = wait::until_helpers_ended(&run, helpers, stats);
            // A helper may have ended after the caller's last chunk, or had all chunks, before the caller looked.
            let was_helped = has_waited || helpers.cells().any(|cell| cell.record.has_worked());
            (part, if was_helped { platform.now_ns() } else { part.ended_ns })
        });
    run.report(&part.tally, part.cpu_ns, stats);
    stats.wall_ns = ended_ns.saturating_sub(run.started_ns);
    stats.threads_used =
        records(workers.caller, workers.cells.list()).filter(|record| record.has_worked()).count() as u32;
    request.outcome = Outcome { ending: run.ending(), panic: run.take_panic() };
}

/// Shows the run to the governor at `now_ns`, and does what it decides. The caller works on the range of `cursor`.
#[inline(always)]
fn govern<P: Platform>(
    run: &Run<'_, P>,
    governor: &mut Governor,
    team: &mut Team<'_, P>,
    (cursor, now_ns): (&Cursor<'_>, u64),
    stats: &mut Stats,
) {
    let before = governor.threads();
    let decision = look(run, governor, now_ns);
    run.set_comparison(governor.chunk_units(), governor.centre());
    match decision {
        Decision::Continue => {}
        Decision::Measure => run.measure_from(now_ns),
        Decision::Threads { threads, rate } => {
            note_step(run, now_ns, before, rate, threads);
            team.set_threads(threads, stats);
            spread::want_caller(run.cursors, cursor);
        }
    }
    if let (Some(tuning), Some(threads)) = (run.plan.tuning, governor.take_learned()) {
        tuning.learn(threads);
    }
}

/// Returns what the governor decides when it looks at the run. Never inlined: what it looks at should not be on the
/// stack while helpers are started.
#[inline(never)]
fn look<P: Platform>(run: &Run<'_, P>, governor: &mut Governor, now_ns: u64) -> Decision {
    governor.look(&View {
        now_ns,
        running: run.running(),
        left: run.left(),
        ranges: run.ranges_left(),
        sampled: run.sampled(),
    })
}

/// Adds a step to the job's trail, if it has one. Never inlined: it would take stack of each look.
#[inline(never)]
fn note_step<P: Platform>(run: &Run<'_, P>, now_ns: u64, threads: usize, rate: u64, next_threads: usize) {
    if let Some(trail) = run.plan.trail {
        let at_ns = now_ns.saturating_sub(run.started_ns);
        trail.push(Step { at_ns, threads, units_per_s: run.units_of(rate), next_threads });
    }
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
    let may_continue = &mut |cursor: &Cursor<'_>, is_resident, _| {
        (!run.is_governed || run.keeps_helper(cursor, is_resident)) && !must_leave(run, &cell.record)
    };
    let part = worker::work(run, &cell.record, started_ns, may_continue);
    if run.is_governed && part.tally.ran_dry_at_ns.is_some() {
        run.count_idle_helper_out();
    }
    run.add(&part.tally, part.cpu_ns);
    run.count_worker_out();
    run.platform.end_help(before);
    run.charge(part.cpu_ns);
    if let Some(permit) = cell.record.take_permit() {
        run.platform.budget().release(permit);
    }
}

/// Returns whether the helper of `record` must leave, because a heavier caller needs its permit. If so, the helper
/// has been counted out.
#[inline]
fn must_leave<P: Platform>(run: &Run<'_, P>, record: &WorkerRecord) -> bool {
    run.platform.budget().is_overdrawn() && returns_permit(run, record)
}

#[cold]
fn returns_permit<P: Platform>(run: &Run<'_, P>, record: &WorkerRecord) -> bool {
    let Some(permit) = record.take_permit() else { return false };
    match run.platform.budget().release_surplus(permit, run.platform.budget_cpus(None)) {
        Ok(()) => {
            run.count_helper_out();
            true
        }
        Err(permit) => {
            record.put_permit_back(permit);
            false
        }
    }
}
