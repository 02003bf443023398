//! The state that the workers of a running job share.

use super::plan::{Ending, Plan};
use super::sizer::Lengths;
use crate::Stats;
use crate::cursor::{Cursor, Cursors, Sampled, Samples};
use crate::platform::Platform;
use crate::raw::FirstOf;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::unwind::Payload;

/// The state that the workers of a running job share.
pub(super) struct Run<'r, P: Platform> {
    pub(super) platform: &'r P,
    pub(super) plan: &'r Plan<'r>,
    pub(super) cursors: &'r Cursors<'r>,
    /// The thread that helpers charge their time to.
    caller: P::Thread,
    /// Whether chunks are measured for the governor.
    pub(super) is_governed: bool,
    /// An [`Ending`] as a number; `Complete` while the job runs.
    ending: AtomicU32,
    /// Helpers that were started and are not told to leave.
    helpers: AtomicU32,
    /// Number of helpers that the governor wants.
    target_helpers: AtomicU32,
    /// Helpers that found no more work since the target was set.
    idle_helpers: AtomicU32,
    /// Workers that have begun and not ended, the caller included.
    active_workers: AtomicU32,
    /// When the governor's measurement began; `u64::MAX` before the first. Of a chunk that was running
    /// then, the part after it is sampled.
    measured_from_ns: AtomicU64,
    /// The typical cost that the governor has seen: see [`Samples::sample_whole`].
    centre: AtomicU64,
    pub(super) lengths: Lengths,
    pub(super) started_ns: u64,
    /// When the first helper was woken; 0 before that, and again when a helper has begun.
    woken_ns: AtomicU64,
    samples: Samples,
    panic: FirstOf<Payload>,
    totals: Totals,
}

/// What one worker has done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) chunks: u64,
    pub(super) local_chunks: u64,
    pub(super) units: u64,
    /// When the last chunk ended, if the worker ended because no work was left.
    pub(super) ran_dry_at_ns: Option<u64>,
}

/// Sums of the helpers' tallies. Each helper adds its tally once, and waits for none to do so. The caller's
/// needs no atomics: it is added after the join.
struct Totals {
    chunks: AtomicU64,
    local_chunks: AtomicU64,
    units: AtomicU64,
    cpu_ns: AtomicU64,
    /// When the first and the last worker ran dry; `u64::MAX` and 0 if none did.
    first_dry_ns: AtomicU64,
    last_dry_ns: AtomicU64,
}

impl<'r, P: Platform> Run<'r, P> {
    /// Starts the run of a job with its caller as the only worker.
    pub(super) fn new(
        platform: &'r P,
        plan: &'r Plan<'r>,
        cursors: &'r Cursors<'r>,
        is_governed: bool,
    ) -> Self {
        Self {
            platform,
            plan,
            cursors,
            started_ns: platform.now_ns(),
            caller: platform.current_thread(),
            is_governed,
            ending: AtomicU32::new(Ending::Complete as u32),
            helpers: AtomicU32::new(0),
            target_helpers: AtomicU32::new(0),
            idle_helpers: AtomicU32::new(0),
            active_workers: AtomicU32::new(1),
            measured_from_ns: AtomicU64::new(u64::MAX),
            centre: AtomicU64::new(0),
            lengths: Lengths::new(),
            woken_ns: AtomicU64::new(0),
            samples: Samples::new(),
            panic: FirstOf::new(),
            totals: Totals {
                chunks: AtomicU64::new(0),
                local_chunks: AtomicU64::new(0),
                units: AtomicU64::new(0),
                cpu_ns: AtomicU64::new(0),
                first_dry_ns: AtomicU64::new(u64::MAX),
                last_dry_ns: AtomicU64::new(0),
            },
        }
    }

    /// Ends the job at each worker's next chunk. The first reason stays.
    pub(super) fn stop(&self, ending: Ending) {
        // Relaxed: a flag; the data that belongs to it is read after the join.
        let _ = self.ending.compare_exchange(
            Ending::Complete as u32,
            ending as u32,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    /// Returns whether a worker that would claim its next chunk from `cursor` must stop.
    pub(super) fn is_stopped(&self, cursor: &Cursor<'_>) -> bool {
        if self.ending() != Ending::Complete {
            return true;
        }
        match self.plan.stop_requested(self.platform) {
            // A request that comes when all units are handed out is too late.
            Some(ending) if cursor.left() > 0 => {
                self.stop(ending);
                true
            }
            _ => false,
        }
    }

    /// Returns how the job ended, or `Complete` while it runs.
    pub(super) fn ending(&self) -> Ending {
        // Relaxed: see `stop`.
        match self.ending.load(Ordering::Relaxed) {
            0 => Ending::Complete,
            1 => Ending::Failed,
            2 => Ending::Cancelled,
            _ => Ending::DeadlinePassed,
        }
    }

    /// Returns whether a helper that would claim its next chunk from `cursor` may go on. If not,
    /// the helper has been counted out and must end. Workers that are away leave first: they would leave the end of the
    /// range to its residents.
    pub(super) fn keeps_helper(&self, cursor: &Cursor<'_>, is_resident: bool) -> bool {
        // Relaxed, in all functions that count helpers: the counts only steer the number of
        // helpers.
        let mut helpers = self.helpers.load(Ordering::Relaxed);
        loop {
            let target = self.target_helpers.load(Ordering::Relaxed);
            // While there are too many helpers, some range has more workers than are wanted there.
            let workers = if is_resident { cursor.residents() } else { cursor.workers() };
            if helpers <= target || workers <= cursor.wanted() {
                return true;
            }
            match self.helpers.compare_exchange_weak(
                helpers,
                helpers - 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return false,
                Err(now) => helpers = now,
            }
        }
    }

    /// Returns the number of helpers that were started and are not told to leave.
    pub(super) fn helpers(&self) -> usize {
        self.helpers.load(Ordering::Relaxed) as usize
    }

    /// Counts a helper that is about to be started.
    pub(super) fn count_helper_in(&self) {
        self.helpers.fetch_add(1, Ordering::Relaxed);
    }

    /// Uncounts a helper that could not be started.
    pub(super) fn count_helper_out(&self) {
        self.helpers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Uncounts a helper that found no more work. No other is wanted in its place.
    pub(super) fn count_idle_helper_out(&self) {
        self.idle_helpers.fetch_add(1, Ordering::Relaxed);
        self.count_helper_out();
    }

    /// Returns the number of helpers that were started and are not told to leave, and of those that found no more work
    /// since the target was set.
    pub(super) fn helpers_had(&self) -> usize {
        self.helpers() + self.idle_helpers.load(Ordering::Relaxed) as usize
    }

    /// Returns how many helpers there should be.
    pub(super) fn target_helpers(&self) -> usize {
        self.target_helpers.load(Ordering::Relaxed) as usize
    }

    /// Sets how many helpers there should be.
    pub(super) fn set_target_helpers(&self, helpers: usize) {
        // A helper that finds no more work at the same time may be replaced by one that finds none either.
        self.idle_helpers.store(0, Ordering::Relaxed);
        self.target_helpers.store(helpers as u32, Ordering::Relaxed);
    }

    /// Helper: counts itself as working.
    pub(super) fn count_worker_in(&self) {
        self.active_workers.fetch_add(1, Ordering::Relaxed);
    }

    /// Helper: counts itself as no longer working.
    pub(super) fn count_worker_out(&self) {
        self.active_workers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns the number of workers that have begun and not ended, the caller included.
    pub(super) fn running(&self) -> usize {
        self.active_workers.load(Ordering::Relaxed) as usize
    }

    /// Returns whether a helper works.
    pub(super) fn has_helper(&self) -> bool {
        self.running() > 1
    }

    /// Notes that a helper is woken at `now_ns`, if it is the first.
    pub(super) fn note_wake(&self, now_ns: u64) {
        if self.helpers() == 1 {
            self.woken_ns.store(now_ns, Ordering::Relaxed);
        }
    }

    /// Helper: takes the time for which the first helper to begin was on its way at `now_ns`.
    pub(super) fn take_wake_ns(&self, now_ns: u64) -> Option<u64> {
        match self.woken_ns.swap(0, Ordering::Relaxed) {
            0 => None,
            woken_ns => Some(now_ns.saturating_sub(woken_ns)),
        }
    }

    /// Sets how chunks are compared: their length in units, or 0 to leave that to the workers, and the
    /// typical cost.
    pub(super) fn set_comparison(&self, units: u64, centre: u64) {
        self.lengths.set_compared(units);
        self.centre.store(centre, Ordering::Relaxed);
    }

    /// Begins a measurement at `now_ns`.
    pub(super) fn measure_from(&self, now_ns: u64) {
        // Relaxed: a chunk that is sampled for the neighbouring measurement changes little.
        self.measured_from_ns.store(now_ns, Ordering::Relaxed);
    }

    /// Adds a chunk of `units`, which ran from `from_ns` to `to_ns`, to the samples.
    pub(super) fn sample(&self, units: u64, from_ns: u64, to_ns: u64) {
        // Relaxed: see `measure_from`.
        let measured_from_ns = self.measured_from_ns.load(Ordering::Relaxed);
        if to_ns <= measured_from_ns {
            return;
        }
        let part_ns = to_ns - from_ns.max(measured_from_ns);
        let units = u128::from(units) * u128::from(self.factor()) * u128::from(part_ns);
        let units = units / u128::from((to_ns - from_ns).max(1));
        let units = u64::try_from(units).unwrap_or(u64::MAX);
        self.samples.sample(units, part_ns);
        if from_ns >= measured_from_ns {
            self.samples.sample_whole(units, part_ns, self.centre.load(Ordering::Relaxed));
        }
    }

    /// Returns `sampled` units without the factor.
    pub(super) fn units_of(&self, sampled: u64) -> u64 {
        sampled / self.factor()
    }

    /// Returns the factor on sampled units.
    fn factor(&self) -> u64 {
        Sampled::factor(self.plan.units, self.plan.smallest_chunk())
    }

    /// Returns the sums over the measured chunks of all ranges.
    pub(super) fn sampled(&self) -> Sampled {
        self.samples.sampled()
    }

    /// Returns the number of units that are not handed out yet.
    pub(super) fn left(&self) -> u64 {
        self.cursors.iter().map(|cursor| cursor.left()).sum()
    }

    /// Returns the number of ranges with units that are not handed out.
    pub(super) fn ranges_left(&self) -> usize {
        self.cursors.iter().filter(|cursor| cursor.left() > 0).count()
    }

    /// Returns the thread of the job's caller.
    pub(super) fn caller(&self) -> &P::Thread {
        &self.caller
    }

    /// Helper: charges `cpu_ns` nanoseconds of its CPU time to the caller.
    pub(super) fn charge(&self, cpu_ns: u64) {
        self.platform.charge(&self.caller, cpu_ns);
    }

    /// Keeps the first panic for the caller.
    pub(super) fn keep_panic(&self, payload: Payload) {
        self.panic.offer(payload);
    }

    /// Helper: adds what it did to the job's totals.
    pub(super) fn add(&self, tally: &Tally, cpu_ns: u64) {
        // Relaxed: read after the join.
        let totals = &self.totals;
        totals.chunks.fetch_add(tally.chunks, Ordering::Relaxed);
        totals.local_chunks.fetch_add(tally.local_chunks, Ordering::Relaxed);
        totals.units.fetch_add(tally.units, Ordering::Relaxed);
        totals.cpu_ns.fetch_add(cpu_ns, Ordering::Relaxed);
        // A worker that ran no chunk came late; its end says nothing about the spread.
        if let Some(at_ns) = tally.ran_dry_at_ns.filter(|_| tally.chunks > 0) {
            totals.first_dry_ns.fetch_min(at_ns, Ordering::Relaxed);
            totals.last_dry_ns.fetch_max(at_ns, Ordering::Relaxed);
        }
    }

    /// After the join: writes the totals, and what the caller did, to `stats`.
    pub(super) fn report(&self, tally: &Tally, cpu_ns: u64, stats: &mut Stats) {
        // Relaxed: the join has made all sums visible.
        let total = |sum: &AtomicU64| sum.load(Ordering::Relaxed);
        stats.chunks = total(&self.totals.chunks) + tally.chunks;
        let has_nodes = self.cursors.iter().any(|cursor| cursor.has_node());
        stats.local_chunks = has_nodes.then(|| total(&self.totals.local_chunks) + tally.local_chunks);
        stats.units = total(&self.totals.units) + tally.units;
        stats.cpu_ns = total(&self.totals.cpu_ns) + cpu_ns;
        let (mut first_ns, mut last_ns) = (total(&self.totals.first_dry_ns), total(&self.totals.last_dry_ns));
        if let Some(at_ns) = tally.ran_dry_at_ns.filter(|_| tally.chunks > 0) {
            (first_ns, last_ns) = (first_ns.min(at_ns), last_ns.max(at_ns));
        }
        stats.spread_ns = last_ns.saturating_sub(first_ns);
    }

    /// After the join: returns the panic that was kept.
    pub(super) fn take_panic(&mut self) -> Option<Payload> {
        self.panic.take()
    }
}
