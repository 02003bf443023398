//! A job on its caller and helpers.

use super::governor::Governor;
use super::slots::WorkerSlot;
use super::team::Team;
use super::undo::{self, Failed};
use super::wait::{self, Lending};
use super::worker::{self, Tally};
use super::{Body, Ending, Outcome, Plan};
use crate::Stats;
use crate::cursor::{Cursor, Sampled};
use crate::platform::{HelperContext, Platform};
use crate::raw::{self, Lock};
use crate::sync::{AtomicU32, AtomicUsize, Ordering};
use crate::unwind::Payload;

/// What the workers of a running job share.
pub(super) struct Run<'r, P: Platform> {
    pub(super) platform: &'r P,
    pub(super) plan: &'r Plan<'r>,
    pub(super) cursors: &'r [Cursor],
    /// One per worker; the caller's is the first.
    pub(super) slots: &'r [WorkerSlot],
    pub(super) body: &'r dyn Body,
    pub(super) lending: Lending<P>,
    /// An [`Ending`], encoded; `Complete` while the job goes on.
    stopped: AtomicU32,
    /// Helpers that work, or will.
    helping: AtomicUsize,
    /// Helpers that there should be.
    wanted: AtomicUsize,
    /// Workers at work, the caller included.
    working: AtomicUsize,
    /// Counts the governor's measurements: a chunk belongs to the one in which it began, and
    /// counts if it ended in the same.
    epoch: AtomicU32,
    /// Whether chunks are measured at all.
    pub(super) is_governed: bool,
    started_ns: u64,
    panic: Lock<Option<Payload>>,
    totals: Lock<Totals>,
}

/// Sums of the workers' tallies, added to once per worker.
#[derive(Default)]
struct Totals {
    chunks: u64,
    local_chunks: u64,
    units: u64,
    cpu_ns: u64,
    /// When the first and the last worker ran dry.
    dry_ns: Option<(u64, u64)>,
}

/// Runs `plan` on the calling thread and up to `slots.len() - 1` helpers.
pub(super) fn run<P: Platform>(
    platform: &P,
    plan: &Plan<'_>,
    cursors: &[Cursor],
    slots: &[WorkerSlot],
    body: &dyn Body,
    mut stats: Stats,
) -> Outcome {
    let started_ns = platform.now_ns();
    let run = Run {
        platform,
        plan,
        cursors,
        slots,
        body,
        lending: Lending::new(platform),
        stopped: AtomicU32::new(Ending::Complete as u32),
        helping: AtomicUsize::new(0),
        wanted: AtomicUsize::new(0),
        working: AtomicUsize::new(1),
        epoch: AtomicU32::new(0),
        is_governed: Governor::governs(plan, slots.len()),
        started_ns,
        panic: Lock::new(None),
        totals: Lock::new(Totals::default()),
    };
    raw::scope(platform, run.family(), &|index| help(&run, index), |helpers| {
        let mut team = Team::new(&run, helpers);
        let mut governor = Governor::new(plan, slots.len(), platform.physical_cores());
        team.set_threads(governor.threads(), &mut stats);
        worker::work(&run, 0, &mut |_| {
            if run.is_governed {
                governor.tick(&run, &mut team, &mut stats);
            }
            true
        });
        wait::until_helpers_ended(&run, helpers, &mut stats);
    });
    reclaim_lost(&run, &mut stats);
    let ending = run.ending();
    run.totals.with(|totals| totals.report(&mut stats));
    stats.threads_used = slots.iter().filter(|slot| slot.worked()).count();
    stats.wall_ns = platform.now_ns().saturating_sub(started_ns);
    let panic = run.panic.into_inner();
    let mut outcome = Outcome { ending, stats, panic };
    undo::after(platform, plan, cursors, Failed::Slots(slots), &mut outcome);
    outcome
}

/// A helper's part, on the helper's thread.
fn help<P: Platform>(run: &Run<'_, P>, index: usize) {
    let lineage = run.plan.lineage;
    let context = HelperContext { caller_locks: lineage.locks, depth: lineage.depth };
    let before = run.platform.begin_help(context);
    // Relaxed, here and below: a figure for the governor.
    run.working.fetch_add(1, Ordering::Relaxed);
    let cpu_ns = worker::work(run, index, &mut |cursor| !run.is_governed || run.keeps_helper(cursor));
    run.working.fetch_sub(1, Ordering::Relaxed);
    run.platform.end_help(before);
    run.lending.charge(run.platform, cpu_ns);
    if let Some(permit) = run.slots[index].take_permit() {
        run.platform.budget().release(permit);
    }
    run.slots[index].finish();
    run.lending.helper_ended(run.platform, index);
}

impl<P: Platform> Run<'_, P> {
    /// The number that all tasks of the outermost job's family have: its address, which no
    /// other living one has.
    pub(super) fn family(&self) -> u64 {
        match self.plan.lineage.family {
            0 => core::ptr::from_ref(self).addr() as u64,
            family => family,
        }
    }

    /// Ends the job at everybody's next chunk; the first reason stays.
    pub(super) fn stop(&self, ending: Ending) {
        // Relaxed: a flag; what goes with it is under a lock or read after the join.
        let _ = self.stopped.compare_exchange(
            Ending::Complete as u32,
            ending as u32,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    /// Whether a worker that would take its next chunk from `cursor` should stop.
    pub(super) fn is_stopped(&self, cursor: &Cursor) -> bool {
        if self.ending() != Ending::Complete {
            return true;
        }
        match self.plan.ended_from_outside(self.platform) {
            // A job that is done is not ended by what came too late.
            Some(ending) if cursor.left() > 0 => {
                self.stop(ending);
                true
            }
            _ => false,
        }
    }

    fn ending(&self) -> Ending {
        // Relaxed: see `stop`.
        match self.stopped.load(Ordering::Relaxed) {
            0 => Ending::Complete,
            1 => Ending::Failed,
            2 => Ending::Cancelled,
            _ => Ending::DeadlinePassed,
        }
    }

    /// Asked by a helper before each chunk, which it would take from `cursor`: whether it
    /// should go on. False has counted it out.
    fn keeps_helper(&self, cursor: &Cursor) -> bool {
        // Relaxed, in all that counts helpers: figures that steer how many there are.
        let mut helping = self.helping.load(Ordering::Relaxed);
        loop {
            let wanted = self.wanted.load(Ordering::Relaxed);
            // Not from a range that has no more than its share of those that stay. While there
            // are too many, some range has more.
            if helping <= wanted || cursor.workers() * self.cursors.len() <= wanted {
                return true;
            }
            match self.helping.compare_exchange_weak(
                helping,
                helping - 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return false,
                Err(now) => helping = now,
            }
        }
    }

    pub(super) fn helping(&self) -> usize {
        self.helping.load(Ordering::Relaxed)
    }

    pub(super) fn count_helper_in(&self) {
        self.helping.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_helper_out(&self) {
        self.helping.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn set_wanted(&self, helpers: usize) {
        self.wanted.store(helpers, Ordering::Relaxed);
    }

    /// How many workers there are, if all that were started have begun and all that should
    /// leave have left.
    pub(super) fn stable_threads(&self) -> Option<usize> {
        let helping = self.helping();
        let working = self.working.load(Ordering::Relaxed);
        (working == helping + 1 && helping <= self.wanted.load(Ordering::Relaxed)).then_some(working)
    }

    /// The measurement under way, by number.
    pub(super) fn epoch(&self) -> u32 {
        // Relaxed: a chunk that is counted to a neighbouring measurement changes little.
        self.epoch.load(Ordering::Relaxed)
    }

    pub(super) fn next_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// What the measured chunks of all ranges add up to.
    pub(super) fn sampled(&self) -> Sampled {
        self.cursors.iter().map(Cursor::sampled).fold(Sampled::default(), |sum, one| Sampled {
            chunks: sum.chunks + one.chunks,
            units: sum.units + one.units,
            ns: sum.ns + one.ns,
        })
    }

    /// Units not handed out yet.
    pub(super) fn left(&self) -> u64 {
        self.cursors.iter().map(Cursor::left).sum()
    }

    /// Nanoseconds since the start of the job.
    pub(super) fn age_ns(&self) -> u64 {
        self.platform.now_ns().saturating_sub(self.started_ns)
    }

    /// Keeps the first panic for the caller.
    pub(super) fn keep_panic(&self, payload: Payload) {
        self.panic.with(|kept| _ = kept.get_or_insert(payload));
    }

    /// Adds what worker number `index` did to the job's sums.
    pub(super) fn add(&self, index: usize, tally: Tally, cpu_ns: u64) {
        if tally.chunks > 0 {
            self.slots[index].set_worked();
        }
        self.totals.with(|totals| {
            totals.chunks += tally.chunks;
            totals.local_chunks += tally.local_chunks;
            totals.units += tally.units;
            totals.cpu_ns += cpu_ns;
            // One that found nothing to do came late; it says nothing about the others.
            if let Some(at_ns) = tally.ran_dry_at_ns.filter(|_| tally.chunks > 0) {
                let (first_ns, last_ns) = totals.dry_ns.unwrap_or((at_ns, at_ns));
                totals.dry_ns = Some((first_ns.min(at_ns), last_ns.max(at_ns)));
            }
        });
    }
}

/// After the join: slots that are still out belong to helpers that never ran.
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

impl Totals {
    fn report(&self, stats: &mut Stats) {
        stats.chunks = self.chunks;
        stats.local_chunks = self.local_chunks;
        stats.units = self.units;
        stats.cpu_ns = self.cpu_ns;
        stats.spread_ns = self.dry_ns.map_or(0, |(first_ns, last_ns)| last_ns - first_ns);
    }
}
