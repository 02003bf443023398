//! The rate of a counter.

/// Rates of a counter that are taken for possible. Firmware and hypervisors may say anything.
pub const POSSIBLE_HZ: core::ops::RangeInclusive<u64> = 1_000_000..=100_000_000_000;

/// How fast a counter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds per tick, times 2^32; not 0.
    factor: u64,
}

impl Rate {
    /// Of a counter that counts `hz` ticks a second. One that is faster than 2^32 ticks a nanosecond is taken for one of that
    /// rate.
    #[must_use]
    pub const fn from_hz(hz: u64) -> Self {
        let hz = if hz == 0 { 1 } else { hz };
        let factor = (1_000_000_000_u128 << 32) / hz as u128;
        Self { factor: if factor == 0 { 1 } else { factor as u64 } }
    }

    /// What was kept by [`factor`](Self::factor). Nothing else: 0 is no rate, and dividing by it a panic.
    #[inline]
    #[must_use]
    pub const fn from_factor(factor: u64) -> Self {
        Self { factor }
    }

    /// The rate as a number that can be kept in an atomic variable.
    #[must_use]
    pub const fn factor(self) -> u64 {
        self.factor
    }

    /// Nanoseconds that `ticks` take, rounded down; those that do not fit are cut off at the top.
    #[inline]
    #[must_use]
    pub const fn to_ns(self, ticks: u64) -> u64 {
        ((ticks as u128 * self.factor as u128) >> 32) as u64
    }

    /// The first tick at which [`to_ns`](Self::to_ns) says `ns`, or more where it says no such number; `u64::MAX`, which is as
    /// good as never, when there is none.
    #[inline]
    #[must_use]
    pub const fn first_tick_at(self, ns: u64) -> u64 {
        let ticks = ((ns as u128) << 32).div_ceil(self.factor as u128);
        if ticks > u64::MAX as u128 { u64::MAX } else { ticks as u64 }
    }
}
