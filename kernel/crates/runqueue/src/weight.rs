//! Nice levels and weights: how much of a CPU a thread gets beside others.

use core::fmt;

/// A nice level: a thread's claim on CPU time, from -20 (most) to 19 (least).
///
/// One step is about 10 % of a CPU between two threads that compete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nice(i8);

/// Weights by nice level, from -20 on: the table that Linux made the convention, each step a factor of 1.25 rounded.
const WEIGHTS: [u32; 40] = [
    88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904, 3906, 3121,
    2501, 1991, 1586, 1277, 1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87, 70, 56, 45, 36, 29,
    23, 18, 15,
];

impl Nice {
    /// The level of the largest weight.
    pub const MIN: Self = Self(-20);
    /// The level of the smallest weight.
    pub const MAX: Self = Self(19);
    /// The level of threads for which none was set.
    pub const DEFAULT: Self = Self(0);

    /// Makes a level of a number; `None` outside -20 to 19.
    #[must_use]
    pub const fn new(level: i8) -> Option<Self> {
        if level >= -20 && level <= 19 { Some(Self(level)) } else { None }
    }

    /// Returns the level whose weight is `weight`; `None` when there is none.
    #[must_use]
    pub fn of_weight(weight: Weight) -> Option<Self> {
        let index = WEIGHTS.iter().position(|level| *level == weight.get())?;
        Self::new(index as i8 - 20)
    }

    /// Returns the level as a number.
    #[inline]
    #[must_use]
    pub const fn get(self) -> i8 {
        self.0
    }

    /// Returns the weight of the level.
    #[inline]
    #[must_use]
    pub const fn weight(self) -> Weight {
        Weight(WEIGHTS[(self.0 + 20) as usize])
    }
}

impl fmt::Display for Nice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A weight: CPU time is shared in proportion to it. Never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(u32);

impl Weight {
    /// The weight of [`Nice::DEFAULT`], for which virtual time is real time.
    pub const UNIT: Self = Nice::DEFAULT.weight();
    /// The weight of threads of the idle class, among themselves.
    pub const IDLE: Self = Self(3);
    /// The largest weight of a thread, with all donations.
    pub const MOST: Self = Self(1 << 24);

    /// Returns a weight of `raw`, clamped to between 1 and [`MOST`](Self::MOST).
    #[inline]
    #[must_use]
    pub const fn clamped(raw: u32) -> Self {
        if raw == 0 {
            Self(1)
        } else if raw > Self::MOST.0 {
            Self::MOST
        } else {
            Self(raw)
        }
    }

    /// Returns the number.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns the virtual time that `real_ns` of running counts for: less for larger weights.
    #[inline]
    #[must_use]
    pub const fn virtual_ns(self, real_ns: u64) -> u64 {
        if self.0 == Self::UNIT.0 {
            return real_ns;
        }
        // Saturates after 208 days without a switch.
        real_ns.saturating_mul(Self::UNIT.0 as u64) / self.0 as u64
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::UNIT
    }
}
