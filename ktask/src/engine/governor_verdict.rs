//! What a trial says of two counts.

use super::governor_bounds::{CONCLUSIVE, DEAR_SHARE, FINAL, MAX_DRIFT_DOUBTS, STEADY, WORTHWHILE};
use super::measure::Ratio;

/// The result of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Whether the larger of the two counts is worth its threads.
    pub(super) is_worthwhile: bool,
    /// Whether another trial would hardly have another result, or cost too much.
    pub(super) is_sure: bool,
    /// Whether other jobs may rely on it.
    pub(super) is_certain: bool,
}

/// A trial of two counts.
#[derive(Debug)]
pub(super) struct Trial {
    /// The rate of the larger count, relative to the smaller one's.
    pub(super) ratio: Ratio,
    /// Whether the larger count is the candidate.
    pub(super) goes_up: bool,
    /// The ratio from which on the larger count is more likely worthwhile than not.
    pub(super) likely: u64,
    /// The ratio with half of what threads in proportion would bring.
    pub(super) half: u64,
    /// Whether costs vary.
    pub(super) varies: bool,
    /// Whether the rate drifts.
    pub(super) drifts: bool,
    /// How often trials were repeated.
    pub(super) doubts: u32,
    /// Whether the trial must have a result now.
    pub(super) has_ended: bool,
    /// Units that were handed out since it began.
    pub(super) spent: u64,
    /// Units that are left.
    pub(super) left: u64,
}

impl Trial {
    /// Returns the result, if there is one.
    #[inline(never)]
    pub(super) fn verdict(&self) -> Option<Verdict> {
        let Ratio { value, deviation } = self.ratio;
        // Drift may look like a small difference.
        let is_far =
            !self.drifts || value.abs_diff(WORTHWHILE) > 2 * STEADY || self.doubts >= MAX_DRIFT_DOUBTS;
        let clear = |is_worthwhile| Some(Verdict { is_worthwhile, is_sure: is_far, is_certain: true });
        if let Some(is_worthwhile) = self.ratio.is_above(WORTHWHILE) {
            // Of many trials, some are that sure by chance: unless it is more than that, or the gain is almost that of
            // threads in proportion, the trial is repeated.
            let is_conclusive = !self.varies
                || value.abs_diff(WORTHWHILE) > CONCLUSIVE * deviation
                || value > (2 * self.half - 1000) / 10 * 9;
            return Some(Verdict { is_worthwhile, is_sure: is_far && is_conclusive, is_certain: true });
        }
        if self.ratio.is_precise() {
            // Where costs vary, a small gain may be none. More threads for nothing cost CPU time.
            return clear(value > if self.varies { WORTHWHILE + deviation } else { WORTHWHILE });
        }
        // Fewer threads that look this slow cost more than they could save.
        let is_slow = self.varies && !self.goes_up && value > self.half + deviation / 2;
        if !self.has_ended && !is_slow {
            return None;
        }
        if !self.varies {
            // Only the number of chunks is too small for certainty, unless the rate drifts.
            let is_sure = is_far && value.abs_diff(WORTHWHILE) > FINAL * deviation;
            return Some(Verdict { is_worthwhile: value > WORTHWHILE, is_sure, is_certain: true });
        }
        // No step down unless it is likely to cost little.
        let is_worthwhile = value > self.likely || (!self.goes_up && value + deviation > self.half);
        let is_final = is_far && value.abs_diff(self.likely) > FINAL * deviation;
        let is_sure = is_final || (is_worthwhile && self.is_dear());
        Some(Verdict { is_worthwhile, is_sure, is_certain: false })
    }

    /// Returns whether it would cost too much to find out more about fewer threads: what is lost on them
    /// until the deviation is small enough.
    fn is_dear(&self) -> bool {
        let Ratio { value, deviation } = self.ratio;
        let enough = (value.abs_diff(self.likely) / FINAL).max(self.likely.saturating_sub(1000) / 2).max(1);
        let needed = u128::from(self.spent) * u128::from(deviation).pow(2) / u128::from(enough).pow(2);
        // Thousandths, and half of them for each time before.
        let loss = u128::from(value.saturating_sub(1000 + deviation / 2)) * u128::from(2 + self.doubts);
        needed * loss / 2000 > u128::from(self.left / DEAR_SHARE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A trial of fewer threads where costs vary, unsure and at its end.
    const UNSURE: Trial = Trial {
        ratio: Ratio { value: 1300, deviation: 250 },
        goes_up: false,
        likely: 1200,
        half: 1500,
        varies: true,
        drifts: false,
        doubts: 0,
        has_ended: true,
        spent: 0,
        left: 3200,
    };

    #[test]
    fn a_difference_that_is_sure_by_chance_is_tried_again() {
        for (deviation, is_sure) in [(100, false), (80, true)] {
            let trial = Trial { ratio: Ratio { value: 1370, deviation }, ..UNSURE };
            assert_eq!(trial.verdict(), Some(Verdict { is_worthwhile: true, is_sure, is_certain: true }));
        }
    }

    #[test]
    fn a_small_difference_may_be_drift() {
        for (value, is_sure) in [(1080, false), (1110, true)] {
            let ratio = Ratio { value, deviation: 10 };
            let trial = Trial { ratio, varies: false, drifts: true, ..UNSURE };
            assert_eq!(trial.verdict(), Some(Verdict { is_worthwhile: true, is_sure, is_certain: true }));
        }
    }

    /// Six times what was spent would make it sure, and a sixth of that be lost: of 3200 units, 100 are worth it.
    #[test]
    fn fewer_threads_are_not_tried_again_where_it_costs_more_than_it_may_save() {
        for (spent, is_sure) in [(80, false), (100, true)] {
            let verdict = Trial { spent, ..UNSURE }.verdict();
            assert_eq!(verdict, Some(Verdict { is_worthwhile: true, is_sure, is_certain: false }));
        }
    }
}
