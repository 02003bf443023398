//! The rate of a counter.

/// Plausible rates of a counter. Firmware and hypervisors may announce any number.
pub const POSSIBLE_HZ: core::ops::RangeInclusive<u64> = 1_000_000..=100_000_000_000;

/// Rate of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds per tick, times 2^32; not 0.
    factor: u64,
}

impl Rate {
    /// Returns the rate of `hz` ticks a second, at most 2^32 ticks a nanosecond.
    #[must_use]
    pub const fn from_hz(hz: u64) -> Self {
        let hz = if hz == 0 { 1 } else { hz };
        let factor = (1_000_000_000_u128 << 32) / hz as u128;
        Self { factor: if factor == 0 { 1 } else { factor as u64 } }
    }

    /// Returns the rate whose [`factor`](Self::factor) is `factor`. No other number is allowed: 0 would lead to a division by
    /// zero.
    #[inline]
    #[must_use]
    pub const fn from_factor(factor: u64) -> Self {
        Self { factor }
    }

    /// Returns the rate as a number, for an atomic variable.
    #[must_use]
    pub const fn factor(self) -> u64 {
        self.factor
    }

    /// Returns the duration of `ticks` in nanoseconds, rounded down, modulo 2^64.
    #[inline]
    #[must_use]
    pub const fn to_ns(self, ticks: u64) -> u64 {
        ((ticks as u128 * self.factor as u128) >> 32) as u64
    }

    /// Returns the first tick at which [`to_ns`](Self::to_ns) is `ns` or more; `u64::MAX`, in effect never, if there is none.
    #[inline]
    #[must_use]
    pub const fn first_tick_at(self, ns: u64) -> u64 {
        let ticks = ((ns as u128) << 32).div_ceil(self.factor as u128);
        if ticks > u64::MAX as u128 { u64::MAX } else { ticks as u64 }
    }
}
