//! A clock that starts at 0 and never goes back.

use crate::Rate;

/// Nanoseconds since an origin, by a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Counter value at which the clock says 0. Signed: the origin may lie before the counter's own zero.
    origin: u64,
    rate: Rate,
}

impl Clock {
    /// A clock that says 0 at counter value `origin` and before.
    #[inline]
    #[must_use]
    pub const fn new(origin: u64, rate: Rate) -> Self {
        Self { origin, rate }
    }

    /// Counter value at which the clock says 0.
    #[must_use]
    pub const fn origin(self) -> u64 {
        self.origin
    }

    /// Nanoseconds since the origin at counter value `ticks`; 0 before it. A counter may read less than the origin on a CPU
    /// whose counter lags behind.
    #[inline]
    #[must_use]
    pub const fn ns_at(self, ticks: u64) -> u64 {
        let elapsed = ticks.wrapping_sub(self.origin);
        self.rate.to_ns(if (elapsed as i64) < 0 { 0 } else { elapsed })
    }

    /// The first counter value at which [`ns_at`](Self::ns_at) says `ns`; `u64::MAX` for never.
    #[inline]
    #[must_use]
    pub const fn tick_at(self, ns: u64) -> u64 {
        let (tick, has_wrapped) = self.origin.overflowing_add(self.rate.first_tick_at(ns));
        match ((self.origin as i64) < 0, has_wrapped) {
            (false, true) => u64::MAX,
            // The moment lies before the counter's zero.
            (true, false) => 0,
            _ => tick,
        }
    }

    /// The clock from counter value `ticks` on, when its rate turns out to be `rate`. The origin stays unless the clock
    /// would go back: it has been too fast then, and goes on from where it is.
    #[must_use]
    pub const fn with_rate(self, rate: Rate, ticks: u64) -> Self {
        let corrected = Self { rate, ..self };
        let told_ns = self.ns_at(ticks);
        if corrected.ns_at(ticks) >= told_ns {
            return corrected;
        }
        Self { origin: ticks.wrapping_sub(rate.first_tick_at(told_ns)), rate }
    }
}
