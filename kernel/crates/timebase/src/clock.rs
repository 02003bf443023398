//! A clock that starts at 0 and never goes backwards.

use crate::Rate;

/// Nanoseconds since an origin, by a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Counter value at which the clock is 0. As signed number: the origin may lie before the counter's own zero.
    origin: u64,
    rate: Rate,
}

impl Clock {
    /// Returns a clock that is 0 at counter value `origin` and before.
    #[inline]
    #[must_use]
    pub const fn new(origin: u64, rate: Rate) -> Self {
        Self { origin, rate }
    }

    /// Returns the counter value at which the clock is 0.
    #[must_use]
    pub const fn origin(self) -> u64 {
        self.origin
    }

    /// Returns the nanoseconds from the origin to counter value `ticks`; 0 before the origin, which a CPU may read whose counter
    /// lags behind.
    #[inline]
    #[must_use]
    pub const fn ns_at(self, ticks: u64) -> u64 {
        let elapsed = ticks.wrapping_sub(self.origin);
        self.rate.to_ns(if (elapsed as i64) < 0 { 0 } else { elapsed })
    }

    /// Returns the first counter value at which [`ns_at`](Self::ns_at) is `ns`; `u64::MAX` for never.
    #[inline]
    #[must_use]
    pub const fn tick_at(self, ns: u64) -> u64 {
        let (tick, has_wrapped) = self.origin.overflowing_add(self.rate.first_tick_at(ns));
        match ((self.origin as i64) < 0, has_wrapped) {
            (false, true) => u64::MAX,
            // The tick lies before the counter's zero.
            (true, false) => 0,
            _ => tick,
        }
    }

    /// Returns the clock corrected to `rate` at counter value `ticks`. The origin stays unless the clock would go backwards. If
    /// it was too fast, it continues from its present value.
    #[must_use]
    pub const fn with_rate(self, rate: Rate, ticks: u64) -> Self {
        let corrected = Self { rate, ..self };
        let shown_ns = self.ns_at(ticks);
        if corrected.ns_at(ticks) >= shown_ns {
            return corrected;
        }
        Self { origin: ticks.wrapping_sub(rate.first_tick_at(shown_ns)), rate }
    }
}
