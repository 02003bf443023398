//! Finds by measurement how many of the allowed threads a job should use.
//!
//! The best count does not follow from the CPU count, because memory bandwidth runs out first.
//! Published runs of one allocation peak at 32 of 144 CPUs on one machine, and at 128 or more of
//! 192 on its successor. So the governor measures while the job runs.
//!
//! *What is measured.* The rate of a chunk is its units over its own time, so a measurement
//! needs no long window to be exact. The job's throughput with `n` workers is `n` times the mean
//! rate of the chunks that began and ended while there were `n` workers.
//!
//! *Which counts are tried.* First half of the allowed threads, or one per core where cores have
//! several hardware threads; then all. A wrong guess costs least at these counts. If all are not
//! faster, the governor halves the count until that costs speed. Last, it tries one count on
//! either side of the best.
//!
//! *Which count is kept.* The fewest threads that reach [`WORTHWHILE_PERCENT`] of the best rate.
//! The other helpers leave.

use super::plan::Plan;
use super::run::Run;
use super::team::Team;
use crate::cursor::Sampled;
use crate::platform::Platform;
use crate::stats::Stats;
use crate::trail::Step;
use crate::tuning::Tuning;

/// More threads are worthwhile only if fewer threads reach less than this share of their rate.
const WORTHWHILE_PERCENT: u64 = 98;

/// If all threads reach this share of twice the rate of half of them, threads hardly hinder each
/// other. Then no count in between can be better.
const LINEAR_PERCENT: u64 = 93;

/// Chunks per worker that must be left for another measurement to pay.
const CHUNKS_TO_MEASURE: u64 = 6;

/// Chunks per allowed thread that a job must have to be measured at all.
const CHUNKS_TO_GOVERN: u64 = 12;

/// With fewer threads than this, there is no count worth looking for.
const MIN_THREADS_TO_GOVERN: usize = 4;

/// Room for measurements: ten halvings of 1024 threads, and one count on either side.
const MAX_MEASUREMENTS: usize = 16;

/// Windows for which a count is held before the governor may measure again.
const HOLD_WINDOWS: u32 = 16;

/// The governor of one job. The job's caller runs it between its own chunks.
pub(super) struct Governor<'g> {
    /// The most threads that the job can have.
    max: usize,
    cores: usize,
    /// Threads that the job should have now, the caller included.
    threads: usize,
    stage: Stage,
    /// The current measurement. `None` until the number of workers is stable.
    window: Option<Window>,
    measurements: [Measurement; MAX_MEASUREMENTS],
    /// How many entries of `measurements` are valid.
    measured: usize,
    /// Windows since the current count is held.
    held_windows: u32,
    held_rate: u64,
    tuning: Option<&'g Tuning>,
}

/// Which count is being measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Half of the allowed threads, or one thread per core.
    Half,
    /// All allowed threads.
    All,
    /// Half of the fewest threads measured so far.
    Fewer,
    /// A count between the best and the next one below it.
    BelowBest,
    /// A count between the best and the next one above it.
    AboveBest,
    /// No other count: the best was found, or is not looked for.
    Hold,
}

/// The rate of one thread count, in units per second.
#[derive(Clone, Copy, Default)]
struct Measurement {
    threads: usize,
    rate: u64,
}

/// The samples' sums when a measurement began.
#[derive(Clone, Copy)]
struct Window {
    before: Sampled,
}

impl<'g> Governor<'g> {
    /// Makes the governor for a job of `plan` that may have `max` threads, on a machine with
    /// `cores` cores.
    pub(super) fn new(plan: &Plan<'g>, max: usize, cores: usize) -> Self {
        let chunks = plan.units / plan.smallest_chunk();
        let known = plan.tuning.and_then(Tuning::threads);
        let (threads, stage) = if !Self::governs(plan, max) {
            (max, Stage::Hold)
        } else if let Some(known) = known {
            (known.clamp(2, max), Stage::Hold)
        } else if chunks < CHUNKS_TO_GOVERN * max as u64 {
            (max, Stage::Hold)
        } else {
            (first_count(max, cores), Stage::Half)
        };
        Self {
            max,
            cores,
            threads,
            stage,
            window: None,
            measurements: [Measurement::default(); MAX_MEASUREMENTS],
            measured: 0,
            held_windows: 0,
            held_rate: 0,
            tuning: plan.tuning,
        }
    }

    /// Returns whether a job of `plan` on up to `max` threads is measured.
    pub(super) fn governs(plan: &Plan<'_>, max: usize) -> bool {
        !plan.threads.is_exact() && max >= MIN_THREADS_TO_GOVERN
    }

    /// Returns the number of threads to begin with, the caller included.
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// Ends a measurement that has enough chunks and sets the next count. The caller calls this
    /// between two of its chunks.
    pub(super) fn tick<P: Platform>(&mut self, run: &Run<'_, P>, team: &mut Team<'_, P>, stats: &mut Stats) {
        let Some(window) = self.window else {
            // Helpers begin and leave with a delay: measure when the number is stable.
            if let Some(threads) = run.stable_threads() {
                self.threads = threads;
                if team.was_refused() {
                    self.max = threads;
                }
                run.next_epoch();
                self.window = Some(Window { before: run.sampled() });
            }
            return;
        };
        let sampled = difference(window.before, run.sampled());
        if sampled.chunks < self.threads as u64 || sampled.ns == 0 {
            return;
        }
        self.window = None;
        let rate = rate(sampled, self.threads);
        let next = self.decide(rate, sampled, run.left());
        if next != self.threads {
            if let Some(trail) = run.plan.trail {
                trail.push(Step {
                    at_ns: run.age_ns(),
                    threads: self.threads,
                    units_per_s: rate,
                    next_threads: next,
                });
            }
            self.threads = next;
            team.set_threads(next, stats);
        }
    }

    /// Returns the next thread count, after the current one was measured at `rate` units per
    /// second with `left` units to go.
    fn decide(&mut self, rate: u64, sampled: Sampled, left: u64) -> usize {
        if self.stage == Stage::Hold {
            return self.hold(rate);
        }
        self.record(rate);
        let units_per_chunk = (sampled.units / sampled.chunks).max(1);
        while let Some(next) = self.next_count() {
            if left / units_per_chunk < CHUNKS_TO_MEASURE * next as u64 {
                break;
            }
            if !self.measurements().iter().any(|one| one.threads == next) {
                return next;
            }
        }
        self.hold_best()
    }

    /// Enters the next stage and returns its count, if there is one left to measure.
    fn next_count(&mut self) -> Option<usize> {
        let best = self.best();
        self.stage = match self.stage {
            Stage::Half => Stage::All,
            // All threads are clearly faster: how much slower fewer are does not matter.
            Stage::All if best.threads == self.max && self.scales() => return None,
            Stage::All if best.threads == self.max => Stage::BelowBest,
            Stage::All => Stage::Fewer,
            // The fewest so far are as good as more: halve again.
            Stage::Fewer if best.threads == self.fewest() && best.threads > 1 => Stage::Fewer,
            Stage::Fewer => Stage::BelowBest,
            Stage::BelowBest => Stage::AboveBest,
            Stage::AboveBest | Stage::Hold => return None,
        };
        Some(match self.stage {
            Stage::All => self.max,
            Stage::Fewer => (self.fewest() / 2).max(1),
            Stage::BelowBest => (best.threads * 3 / 4).max(1),
            _ => (best.threads * 4).div_ceil(3).min(self.max),
        })
    }

    /// Records the rate of the current count.
    fn record(&mut self, rate: u64) {
        if let Some(entry) = self.measurements.get_mut(self.measured) {
            *entry = Measurement { threads: self.threads, rate };
            self.measured += 1;
        }
    }

    fn measurements(&self) -> &[Measurement] {
        &self.measurements[..self.measured]
    }

    /// Returns the measurement with the fewest threads among those with a worthwhile rate.
    fn best(&self) -> Measurement {
        let top = self.measurements().iter().map(|one| one.rate).max().unwrap_or(0);
        let is_worthwhile = |one: &&Measurement| {
            u128::from(one.rate) * 100 >= u128::from(top) * u128::from(WORTHWHILE_PERCENT)
        };
        let fewest = self.measurements().iter().filter(is_worthwhile).min_by_key(|one| one.threads);
        fewest.copied().unwrap_or(Measurement { threads: self.threads, rate: 0 })
    }

    /// Returns whether the first two counts, half and all, have rates in proportion.
    fn scales(&self) -> bool {
        let [half, all, ..] = &self.measurements;
        let in_proportion = u128::from(half.rate) * all.threads as u128;
        u128::from(all.rate) * half.threads as u128 * 100 >= in_proportion * u128::from(LINEAR_PERCENT)
    }

    /// Returns the smallest count measured so far.
    fn fewest(&self) -> usize {
        let counts = self.measurements().iter().map(|one| one.threads);
        counts.min().unwrap_or(self.threads)
    }

    /// Ends the search and returns the best count, which is held from now on.
    fn hold_best(&mut self) -> usize {
        let best = self.best();
        self.stage = Stage::Hold;
        self.held_windows = 0;
        self.held_rate = best.rate;
        if let Some(tuning) = self.tuning {
            tuning.learn(best.threads);
        }
        best.threads
    }

    /// Returns the held count, or the first count of a new search if the rate has changed by
    /// more than a quarter.
    fn hold(&mut self, rate: u64) -> usize {
        self.held_windows += 1;
        if self.held_rate == 0 {
            self.held_rate = rate;
        }
        let has_changed = rate < self.held_rate / 4 * 3 || rate / 4 * 3 > self.held_rate;
        if !has_changed || self.held_windows < HOLD_WINDOWS {
            return self.threads;
        }
        self.measured = 0;
        self.stage = Stage::Half;
        first_count(self.max, self.cores)
    }
}

/// Returns the count to begin a search with.
fn first_count(max: usize, cores: usize) -> usize {
    if (2..max).contains(&cores) { cores } else { max.div_ceil(2) }
}

/// Returns what was sampled between `before` and `now`.
fn difference(before: Sampled, now: Sampled) -> Sampled {
    Sampled { chunks: now.chunks - before.chunks, units: now.units - before.units, ns: now.ns - before.ns }
}

/// Returns the units per second of `threads` workers at the mean rate of the sampled chunks.
fn rate(sampled: Sampled, threads: usize) -> u64 {
    let per_s = u128::from(sampled.units) * threads as u128 * 1_000_000_000;
    u64::try_from(per_s / u128::from(sampled.ns.max(1))).unwrap_or(u64::MAX)
}
