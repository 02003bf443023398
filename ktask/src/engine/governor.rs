//! Finds by measurement how many of the allowed threads a job should use.
//!
//! The best count does not follow from the CPU count, because memory bandwidth runs out first.
//! Published runs of one allocation peak at 32 of 144 CPUs on one machine, and at 128 or more of
//! 192 on its successor. So the governor measures while the job runs. It is a policy without
//! side effects: the engine tells it what there is to see, and does what it decides.
//!
//! *Search.* The governor holds the best count so far, the *anchor*, and tries one *candidate* after
//! the other: first a quarter of the allowed threads against half (or one per core where cores have
//! several hardware threads), then half against all; if more are not faster, half of the anchor, until that costs speed; then
//! counts between the anchor and its slower neighbours. More threads are kept only if they are worth
//! [`WORTHWHILE`].
//!
//! *Noise.* A trial ends when its result is sure: the ratio of the two rates is two standard
//! deviations away from the bound. Until then the measurement of the less certain of the two goes on,
//! up to a share of the job. If the result is still unsure, more threads win: a job that runs on too
//! many is no slower where it scales, and a job on too few is.
//!
//! *Drift.* If the rate changes while the count does not, because later items cost more, the anchor is
//! measured again after each candidate, and the candidate is compared with the mean of both.
//!
//! *Workers that count.* A measurement is that of the workers that really ran. Helpers that are late, lost or
//! refused make it the measurement of fewer threads, never of those that were asked for.

use super::governor_bounds::{
    CALM, CHUNKS_TO_CENTRE, CHUNKS_TO_GOVERN, CHUNKS_TO_MEASURE, CLEAR, CONFIRM_WINDOWS, FEWER_SHARE, FINE,
    FIRST_CHUNKS, FIRST_SHARE, FIRST_VARIANCE, HELD_SHARE, HELD_VARIANCE, HOLD_WINDOWS, MAX_HOLD_WINDOWS,
    MAX_POSTPONEMENTS, MIN_THREADS_TO_GOVERN, MIN_WINDOW_NS, MORE_SHARE, PATIENCE_NS, POSTPONED_SHARE,
    STEADY, USEFUL_CHUNK_NS, VARYING, WILD, WORTHWHILE,
};
pub(super) use super::governor_view::{Decision, Setting, View};
use super::measure::{Measured, Ratio, is_centred, typical_cost};
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
    stage: Stage,
    anchor: Count,
    candidate: Count,
    /// The largest count that is known to be too small.
    too_few: Option<Count>,
    /// The smallest count above the anchor that is known not to be worthwhile.
    too_many: Option<usize>,
    /// Whether no other count between the known ones is worth a trial.
    is_refined: bool,
    /// Units that were left when the trial began; the units of the job before the first.
    trial_left: u64,
    /// Whether the rate changes while the count does not; `None` before it was looked at.
    drifts: Option<bool>,
    /// Whether every trial so far had a sure result, with all threads that it was to have.
    is_certain: bool,
    /// Whether more threads won a trial without being surely faster.
    is_too_generous: bool,
    /// The largest spread of costs that was measured: see [`Measured::spread`].
    spread: u64,
    /// Whether the count was tried against more threads a second time.
    is_confirmed: bool,
    /// Units left at which a postponed search begins.
    search_at_left: Option<u64>,
    postponements: u32,
    held: Held,
    /// Length of all chunks while counts are compared; 0 if workers choose it.
    chunk_units: u64,
    /// The typical cost of a chunk, as a logarithm; 0 if unknown.
    centre: u64,
    learned: Option<usize>,
}

/// A thread count and its measurement.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    wanted: usize,
    /// Workers that really ran.
    ran: usize,
    measured: Option<Measured>,
    /// A second measurement, after that of the candidate.
    after: Option<Measured>,
}

/// What is being measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The anchor, before the first trial.
    First,
    /// The candidate of a trial.
    Candidate,
    /// The anchor again, in a trial.
    Anchor,
    /// The anchor, which is held.
    Hold,
}

/// A measurement that goes on.
#[derive(Clone, Copy, Debug)]
struct Window {
    from_ns: u64,
    before: Sampled,
}

/// What is known of a count that is held.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// Sliding mean of the rate; 0 if unknown.
    rate: u64,
    windows: u32,
    /// Windows after which the governor may search again.
    until: u32,
}

impl Governor {
    /// Makes the governor of a job.
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
            stage,
            anchor: Count::new(wanted),
            candidate: Count::default(),
            too_few: None,
            too_many: None,
            is_refined: false,
            trial_left: setting.units,
            drifts: None,
            is_certain: true,
            is_too_generous: false,
            spread: 0,
            is_confirmed: false,
            search_at_left: None,
            postponements: 0,
            held: Held { rate: 0, windows: 0, until: HOLD_WINDOWS },
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
        if self.search_at_left.is_some_and(|left| view.left <= left) {
            return self.begin_search(view);
        }
        let Some(window) = &self.window else { return self.begin_window(view) };
        let from_ns = window.from_ns;
        let sum = &view.sampled.since(&window.before);
        let elapsed_ns = view.now_ns.saturating_sub(from_ns);
        if self.is_to_be_centred(view, sum, elapsed_ns) {
            self.centre = typical_cost(sum, self.centre);
            self.window = None;
            return self.give_up_if_late(view);
        }
        let is_whole = is_representative(sum, view, elapsed_ns);
        let is_usable = is_whole || (self.is_late(view) && sum.chunks >= 2 * view.running as u64);
        // Half as long as the first measurement at least: in a short time, only cheap chunks end.
        let first_ns = self.anchor.measured.map_or(MIN_WINDOW_NS, |first| first.took_ns / 2);
        if !is_usable || elapsed_ns < first_ns.max(MIN_WINDOW_NS) {
            return self.give_up_if_late(view);
        }
        let mut measured = Measured::of(sum, is_whole, self.centre, view.running, from_ns, view.now_ns);
        self.spread = self.spread.max(measured.spread());
        measured.doubt_by(self.spread);
        match self.stage {
            Stage::First => self.look_at_first(view, &measured, sum),
            Stage::Candidate => self.look_at_candidate(view, &measured, sum),
            Stage::Anchor => self.look_at_anchor(view, &measured, sum),
            Stage::Hold => self.look_at_held(view, &measured),
        }
    }

    /// Returns whether the measurement has to begin anew, with another centre. At the first such look, costs are
    /// found to vary, and the length of chunks is fixed: the mean of many units varies less than that of
    /// few, and seems higher where rare units are expensive.
    #[inline(never)]
    fn is_to_be_centred(&mut self, view: &View, sum: &Sampled, elapsed_ns: u64) -> bool {
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
        if self.spread.max(measured.spread()) < VARYING {
            return false;
        }
        self.chunk_units = self.units_per_chunk(sum);
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
        if self.stage == Stage::Candidate && !self.differs(view.running) {
            return self.give_up_if_late(view);
        }
        self.window = Some(Window { from_ns: view.now_ns, before: view.sampled });
        let count = if self.stage == Stage::Candidate { &mut self.candidate } else { &mut self.anchor };
        if count.ran != view.running {
            *count = Count { ran: view.running, ..Count::new(count.wanted) };
        }
        Decision::Measure
    }

    /// Returns whether `running` workers are different enough from the anchor's to tell anything: at
    /// least half of the difference that was wanted.
    fn differs(&self, running: usize) -> bool {
        let wanted = self.candidate.wanted.abs_diff(self.anchor.wanted);
        running.abs_diff(self.anchor.ran) * 2 >= wanted
            && (running > self.anchor.ran) == (self.candidate.wanted > self.anchor.wanted)
    }

    /// Returns the units that the trial may take. They are fewer with fewer threads, which take longer
    /// for them.
    fn budget(&self) -> u64 {
        let share = match self.stage {
            Stage::First => FIRST_SHARE,
            _ if self.candidate.wanted > self.anchor.wanted => MORE_SHARE,
            _ => FEWER_SHARE,
        };
        let threads = match self.stage {
            Stage::First => self.wanted,
            _ => self.candidate.wanted.max(self.wanted),
        };
        let threads = (threads as u128, self.setting.max.max(1) as u128);
        (u128::from(self.trial_left) * threads.0 / (u128::from(share) * threads.1)) as u64
    }

    /// Returns whether the trial has taken its part of the job.
    fn is_late(&self, view: &View) -> bool {
        self.stage != Stage::Hold && self.spent(view) >= self.budget()
    }

    /// Ends a trial that cannot be measured: its workers come and go, or their chunks are long.
    #[inline(never)]
    fn give_up_if_late(&mut self, view: &View) -> Decision {
        if self.stage == Stage::Hold || self.spent(view) < 2 * self.budget() {
            return Decision::Continue;
        }
        self.is_certain = false;
        self.is_too_generous = true;
        match self.stage {
            Stage::First => {
                self.anchor = Count::new(self.setting.max);
                self.hold(view, None)
            }
            // More threads are the better guess.
            _ if self.candidate.wanted > self.anchor.wanted && !self.is_confirmed => {
                self.anchor = self.candidate;
                self.hold(view, None)
            }
            _ => self.hold(view, None),
        }
    }

    /// Returns the units that were handed out since the trial began.
    fn spent(&self, view: &View) -> u64 {
        self.trial_left.saturating_sub(view.left)
    }

    #[inline(never)]
    fn look_at_first(&mut self, view: &View, measured: &Measured, sum: &Sampled) -> Decision {
        let is_short = measured.least_variance() > FIRST_VARIANCE || sum.chunks < FIRST_CHUNKS;
        if is_short && !self.is_late(view) {
            return Decision::Continue;
        }
        self.anchor.measured = Some(*measured);
        self.next_trial(view, sum)
    }

    #[inline(never)]
    fn look_at_candidate(&mut self, view: &View, measured: &Measured, sum: &Sampled) -> Decision {
        let measured = self.candidate.with(measured);
        let Some(anchor) = self.anchor.measured else {
            // The anchor was measured with another number of workers.
            self.candidate.measured = Some(measured);
            return self.measure(Stage::Anchor, view);
        };
        let anchor_now = anchor.at_time_of(&measured, self.anchor.after.as_ref());
        let ratio = self.ratio(&anchor_now, &measured);
        let is_checked = self.drifts == Some(false) || self.anchor.after.is_some() || ratio.deviation > CALM;
        // Where threads scale, time on more of them is free, and on fewer it is lost. So the anchor is
        // measured again for certainty only if it is the larger of the two.
        let is_fewer = self.candidate.wanted < self.anchor.wanted;
        let is_gain = ratio.value > self.half_of_proportion();
        let is_limited = !is_fewer && is_gain && measured.least_variance() <= anchor_now.least_variance() / 4;
        let Some(is_worthwhile) = self.verdict(view, ratio, is_limited) else {
            if (is_fewer || !is_gain) && measured.least_variance() <= anchor_now.least_variance() / 2 {
                self.candidate.measured = Some(measured);
                return self.measure(Stage::Anchor, view);
            }
            return Decision::Continue;
        };
        self.candidate.measured = Some(measured);
        if ratio.value < CLEAR && !is_checked {
            if self.spent(view) < 3 * self.budget() {
                return self.measure(Stage::Anchor, view);
            }
            if self.postponements < MAX_POSTPONEMENTS {
                return self.postpone(view);
            }
        }
        self.conclude(view, is_worthwhile, sum)
    }

    #[inline(never)]
    fn look_at_anchor(&mut self, view: &View, measured: &Measured, sum: &Sampled) -> Decision {
        let (Some(candidate), Some(_)) = (self.candidate.measured, self.anchor.measured) else {
            // Another number of workers than before: the trial begins anew.
            self.anchor.measured = Some(*measured);
            self.candidate.measured = None;
            return self.measure(Stage::Candidate, view);
        };
        let (mut anchor, mut after) = (self.anchor.with(measured), None);
        if let Some(before) = self.anchor.measured.filter(|_| self.drifts != Some(false)) {
            let now = self.anchor.after.map_or(*measured, |one| one.and(measured));
            let change = Ratio::of(&now, &before);
            if change.value.abs_diff(1000) > WILD + 2 * change.deviation
                && self.postponements < MAX_POSTPONEMENTS
            {
                return self.postpone(view);
            }
            self.drifts = Some(change.value.abs_diff(1000) > STEADY + 2 * change.deviation);
            if self.drifts == Some(true) {
                (anchor, after) = (before, Some(now));
            }
        }
        let anchor_now = anchor.at_time_of(&candidate, after.as_ref());
        let ratio = self.ratio(&anchor_now, &candidate);
        let verdict = self.verdict(view, ratio, false);
        if verdict.is_some() || anchor_now.least_variance() <= candidate.least_variance() / 3 * 2 {
            self.anchor.measured = Some(anchor);
            self.anchor.after = after;
            return match verdict {
                Some(is_worthwhile) => self.conclude(view, is_worthwhile, sum),
                None => self.measure(Stage::Candidate, view),
            };
        }
        Decision::Continue
    }

    /// Ends a search that came to no result because the rate changes too fast: at its start, the costs of a
    /// job grow fastest, or expensive chunks have not been seen. Another search begins later, and
    /// meanwhile the larger count is held.
    #[inline(never)]
    fn postpone(&mut self, view: &View) -> Decision {
        self.postponements += 1;
        self.search_at_left = Some(view.left.saturating_sub(self.setting.units / POSTPONED_SHARE));
        self.anchor = Count::new(self.anchor.wanted.max(self.candidate.wanted));
        self.held.rate = 0;
        self.measure(Stage::Hold, view)
    }

    /// Returns whether the held count needs no second look: it is all, or costs hardly vary.
    fn is_sure_enough(&self) -> bool {
        self.anchor.wanted >= self.setting.max || self.spread < VARYING
    }

    /// Tries more threads than the held count once more. Where costs vary, a job may be stuck on few
    /// threads because the first of its chunks were cheap.
    #[inline(never)]
    fn confirm(&mut self, view: &View) -> Decision {
        self.is_confirmed = true;
        self.anchor = Count::new(self.anchor.wanted);
        (self.too_many, self.is_refined) = (None, true);
        self.trial_left = view.left;
        self.measure(Stage::First, view)
    }

    /// Begins the search that was postponed.
    #[inline(never)]
    fn begin_search(&mut self, view: &View) -> Decision {
        self.search_at_left = None;
        self.anchor = Count::new(self.setting.first_count());
        (self.too_few, self.too_many, self.is_refined) = (None, None, false);
        (self.is_certain, self.is_too_generous) = (true, false);
        self.trial_left = view.left;
        self.measure(Stage::First, view)
    }

    /// Returns the ratio of the rates of the larger and the smaller count.
    #[inline(never)]
    fn ratio(&self, anchor: &Measured, candidate: &Measured) -> Ratio {
        let (anchor, candidate) = (anchor.with_spread(self.spread), candidate.with_spread(self.spread));
        if self.candidate.wanted > self.anchor.wanted {
            Ratio::of(&candidate, &anchor)
        } else {
            Ratio::of(&anchor, &candidate)
        }
    }

    /// Returns whether the larger of anchor and candidate is worthwhile, if that is sure or the
    /// trial has taken its part of the job, or longer measurement is of little use (`is_limited`).
    #[inline(never)]
    fn verdict(&mut self, view: &View, ratio: Ratio, is_limited: bool) -> Option<bool> {
        let sure = ratio.is_above(WORTHWHILE);
        if sure.is_none() && (is_limited || self.is_late(view)) {
            if self.spread < VARYING {
                // Only the number of chunks is too small for certainty.
                return Some(ratio.value > WORTHWHILE);
            }
            self.is_certain = false;
            let half = self.half_of_proportion();
            let proportional = 2 * half - 1000;
            let is_worthwhile = if self.candidate.wanted > self.anchor.wanted {
                ratio.value > (1000 + half) / 2
            } else {
                // No step down unless it is likely to cost little.
                ratio.value + ratio.deviation > half
            };
            self.is_too_generous |= is_worthwhile && proportional >= CLEAR;
            return Some(is_worthwhile);
        }
        sure
    }

    /// Returns the ratio of rates with half of what threads in proportion would bring.
    fn half_of_proportion(&self) -> u64 {
        let (anchor, candidate) = (self.anchor.ran.max(1) as u64, self.candidate.ran.max(1) as u64);
        (1000 + anchor.max(candidate) * 1000 / anchor.min(candidate)) / 2
    }

    /// Ends a trial: `is_worthwhile` tells whether the larger count is.
    #[inline(never)]
    fn conclude(&mut self, view: &View, is_worthwhile: bool, sum: &Sampled) -> Decision {
        if let Some(after) = self.anchor.after.take() {
            self.anchor.measured = Some(after);
        }
        let is_between = self.too_few.is_some();
        match (self.candidate.wanted > self.anchor.wanted, is_worthwhile) {
            (true, true) => {
                self.too_few = Some(self.anchor);
                self.anchor = self.candidate;
            }
            (true, false) => self.too_many = Some(self.candidate.wanted),
            (false, true) => {
                self.too_few = Some(self.candidate);
                // The rate bends between the two: there is no corner to find.
                self.is_refined |= is_between;
            }
            (false, false) => {
                self.too_many = Some(self.anchor.wanted);
                self.anchor = self.candidate;
            }
        }
        self.is_certain &= self.anchor.ran == self.anchor.wanted;
        self.next_trial(view, sum)
    }

    /// Begins the next trial, or holds the anchor if there is none.
    #[inline(never)]
    fn next_trial(&mut self, view: &View, sum: &Sampled) -> Decision {
        let chunks_left = view.left / self.units_per_chunk(sum);
        let is_short = |next: usize| chunks_left < CHUNKS_TO_MEASURE * next as u64;
        if let Some(next) = self.next_count().filter(|&next| !is_short(next)) {
            self.candidate = Count::new(next);
            self.trial_left = view.left;
            return self.measure(Stage::Candidate, view);
        }
        self.hold(view, self.anchor.measured)
    }

    fn units_per_chunk(&self, sum: &Sampled) -> u64 {
        ((self.setting.units_of(sum) + sum.chunks / 2) / sum.chunks.max(1)).max(1)
    }

    /// Returns the next count to try.
    #[inline(never)]
    fn next_count(&mut self) -> Option<usize> {
        let anchor = self.anchor.wanted;
        let measured = self.anchor.measured?;
        if self.too_many.is_none() && anchor < self.setting.max {
            let middle = self.setting.middle_count();
            return Some(if anchor < middle { middle } else { self.setting.max });
        }
        let Some(too_few) = self.too_few else {
            let half = self.setting.even((anchor / 2).max(1));
            return (half < anchor).then_some(half);
        };
        let fewer = too_few.measured?;
        if self.is_refined {
            return None;
        }
        // Threads speed a job up in proportion at most: fewer than these cannot reach the rate.
        let ratio = Ratio::of(&measured, &fewer);
        let mut least = (ratio.value * too_few.ran as u64).div_ceil(WORTHWHILE) as usize;
        let proportional = self.anchor.ran as u64 * 1000 / (too_few.ran as u64).max(1);
        if ratio.deviation > FINE && ratio.value + ratio.deviation > proportional / 20 * 19 {
            return None;
        }
        if ratio.deviation > FINE && least < self.anchor.ran {
            // The rates do not tell more than that there may be such a count.
            least = (too_few.ran + self.anchor.ran).div_ceil(2);
        }
        let least = self.setting.even(least.max(too_few.ran + 1));
        if least + (self.anchor.ran / 16).max(1) <= self.anchor.ran.min(anchor) {
            return Some(least);
        }
        self.is_refined = true;
        // The rate may have a peak above the anchor, if that can be told.
        if ratio.deviation > FINE {
            return None;
        }
        let most = self.too_many.unwrap_or(anchor);
        let above = self.setting.even((anchor * 4).div_ceil(3));
        (above < most).then_some(above)
    }

    /// Has the count of `stage` measured.
    #[inline(never)]
    fn measure(&mut self, stage: Stage, view: &View) -> Decision {
        self.stage = stage;
        self.window = None;
        if stage == Stage::Hold {
            self.chunk_units = 0;
        }
        let wanted = if stage == Stage::Candidate { self.candidate.wanted } else { self.anchor.wanted };
        self.want(wanted, view)
    }

    #[inline(never)]
    fn want(&mut self, threads: usize, view: &View) -> Decision {
        let before = core::mem::replace(&mut self.wanted, threads);
        // The number of workers is about to change.
        self.running_since_ns = view.now_ns;
        if before == threads {
            return Decision::Continue;
        }
        let known = [&self.anchor, &self.candidate].into_iter().find(|count| count.wanted == before);
        let rate = known.and_then(|count| count.measured).map_or(0, |measured| measured.rate);
        Decision::Threads { threads, rate }
    }

    /// Holds the anchor from now on.
    #[inline(never)]
    fn hold(&mut self, view: &View, measured: Option<Measured>) -> Decision {
        if self.is_certain && measured.is_some() {
            self.learned = Some(self.anchor.wanted);
        }
        self.held = Held { rate: measured.map_or(0, |one| one.rate), windows: 0, ..self.held };
        self.trial_left = view.left;
        self.measure(Stage::Hold, view)
    }

    /// Watches the held count. Begins a new search if its rate has changed by more than a quarter, or
    /// if the last search ended without a result.
    #[inline(never)]
    fn look_at_held(&mut self, view: &View, measured: &Measured) -> Decision {
        if (1..self.setting.ranges).contains(&view.ranges) && self.anchor.wanted < self.setting.max {
            // The count was found for more ranges: one that saturates all is too many for fewer.
            let threads = (self.anchor.wanted * view.ranges).div_ceil(self.setting.ranges).max(1);
            self.setting.ranges = view.ranges.max(1);
            self.anchor = Count::new(threads);
            self.held.rate = 0;
            return self.measure(Stage::Hold, view);
        }
        // Of many short measurements, some are far off by chance.
        let is_short = measured.variance > HELD_VARIANCE;
        if is_short && self.trial_left.saturating_sub(view.left) < self.trial_left / HELD_SHARE {
            return Decision::Continue;
        }
        self.trial_left = view.left;
        self.held.windows += 1;
        if self.held.rate == 0 {
            self.held.rate = measured.rate;
        }
        let change = Ratio {
            value: measured.rate.saturating_mul(1000) / self.held.rate.max(1),
            deviation: measured.variance.isqrt(),
        };
        // A drifting rate changes all the time: only a sudden change counts.
        let part = if self.drifts == Some(true) { 2 } else { 8 };
        self.held.rate = self.held.rate - self.held.rate / part + measured.rate / part;
        self.window = Some(Window { from_ns: view.now_ns, before: view.sampled });
        // Of many comparisons, some differ much by chance where costs vary.
        let deviations = if self.spread < VARYING { 2 } else { 8 };
        let has_changed = change.value.abs_diff(1000) > 250 + deviations * change.deviation;
        let is_due = self.held.windows >= self.held.until && self.search_at_left.is_none();
        let is_doubtful = self.is_too_generous
            && !self.is_confirmed
            && self.search_at_left.is_none()
            && self.held.windows >= self.held.until / 4;
        if !self.is_confirmed
            && !self.is_sure_enough()
            && self.held.windows >= CONFIRM_WINDOWS
            && self.search_at_left.is_none()
        {
            return self.confirm(view);
        }
        if !(is_due && has_changed || is_doubtful) {
            return Decision::Measure;
        }
        self.held.until = (self.held.until * 2).min(MAX_HOLD_WINDOWS);
        self.is_confirmed |= is_doubtful;
        // Measured anew: the rate changed some time in this window.
        self.anchor = Count::new(self.anchor.wanted);
        self.too_few = None;
        // A slower job may need fewer threads, a faster one more.
        let is_slower = change.value < 1000 || !has_changed;
        self.too_many = is_slower.then_some(self.setting.max + 1);
        self.is_refined = false;
        self.is_certain = true;
        self.is_too_generous = false;
        self.measure(Stage::First, view)
    }
}

impl Count {
    fn new(wanted: usize) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// Returns the mean of what was measured and `measured`.
    fn with(&self, measured: &Measured) -> Measured {
        self.measured.map_or(*measured, |before| before.and(measured))
    }
}

/// Returns whether the chunks that were seen are enough and make up most of the workers' time. If
/// not, expensive chunks are in progress, of which nothing is known.
fn is_representative(sum: &Sampled, view: &View, elapsed_ns: u64) -> bool {
    let all_ns = u128::from(elapsed_ns) * view.running as u128;
    sum.chunks >= view.running as u64 && u128::from(sum.ns) * 4 >= all_ns * 3
}
