//! Finds by measurement how many of the allowed threads a job should use.
//!
//! The best count does not follow from the CPU count, because memory bandwidth runs out first.
//! Published runs of one allocation peak at 32 of 144 CPUs on one machine, and at 128 or more of
//! 192 on its successor. So the governor measures while the job runs. It is a policy without
//! side effects: the engine tells it what there is to see, and does what it decides.
//!
//! *Search.* The governor holds the best count so far, the *anchor*, and tries one *candidate* after
//! the other: first a quarter of the allowed threads against half (or one per core where cores have
//! several hardware threads), then half against all; if more are not faster, half of the anchor, until that costs
//! speed; then counts between the anchor and its slower neighbours. More threads are kept only if they are worth
//! [`WORTHWHILE`](super::governor_bounds::WORTHWHILE).
//!
//! *Noise.* A trial ends when its result is sure: the ratio of the two rates is three standard
//! deviations away from the bound. Until then the measurement of the less certain of the two goes on,
//! up to a share of the job. It is looked at in growing steps: what is tested at each chunk is sure by chance some
//! time. Chunks in progress count as a likely error of the rates. If the result is still unsure, more threads win with a
//! quarter of what threads in proportion would bring.
//!
//! *Doubt.* A trial that was not sure is repeated while its count is held, with what was measured before. So an error at
//! the start of a job costs a part of it, and not all the rest. A trial of fewer threads that would cost more than it can
//! save is not repeated.
//!
//! *Drift.* If the rate changes while the count does not, because later items cost more, the anchor is
//! measured again after each candidate, and the candidate is compared with the mean of both.
//!
//! *Workers that count.* A measurement is that of the workers that really ran. Helpers that are late, lost or
//! refused make it the measurement of fewer threads, never of those that were asked for.

use super::governor_bounds::{
    CHUNKS_TO_CENTRE, CHUNKS_TO_GOVERN, HELD_SHARE, HELD_VARIANCE, MAX_DOUBTS, MIN_THREADS_TO_GOVERN,
    MIN_WINDOW_NS, PATIENCE_NS, USEFUL_CHUNK_NS, VARYING,
};
use super::governor_held::Held;
use super::governor_ladder::Count;
use super::governor_search::{Next, Search, Stage};
pub(super) use super::governor_view::{Decision, Setting, View};
use super::governor_window::{Window, is_representative};
use super::measure::{Measured, is_centred, typical_cost};
use crate::cursor::Sampled;

/// The governor of one job. The job's caller asks it between its own chunks.
pub(super) struct Governor {
    setting: Setting,
    /// Threads that the job should have now, the caller included.
    wanted: usize,
    /// The number of workers at the last look, and since when it is that.
    running: usize,
    running_since_ns: u64,
    window: Option<Window>,
    /// What the last look saw: here, because a job's stack is small.
    sum: Sampled,
    measured: Measured,
    stage: Stage,
    search: Search,
    /// Units left at which a postponed search begins.
    search_at_left: Option<u64>,
    held: Held,
    /// Length of all chunks while counts are compared; 0 if workers choose it.
    chunk_units: u64,
    /// The typical cost of a chunk, as a logarithm; 0 if unknown.
    centre: u64,
    learned: Option<usize>,
}

impl Governor {
    /// Makes the governor of a job.
    ///
    /// Inlined, as what it makes it of: each call would have a copy of it on the stack.
    #[inline(always)]
    pub(super) fn new(setting: Setting) -> Self {
        let max = setting.max;
        let (wanted, stage) = if max < MIN_THREADS_TO_GOVERN {
            (max, Stage::Hold)
        } else if let Some(known) = setting.known {
            (known.clamp(2, max), Stage::Hold)
        } else if setting.chunks() < CHUNKS_TO_GOVERN * max as u64 {
            (max, Stage::Hold)
        } else {
            (setting.first_count(), Stage::First)
        };
        Self {
            setting,
            wanted,
            running: 1,
            running_since_ns: 0,
            window: None,
            sum: Sampled::default(),
            measured: Measured::default(),
            stage,
            search: Search::new(wanted, max, setting.units),
            search_at_left: None,
            held: Held::new(setting.units),
            chunk_units: 0,
            centre: 0,
            learned: None,
        }
    }

    /// Returns whether a job on up to `max` threads is measured.
    pub(super) fn governs(max: usize) -> bool {
        max >= MIN_THREADS_TO_GOVERN
    }

    /// Returns the number of threads that the job should have now, the caller included.
    pub(super) fn threads(&self) -> usize {
        self.wanted
    }

    /// Returns the length that all chunks should have for a comparison, in units; 0 leaves it to the workers.
    pub(super) fn chunk_units(&self) -> u64 {
        self.chunk_units
    }

    /// Returns the typical cost of a chunk, as a logarithm; 0 if it is unknown.
    pub(super) fn centre(&self) -> u64 {
        self.centre
    }

    /// Takes the best count of a search that has ended, if it is sure.
    pub(super) fn take_learned(&mut self) -> Option<usize> {
        self.learned.take()
    }

    /// Judges what there is to see.
    ///
    /// Inlined into its one caller: the functions that this calls have frames of their own.
    #[inline(always)]
    pub(super) fn look(&mut self, view: &View) -> Decision {
        if view.running != self.running {
            self.running = view.running;
            self.running_since_ns = view.now_ns;
            self.window = None;
        }
        if self.stage != Stage::Hold && self.has_range_ended(view) {
            return self.ranges_ended(view);
        }
        if self.search_at_left.is_some_and(|left| view.left <= left) {
            return self.begin_search(view);
        }
        let decided = match self.window {
            None => Some(self.begin_window(view)),
            Some(_) => self.measured_enough(view),
        };
        if let Some(decision) = decided {
            return decision;
        }
        if self.stage == Stage::Hold {
            return self.look_at_held(view);
        }
        let next = self.search.look(self.stage, view, &self.measured);
        let next = self.conclude(next, view);
        self.follow(next, view)
    }

    /// Takes a measurement, if it tells enough; otherwise returns what is to be done.
    #[inline(never)]
    fn measured_enough(&mut self, view: &View) -> Option<Decision> {
        let window = self.window.as_mut()?;
        self.sum = window.sum(view);
        let (from_ns, is_due) = (window.from_ns, window.is_due(&self.sum));
        let elapsed_ns = view.now_ns.saturating_sub(from_ns);
        if self.is_to_be_centred(view, elapsed_ns) {
            self.centre = typical_cost(&self.sum, self.centre);
            self.window = None;
            return Some(self.give_up_if_late(view));
        }
        let is_whole = is_representative(&self.sum, view, elapsed_ns);
        let is_late = self.search.is_late(self.stage, 1, view);
        let is_usable = is_whole || (is_late && self.sum.chunks >= 2 * view.running as u64);
        // Half as long as the first measurement at least: in a short time, only cheap chunks end.
        let first_ns = self.search.ladder.anchor.measured.map_or(MIN_WINDOW_NS, |first| first.took_ns / 2);
        if !is_usable || elapsed_ns < first_ns.max(MIN_WINDOW_NS) {
            return Some(self.give_up_if_late(view));
        }
        if !is_late && !is_due {
            return Some(Decision::Continue);
        }
        if let Some(window) = &mut self.window {
            window.looked_at(&self.sum);
        }
        self.measured = Measured::of(&self.sum, is_whole, self.centre, view.running, from_ns, view.now_ns);
        self.search.note_spread(&mut self.measured);
        None
    }

    /// Takes a result of a trial, and returns what follows it.
    #[inline(never)]
    fn conclude(&mut self, next: Next, view: &View) -> Next {
        match next {
            Next::Conclude(verdict) => self.search.conclude(verdict),
            Next::Try => {}
            next => return next,
        }
        let is_another = self.search.next_trial(&self.setting, view, &self.sum);
        if is_another { Next::Measure(Stage::Candidate) } else { Next::Hold }
    }

    /// Does what follows a look, unless that is a result.
    #[inline(never)]
    fn follow(&mut self, next: Next, view: &View) -> Decision {
        match next {
            Next::Measure(stage) => self.measure(stage, view),
            Next::Hold => self.hold(view),
            Next::Postpone(share) => {
                self.search_at_left = Some(view.left.saturating_sub(self.setting.units / share));
                self.search.postpone();
                self.held.forget();
                self.measure(Stage::Hold, view)
            }
            Next::Wait | Next::Try | Next::Conclude(_) => Decision::Continue,
        }
    }

    /// Returns whether the measurement has to begin anew, with another centre. At the first such look, costs are
    /// found to vary, and the length of chunks is fixed: the mean of many units varies less than that of
    /// few, and seems higher where rare units are expensive.
    #[inline(never)]
    fn is_to_be_centred(&mut self, view: &View, elapsed_ns: u64) -> bool {
        let sum = &self.sum;
        if self.stage == Stage::Hold {
            return false;
        }
        if self.chunk_units > 0 {
            return sum.whole >= CHUNKS_TO_CENTRE && !is_centred(sum);
        }
        let is_enough = sum.whole >= view.running as u64 && elapsed_ns >= MIN_WINDOW_NS;
        if self.stage != Stage::First || !is_enough || sum.ns < USEFUL_CHUNK_NS * sum.chunks {
            return false;
        }
        let measured = Measured::of(sum, true, 0, view.running, view.now_ns - elapsed_ns, view.now_ns);
        if !self.search.varies() && measured.spread() < VARYING {
            return false;
        }
        self.chunk_units = self.setting.units_per_chunk(sum);
        true
    }

    /// Begins a measurement, if the number of workers is that which was wanted, or no longer changes.
    #[inline(never)]
    fn begin_window(&mut self, view: &View) -> Decision {
        let waited_ns = view.now_ns.saturating_sub(self.running_since_ns);
        // Those that are told to leave do leave; those that were started may never come.
        if view.running > self.wanted || (view.running < self.wanted && waited_ns < PATIENCE_NS) {
            return self.give_up_if_late(view);
        }
        let is_compared = matches!(self.stage, Stage::Candidate | Stage::Anchor);
        if is_compared && !self.search.ladder.differs(self.stage == Stage::Anchor, view.running) {
            return self.give_up_if_late(view);
        }
        self.window = Some(Window::new(view));
        self.search.begin(self.stage, view.running);
        Decision::Measure
    }

    /// Ends a trial that takes too long.
    #[inline(never)]
    fn give_up_if_late(&mut self, view: &View) -> Decision {
        if !self.search.is_late(self.stage, 2, view) {
            return Decision::Continue;
        }
        let next = self.search.give_up(self.stage, view);
        let next = self.conclude(next, view);
        self.follow(next, view)
    }

    /// Returns whether fewer ranges have work than the counts are for. Without any, there is nothing to decide.
    fn has_range_ended(&self, view: &View) -> bool {
        (1..self.setting.ranges).contains(&view.ranges)
    }

    /// Returns the count for the ranges that are left, and takes note of their number. A count that saturates all
    /// is too many for fewer; of all threads, it is not known whether more would be better.
    fn for_ranges_left(&mut self, view: &View) -> usize {
        let before = core::mem::replace(&mut self.setting.ranges, view.ranges);
        let (held, max) = (self.search.ladder.anchor.wanted, self.setting.max);
        if held < max { (held * view.ranges).div_ceil(before).max(1) } else { max }
    }

    /// Searches anew, as a range has ended: the rates so far say nothing of what is left.
    #[inline(never)]
    fn ranges_ended(&mut self, view: &View) -> Decision {
        let threads = self.for_ranges_left(view);
        self.search.restart(threads, threads, view.left);
        self.held.forget();
        self.measure(Stage::First, view)
    }

    /// Begins the search that was postponed.
    #[inline(never)]
    fn begin_search(&mut self, view: &View) -> Decision {
        self.search_at_left = None;
        let (fallback, max) = (self.search.fallback, self.setting.max);
        let threads = if fallback < max { fallback } else { self.setting.first_count() };
        self.search.restart(threads, fallback, view.left);
        self.measure(Stage::First, view)
    }

    /// Has the count of `stage` measured.
    #[inline(never)]
    fn measure(&mut self, stage: Stage, view: &View) -> Decision {
        self.stage = stage;
        self.window = None;
        if stage == Stage::Hold {
            self.chunk_units = 0;
        }
        let threads = self.search.wanted(stage);
        let before = core::mem::replace(&mut self.wanted, threads);
        // The number of workers is about to change.
        self.running_since_ns = view.now_ns;
        if before == threads {
            return Decision::Continue;
        }
        let rate = self.search.ladder.rate_of(before);
        Decision::Threads { threads, rate }
    }

    /// Holds the anchor from now on.
    #[inline(never)]
    fn hold(&mut self, view: &View) -> Decision {
        let anchor = &self.search.ladder.anchor;
        if self.search.is_sure() {
            self.learned = Some(anchor.wanted);
        }
        self.held.begin(anchor.measured.map_or(0, |one| one.rate), view.left);
        self.search.trial_left = view.left;
        self.measure(Stage::Hold, view)
    }

    /// Watches the held count. Begins a new search if its rate has changed by more than a quarter, and repeats
    /// trials that were not sure.
    #[inline(never)]
    fn look_at_held(&mut self, view: &View) -> Decision {
        if self.has_range_ended(view) {
            let threads = self.for_ranges_left(view);
            self.search.ladder.anchor = Count::new(threads);
            self.search.fallback = threads;
            self.held.forget();
            return self.measure(Stage::Hold, view);
        }
        let held = self.search.ladder.anchor.wanted;
        let is_postponed = self.search_at_left.is_some();
        if !is_postponed
            && self.search.has_doubt(MAX_DOUBTS)
            && self.held.is_due(held, self.search.ladder.most(self.setting.max), view.left)
        {
            self.search.doubt(view.left);
            return self.measure(Stage::First, view);
        }
        // Of many short measurements, some are far off by chance.
        let is_short = self.measured.variance() > HELD_VARIANCE;
        let trial_left = self.search.trial_left;
        if is_short && trial_left.saturating_sub(view.left) < trial_left / HELD_SHARE {
            return Decision::Continue;
        }
        self.search.trial_left = view.left;
        self.window = Some(Window::new(view));
        let change = self.held.note(&self.measured, self.search.drifts(), self.search.varies());
        let Some(is_slower) = change.filter(|_| !is_postponed) else { return Decision::Measure };
        self.held.search_again();
        // Measured anew: the rate changed some time in this window.
        self.search.restart(held, held, view.left);
        // A slower job may need fewer threads, a faster one more.
        if is_slower {
            self.search.ladder.go_down();
        }
        self.measure(Stage::First, view)
    }
}

#[cfg(test)]
mod tests;
