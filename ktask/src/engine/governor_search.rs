//! The search for the best count: trial after trial, until no count is left that is worth one.

use super::governor_bounds::{
    CALM, CHUNKS_TO_MEASURE, CLEAR, FINE, FIRST_CHUNKS, FIRST_VARIANCE, LATE_SHARE, MAX_POSTPONEMENTS,
    POSTPONED_SHARE, STEADY, VARYING, WILD, WORTHWHILE,
};
use super::governor_ladder::{Count, Ladder};
use super::governor_verdict::{Trial, Verdict};
use super::governor_view::{Setting, View};
use super::measure::{Measured, Ratio};
use crate::cursor::Sampled;

/// What is being measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The anchor, before the first trial.
    First,
    /// The candidate of a trial.
    Candidate,
    /// The anchor again, in a trial.
    Anchor,
    /// The anchor, which is held.
    Hold,
}

/// What follows a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The measurement goes on.
    Wait,
    /// Another measurement.
    Measure(Stage),
    /// The trial has a result.
    Conclude(Verdict),
    /// The next trial, if there is one.
    Try,
    /// The anchor is held. The search has ended, or it came to nothing.
    Hold,
    /// The anchor is held, and another search begins when one in this many units has been handed out: see
    /// [`Search::postpone`].
    Postpone(u64),
}

/// A search.
pub(super) struct Search {
    /// The most threads that the job can have.
    max: usize,
    pub(super) ladder: Ladder,
    /// The count that is held if the first measurement of the search comes to nothing.
    pub(super) fallback: usize,
    /// Units that were left when the trial began; the units of the job before the first.
    pub(super) trial_left: u64,
    /// Whether the rate changes while the count does not; `None` before it was looked at.
    drifts: Option<bool>,
    /// Whether every trial so far had a sure result, with all threads that it was to have.
    is_certain: bool,
    /// The largest spread of costs that was measured: see [`Measured::spread`].
    spread: u64,
    /// How often a trial that was not sure was repeated.
    doubts: u32,
    postponements: u32,
}

impl Search {
    /// Makes the search of a job of `units` that begins with `wanted` of `max` threads.
    #[inline(always)]
    pub(super) fn new(wanted: usize, max: usize, units: u64) -> Self {
        Self {
            max,
            ladder: Ladder::new(wanted),
            fallback: max,
            trial_left: units,
            drifts: None,
            is_certain: true,
            spread: 0,
            doubts: 0,
            postponements: 0,
        }
    }

    /// Begins anew with `wanted` threads, when `left` units are left. If they cannot be measured, `fallback` threads are
    /// held.
    pub(super) fn restart(&mut self, wanted: usize, fallback: usize, left: u64) {
        self.ladder.restart(wanted, fallback < self.max);
        self.fallback = fallback;
        self.is_certain = true;
        self.trial_left = left;
    }

    /// Repeats a trial that was not sure. Trials of more threads, which may save time, and of fewer, which may save
    /// CPU time, take turns.
    #[inline(never)]
    pub(super) fn doubt(&mut self, left: u64) {
        self.ladder.doubt(self.doubts % 2 == 0, !self.drifts());
        self.doubts += 1;
        self.is_certain = true;
        self.trial_left = left;
    }

    /// Returns whether a trial is to be repeated.
    pub(super) fn has_doubt(&self, most: u32) -> bool {
        self.doubts < most && self.ladder.has_doubt()
    }

    /// Returns whether other jobs may rely on the anchor.
    pub(super) fn is_sure(&self) -> bool {
        self.is_certain && self.ladder.anchor.measured.is_some() && !self.ladder.has_doubt()
    }

    pub(super) fn drifts(&self) -> bool {
        self.drifts == Some(true)
    }

    pub(super) fn varies(&self) -> bool {
        self.spread >= VARYING
    }

    /// Returns the count that `stage` measures.
    pub(super) fn wanted(&self, stage: Stage) -> usize {
        if stage == Stage::Candidate { self.ladder.candidate.wanted } else { self.ladder.anchor.wanted }
    }

    /// Begins a measurement of `stage`, on `running` workers. Measurements of another number do not count.
    pub(super) fn begin(&mut self, stage: Stage, running: usize) {
        let ladder = &mut self.ladder;
        let count = if stage == Stage::Candidate { &mut ladder.candidate } else { &mut ladder.anchor };
        if count.ran != running {
            *count = Count { ran: running, ..Count::new(count.wanted) };
            if stage != Stage::Candidate {
                ladder.after = None;
            }
        }
    }

    /// Takes note of how much costs vary in `measured`, and makes it no more certain than that allows.
    pub(super) fn note_spread(&mut self, measured: &mut Measured) {
        self.spread = self.spread.max(measured.spread());
        measured.doubt_by(self.spread);
    }

    /// Returns the units that were handed out since the trial began.
    fn spent(&self, view: &View) -> u64 {
        self.trial_left.saturating_sub(view.left)
    }

    /// Returns whether a trial has taken `times` times its part of the job.
    pub(super) fn is_late(&self, stage: Stage, times: u64, view: &View) -> bool {
        let (anchor, candidate) = (self.ladder.anchor.wanted, self.ladder.candidate.wanted);
        let budget = match stage {
            Stage::Hold => return false,
            // A measurement of the count that is held anyway costs nothing.
            Stage::First => self.ladder.budget(true, anchor, self.fallback.max(anchor), self.trial_left),
            Stage::Candidate => self.ladder.budget(false, candidate, self.max, self.trial_left),
            Stage::Anchor => self.ladder.budget(false, candidate.max(anchor), self.max, self.trial_left),
        };
        self.spent(view) >= times * budget
    }

    /// Ends a trial that cannot be measured: its workers come and go, or their chunks are long.
    #[inline(never)]
    pub(super) fn give_up(&mut self, stage: Stage, view: &View) -> Next {
        self.is_certain = false;
        let goes_up = self.ladder.goes_up();
        match stage {
            Stage::First if self.doubts == 0 => {
                self.ladder.anchor = Count::new(self.fallback);
                if self.postponements < MAX_POSTPONEMENTS {
                    return Next::Postpone(LATE_SHARE);
                }
            }
            // More threads are the better guess, unless both were measured: only the second measurement of the anchor is
            // missing.
            Stage::Candidate | Stage::Anchor if goes_up && self.doubts == 0 => {
                let ratio = self.measured_ratio().filter(|_| stage == Stage::Anchor);
                if let Some(verdict) = ratio.and_then(|ratio| self.verdict(view, ratio, true)) {
                    return Next::Conclude(Verdict { is_sure: false, ..verdict });
                }
                self.ladder.anchor = Count { measured: None, ..self.ladder.candidate };
            }
            Stage::Candidate | Stage::Anchor if !goes_up => self.ladder.put_off(),
            _ => {}
        }
        Next::Hold
    }

    /// Ends a search that came to no result because the rate changes too fast: at its start, the costs of a
    /// job grow fastest, or expensive chunks have not been seen. Another search begins later, and
    /// meanwhile the larger count is held.
    #[inline(never)]
    pub(super) fn postpone(&mut self) {
        self.postponements += 1;
        self.ladder.anchor = Count::new(self.ladder.anchor.wanted.max(self.ladder.candidate.wanted));
    }

    /// Looks at a measurement of `stage`.
    pub(super) fn look(&mut self, stage: Stage, view: &View, measured: &Measured) -> Next {
        match stage {
            Stage::First => self.look_at_first(view, measured),
            Stage::Candidate => self.look_at_candidate(view, measured),
            Stage::Anchor => self.look_at_anchor(view, measured),
            Stage::Hold => Next::Wait,
        }
    }

    #[inline(never)]
    fn look_at_first(&mut self, view: &View, measured: &Measured) -> Next {
        let is_short = measured.least_variance() > FIRST_VARIANCE || measured.chunks() < FIRST_CHUNKS;
        if is_short && !self.is_late(Stage::First, 1, view) {
            return Next::Wait;
        }
        self.ladder.anchor.measured = Some(self.ladder.anchor.with(measured));
        Next::Try
    }

    #[inline(never)]
    fn look_at_candidate(&mut self, view: &View, measured: &Measured) -> Next {
        let measured = self.ladder.candidate.with(measured);
        let Some(anchor) = &self.ladder.anchor.measured else {
            // The anchor was measured with another number of workers.
            self.ladder.candidate.measured = Some(measured);
            return Next::Measure(Stage::Anchor);
        };
        let anchor_now = anchor.at_time_of(&measured, self.ladder.after.as_ref());
        let ratio = self.ratio(&anchor_now, &measured);
        let is_steady = self.drifts == Some(false)
            && ratio.value.abs_diff(WORTHWHILE) > 2 * STEADY
            && measured.is_soon_after(&anchor_now);
        let is_checked = is_steady || self.ladder.after.is_some() || ratio.deviation > CALM;
        // Where threads scale, time on more of them is free, and on fewer it is lost. So the anchor is
        // measured again for certainty only if it is the larger of the two.
        let is_fewer = !self.ladder.goes_up();
        let is_gain = ratio.value > self.ladder.half_of_proportion();
        let (least, anchor_least) = (measured.least_variance(), anchor_now.least_variance());
        let is_limited = !is_fewer && is_gain && least <= anchor_least / 4;
        let Some(verdict) = self.verdict(view, ratio, is_limited || self.is_late(Stage::Candidate, 1, view))
        else {
            if (is_fewer || !is_gain) && least <= anchor_least / 2 {
                self.ladder.candidate.measured = Some(measured);
                return Next::Measure(Stage::Anchor);
            }
            return Next::Wait;
        };
        self.ladder.candidate.measured = Some(measured);
        let is_clear = ratio.value >= CLEAR && measured.is_soon_after(&anchor_now);
        if !is_clear && !is_checked {
            if !self.is_late(Stage::Candidate, 3, view) {
                return Next::Measure(Stage::Anchor);
            }
            if self.postponements < MAX_POSTPONEMENTS {
                return Next::Postpone(POSTPONED_SHARE);
            }
        }
        Next::Conclude(verdict)
    }

    #[inline(never)]
    fn look_at_anchor(&mut self, view: &View, measured: &Measured) -> Next {
        let (Some(candidate), Some(before)) = (self.ladder.candidate.measured, self.ladder.anchor.measured)
        else {
            // Another number of workers than before: the trial begins anew.
            self.ladder.anchor.measured = Some(*measured);
            self.ladder.candidate.measured = None;
            return Next::Measure(Stage::Candidate);
        };
        let now = self.ladder.after.map_or(*measured, |one| one.and(measured));
        let change = Ratio::of(&now, &before);
        let changes_by_more = |least: u64| change.value.abs_diff(1000) > least + 2 * change.deviation;
        if self.drifts != Some(false) && changes_by_more(WILD) && self.postponements < MAX_POSTPONEMENTS {
            return Next::Postpone(POSTPONED_SHARE);
        }
        let drifts = changes_by_more(STEADY);
        self.drifts = Some(drifts);
        // A mean of both would have more weight, but the time of only one.
        let (anchor, after) = if drifts || change.deviation <= FINE {
            (before, Some(now))
        } else {
            (before.and(measured), None)
        };
        let anchor_now = anchor.at_time_of(&candidate, after.as_ref());
        let ratio = self.ratio(&anchor_now, &candidate);
        let verdict = self.verdict(view, ratio, self.is_late(Stage::Anchor, 1, view));
        if verdict.is_none() && anchor_now.least_variance() > candidate.least_variance() / 3 * 2 {
            return Next::Wait;
        }
        (self.ladder.anchor.measured, self.ladder.after) = (Some(anchor), after);
        verdict.map_or(Next::Measure(Stage::Candidate), Next::Conclude)
    }

    /// Returns the ratio of the rates of the larger and the smaller count, if both were measured.
    #[inline(never)]
    fn measured_ratio(&self) -> Option<Ratio> {
        let (anchor, candidate) = (self.ladder.anchor.measured?, self.ladder.candidate.measured?);
        Some(self.ratio(&anchor.at_time_of(&candidate, self.ladder.after.as_ref()), &candidate))
    }

    /// Returns the ratio of the rates of the larger and the smaller count.
    #[inline(never)]
    fn ratio(&self, anchor: &Measured, candidate: &Measured) -> Ratio {
        let (more, fewer) = if self.ladder.goes_up() { (candidate, anchor) } else { (anchor, candidate) };
        Ratio::with_spread(more, fewer, self.spread)
    }

    /// Returns what the trial says of the two counts, if that is sure or the trial `has_ended`.
    #[inline(never)]
    fn verdict(&self, view: &View, ratio: Ratio, has_ended: bool) -> Option<Verdict> {
        let trial = Trial {
            ratio,
            goes_up: self.ladder.goes_up(),
            likely: self.ladder.likely(),
            half: self.ladder.half_of_proportion(),
            varies: self.varies(),
            drifts: self.drifts(),
            doubts: self.doubts,
            has_ended,
            spent: self.spent(view),
            left: view.left,
        };
        trial.verdict()
    }

    /// Ends a trial.
    #[inline(never)]
    pub(super) fn conclude(&mut self, verdict: Verdict) {
        self.ladder.conclude(verdict);
        self.is_certain &= verdict.is_certain && self.ladder.anchor.ran == self.ladder.anchor.wanted;
    }

    /// Chooses the next candidate. Returns false if there is none.
    #[inline(never)]
    pub(super) fn next_trial(&mut self, setting: &Setting, view: &View, sum: &Sampled) -> bool {
        let chunks_left = view.left / setting.units_per_chunk(sum);
        let is_short = |next: usize| chunks_left < CHUNKS_TO_MEASURE * next as u64;
        let Some(next) = self.ladder.next_count(setting).filter(|&next| !is_short(next)) else {
            return false;
        };
        self.ladder.try_count(next, !self.drifts());
        self.trial_left = view.left;
        true
    }
}

#[cfg(test)]
mod tests;
