//! How many of the allowed threads a job really uses: as many as pay.
//!
//! The best count is not a property of the CPU count. Published runs of one allocation
//! peak at 32 of 144 CPUs on one machine and at 128 or more of 192 on its successor,
//! because memory bandwidth, not CPUs, is what runs out. So it is measured while the job runs.
//!
//! *What is measured.* The rate of a chunk is its units over its own time, so it needs no
//! long window to be exact; the job's throughput with `n` workers is `n` times the mean
//! rate of chunks that began and ended while there were `n`.
//!
//! *What is tried.* Half of the allowed threads (or one per core, where cores have several
//! hardware threads), then all: the counts where a wrong guess costs least. Where all are not faster, half as many again and again, until that costs
//! speed; last, a step to either side of the best.
//!
//! *What is kept.* The fewest threads that are within [`WORTH_IT`] of the fastest:
//! helpers that do not pay are given back.

use super::Plan;
use super::parallel::Run;
use super::team::Team;
use crate::cursor::Sampled;
use crate::platform::Platform;
use crate::stats::{Stats, Step};
use crate::tuning::Tuning;

/// A count of threads is worth having when fewer reach less than this share of its rate,
/// in percent.
const WORTH_IT: u64 = 98;

/// Where all threads reach this share of twice the rate of half of them, in percent, they
/// hardly hinder each other and no count in between can be better.
const LINEAR: u64 = 93;

/// Chunks per worker that must be left for another try to pay.
const CHUNKS_TO_TRY_WITH: u64 = 6;

/// Chunks per allowed thread from which on the job is long enough to measure at all.
const CHUNKS_TO_GOVERN: u64 = 12;

/// With fewer threads than this there is nothing to find out.
const FEWEST_TO_GOVERN: usize = 4;

/// Room for what was tried: halving 1024 down to 1, and the steps aside.
const TRIES: usize = 16;

/// Windows after which a held count is measured anew.
const RECHECK_WINDOWS: u32 = 16;

/// The caller's governor of one job.
pub(super) struct Governor<'g> {
    /// More than this cannot be had.
    max: usize,
    cores: usize,
    /// What there should be now, the caller included.
    threads: usize,
    stage: Stage,
    /// The measurement that is under way, once the workers that there should be are there.
    window: Option<Window>,
    tries: [Try; TRIES],
    tried: usize,
    /// Windows since the count is held.
    held_windows: u32,
    held_rate: u64,
    tuning: Option<&'g Tuning>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Half of what is allowed, or a thread per core.
    Half,
    /// All of it.
    All,
    /// Fewer and fewer.
    Fewer,
    /// Between the best and the next one below it.
    BelowBest,
    /// Between the best and the next one above it.
    AboveBest,
    /// Found, or not looked for.
    Hold,
}

/// A count that was measured, in units per second.
#[derive(Clone, Copy, Default)]
struct Try {
    threads: usize,
    rate: u64,
}

/// What the samples added up to when a measurement began.
#[derive(Clone, Copy)]
struct Window {
    before: Sampled,
}

impl<'g> Governor<'g> {
    /// For a job of `plan` that may have `max` threads on a machine of so many cores.
    pub(super) fn new(plan: &Plan<'g>, max: usize, cores: usize) -> Self {
        let smallest = plan.min_chunk.max(plan.align);
        let chunks = plan.units / smallest;
        let known = plan.tuning.and_then(Tuning::threads);
        let (threads, stage) = if !Self::governs(plan, max) {
            (max, Stage::Hold)
        } else if let Some(known) = known {
            (known.clamp(2, max), Stage::Hold)
        } else if chunks < CHUNKS_TO_GOVERN * max as u64 {
            (max, Stage::Hold)
        } else {
            (first_try(max, cores), Stage::Half)
        };
        Self {
            max,
            cores,
            threads,
            stage,
            window: None,
            tries: [Try::default(); TRIES],
            tried: 0,
            held_windows: 0,
            held_rate: 0,
            tuning: plan.tuning,
        }
    }

    /// Whether such a job is measured.
    pub(super) fn governs(plan: &Plan<'_>, max: usize) -> bool {
        !plan.threads.is_exact() && max >= FEWEST_TO_GOVERN
    }

    /// Threads to begin with, the caller included.
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// Called by the caller between two of its chunks.
    pub(super) fn tick<P: Platform>(&mut self, run: &Run<'_, P>, team: &mut Team<'_, P>, stats: &mut Stats) {
        let Some(window) = self.window else {
            // Helpers come and go at their own time: measure when they have.
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
        let seen = added(window.before, run.sampled());
        if seen.chunks < self.threads as u64 || seen.ns == 0 {
            return;
        }
        self.window = None;
        let rate = rate(seen, self.threads);
        let next = self.decide(rate, seen, run.left());
        if next != self.threads {
            stats.trail.push(Step {
                at_ns: run.age_ns(),
                threads: self.threads,
                units_per_s: rate,
                next_threads: next,
            });
            self.threads = next;
            team.set_threads(next, stats);
        }
    }

    /// The next count to have, after `rate` units per second were measured with the current one.
    fn decide(&mut self, rate: u64, seen: Sampled, left: u64) -> usize {
        if self.stage == Stage::Hold {
            return self.hold(rate);
        }
        self.note(rate);
        let per_chunk = (seen.units / seen.chunks).max(1);
        while let Some(next) = self.next_try() {
            if left / per_chunk < CHUNKS_TO_TRY_WITH * next as u64 {
                break;
            }
            if !self.tries[..self.tried].iter().any(|done| done.threads == next) {
                return next;
            }
        }
        self.hold_best()
    }

    /// Goes on to the next stage that has a count to try.
    fn next_try(&mut self) -> Option<usize> {
        let best = self.best();
        self.stage = match self.stage {
            Stage::Half => Stage::All,
            // All are clearly faster: no need to know how much slower few are.
            Stage::All if best.threads == self.max && self.scales() => return None,
            Stage::All if best.threads == self.max => Stage::BelowBest,
            Stage::All => Stage::Fewer,
            // Still as good with half: go on.
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

    fn note(&mut self, rate: u64) {
        if let Some(slot) = self.tries.get_mut(self.tried) {
            *slot = Try { threads: self.threads, rate };
            self.tried += 1;
        }
    }

    /// The fewest threads whose rate is worth it.
    fn best(&self) -> Try {
        let tries = &self.tries[..self.tried];
        let top = tries.iter().map(|done| done.rate).max().unwrap_or(0);
        let worth_it = |done: &&Try| u128::from(done.rate) * 100 >= u128::from(top) * u128::from(WORTH_IT);
        let fewest = tries.iter().filter(worth_it).min_by_key(|done| done.threads);
        fewest.copied().unwrap_or(Try { threads: self.threads, rate: 0 })
    }

    /// Whether the two counts tried so far gave rates in proportion.
    fn scales(&self) -> bool {
        let [half, all, ..] = &self.tries;
        let in_proportion = u128::from(half.rate) * all.threads as u128;
        u128::from(all.rate) * half.threads as u128 * 100 >= in_proportion * u128::from(LINEAR)
    }

    fn fewest(&self) -> usize {
        let tries = self.tries[..self.tried].iter();
        tries.map(|done| done.threads).min().unwrap_or(self.threads)
    }

    /// Stops looking.
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

    /// Watches a count that is held; looks anew when the world has changed.
    fn hold(&mut self, rate: u64) -> usize {
        self.held_windows += 1;
        if self.held_rate == 0 {
            self.held_rate = rate;
        }
        let changed = rate < self.held_rate / 4 * 3 || rate / 4 * 3 > self.held_rate;
        if !changed || self.held_windows < RECHECK_WINDOWS {
            return self.threads;
        }
        self.tried = 0;
        self.stage = Stage::Half;
        first_try(self.max, self.cores)
    }
}

/// The count to begin with.
fn first_try(max: usize, cores: usize) -> usize {
    if (2..max).contains(&cores) { cores } else { max.div_ceil(2) }
}

/// What was added from `before` to `now`.
fn added(before: Sampled, now: Sampled) -> Sampled {
    Sampled { chunks: now.chunks - before.chunks, units: now.units - before.units, ns: now.ns - before.ns }
}

/// Units per second of `threads` workers at the mean rate of the chunks in `seen`.
fn rate(seen: Sampled, threads: usize) -> u64 {
    let per_s = u128::from(seen.units) * threads as u128 * 1_000_000_000;
    u64::try_from(per_s / u128::from(seen.ns.max(1))).unwrap_or(u64::MAX)
}
