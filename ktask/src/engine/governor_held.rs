//! A count that is held, and how its rate changes.

use super::governor_bounds::{DOUBT_SHARE, HOLD_WINDOWS, MAX_HOLD_WINDOWS};
use super::measure::Measured;

/// What is known of a count that is held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// Sliding mean of the rate; 0 if unknown.
    rate: u64,
    windows: u32,
    /// Windows after which the governor may search again.
    until: u32,
    /// Units that were left when it was held first.
    left: u64,
}

impl Held {
    /// Begins with a count of unknown rate, when `left` units are left.
    pub(super) fn new(left: u64) -> Self {
        Self { rate: 0, windows: 0, until: HOLD_WINDOWS, left }
    }

    /// Begins to hold a count that runs `rate` units per second (0 if that is unknown), when `left` units are left.
    pub(super) fn begin(&mut self, rate: u64, left: u64) {
        *self = Self { rate, windows: 0, left, ..*self };
    }

    /// Forgets the rate: that of another count follows.
    pub(super) fn forget(&mut self) {
        self.rate = 0;
    }

    /// Returns whether `threads` of at most `max` were held long enough for another trial. With fewer threads, the same
    /// units take longer.
    pub(super) fn is_due(&self, threads: usize, max: usize, left: u64) -> bool {
        let share = u128::from(self.left) * threads as u128 / (u128::from(DOUBT_SHARE) * max.max(1) as u128);
        u128::from(self.left.saturating_sub(left)) > share
    }

    /// Notes a measurement. If it is time for a search and the rate has changed by more than a quarter, returns
    /// whether it is lower. `drifts` and `varies` tell whether the rate drifts, and costs vary.
    #[inline(never)]
    pub(super) fn note(&mut self, measured: &Measured, drifts: bool, varies: bool) -> Option<bool> {
        self.windows += 1;
        if self.rate == 0 {
            self.rate = measured.rate;
        }
        let change = measured.rate.saturating_mul(1000) / self.rate.max(1);
        // A drifting rate changes all the time: only a sudden change counts.
        let part = if drifts { 2 } else { 8 };
        self.rate = self.rate - self.rate / part + measured.rate / part;
        // Of many comparisons, some differ much by chance where costs vary.
        let deviations = if varies { 8 } else { 2 };
        let has_changed = change.abs_diff(1000) > 250 + deviations * measured.variance().isqrt();
        (self.windows >= self.until && has_changed).then_some(change < 1000)
    }

    /// Makes the next such search wait longer.
    pub(super) fn search_again(&mut self) {
        self.until = (self.until * 2).min(MAX_HOLD_WINDOWS);
    }
}
