//! How far one CPU's counter is off another's, and what to do about it.
//!
//! The two CPUs exchange readings: own, the other's, own again. The other's was taken in between, so each exchange bounds the
//! offset, by as much as the round trip took. A CPU that loses its core meanwhile makes the bounds wider, never
//! wrong.

/// Readings of one exchange, in the order in which they were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// Own counter.
    pub before: u64,
    /// The other CPU's counter.
    pub other: u64,
    /// Own counter.
    pub after: u64,
}

/// What exchanges say of the offset: the ticks by which the other counter is ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The least that it may be.
    pub lowest: i64,
    /// The most that it may be.
    pub highest: i64,
}

impl Bounds {
    /// Of one exchange; `None` if the own counter went back in it.
    #[must_use]
    pub const fn of(exchange: Exchange) -> Option<Self> {
        let lowest = exchange.other.wrapping_sub(exchange.after) as i64;
        let highest = exchange.other.wrapping_sub(exchange.before) as i64;
        if lowest > highest { None } else { Some(Self { lowest, highest }) }
    }

    /// How long the round trip was.
    #[must_use]
    pub const fn width(self) -> u64 {
        self.highest.abs_diff(self.lowest)
    }

    /// The better of what two exchanges say: the narrower.
    #[must_use]
    pub const fn narrower(self, other: Self) -> Self {
        if other.width() < self.width() { other } else { self }
    }

    /// The offset that the round trip does not explain: 0 if the counters may be equal.
    #[must_use]
    pub const fn certain(self) -> i64 {
        if self.lowest > 0 {
            self.lowest
        } else if self.highest < 0 {
            self.highest
        } else {
            0
        }
    }

    /// The likeliest offset.
    #[must_use]
    pub const fn middle(self) -> i64 {
        self.lowest.wrapping_add((self.width() / 2) as i64)
    }
}

/// What a CPU does next about its offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing: the counters may be equal.
    Settled,
    /// Sets its adjustment to this value, and measures again.
    Adjust(i64),
    /// Nothing more: the counters are this far apart, and stay so.
    Apart(i64),
}

/// Adjustments that are tried. The first may be a copy of the other CPU's, the next one hits unless the round trips
/// are wide.
pub const MOST_ADJUSTMENTS: u32 = 4;

/// Decides after `adjustments` of them. `own` and `other` are the two CPUs' adjustments, `None` where a CPU has none.
///
/// Firmware that forgot a CPU, or was interrupted by one, leaves unequal adjustments: the other's value is tried first, and is exact.
/// Equal counters with unequal adjustments stay as they are: the CPUs came out of reset at different times.
#[must_use]
pub const fn next_step(bounds: Bounds, adjustments: u32, own: Option<i64>, other: Option<i64>) -> Step {
    let certain = bounds.certain();
    if certain == 0 {
        return Step::Settled;
    }
    match (own, other) {
        (Some(own), Some(other)) if adjustments == 0 && own != other => Step::Adjust(other),
        (Some(own), _) if adjustments < MOST_ADJUSTMENTS => Step::Adjust(own.wrapping_add(bounds.middle())),
        _ => Step::Apart(certain),
    }
}
