//! The offset of one CPU's counter from another's, and its correction.
//!
//! The two CPUs exchange readings: own, the other's, own again. The other's was taken in between, so each exchange bounds the
//! offset to the width of the round trip. A vCPU that loses its core meanwhile makes the bounds wider, never wrong.

/// Readings of one exchange, in the order in which they were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// Own counter before the other's reading.
    pub before: u64,
    /// The other CPU's counter.
    pub other: u64,
    /// Own counter after it.
    pub after: u64,
}

/// Bounds of the offset, the ticks by which the other counter is ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Lower bound.
    pub lowest: i64,
    /// Upper bound.
    pub highest: i64,
}

impl Bounds {
    /// Returns the bounds by one exchange; `None` if the own counter went backwards in it.
    #[must_use]
    pub const fn of(exchange: Exchange) -> Option<Self> {
        let lowest = exchange.other.wrapping_sub(exchange.after) as i64;
        let highest = exchange.other.wrapping_sub(exchange.before) as i64;
        if lowest > highest { None } else { Some(Self { lowest, highest }) }
    }

    /// Returns the duration of the round trip in ticks.
    #[must_use]
    pub const fn width(self) -> u64 {
        self.highest.abs_diff(self.lowest)
    }

    /// Returns the narrower of two bounds.
    #[must_use]
    pub const fn narrower(self, other: Self) -> Self {
        if other.width() < self.width() { other } else { self }
    }

    /// Returns the offset that the round trip does not explain; 0 if the counters may be equal.
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

    /// Returns the likeliest offset.
    #[must_use]
    pub const fn middle(self) -> i64 {
        self.lowest.wrapping_add((self.width() / 2) as i64)
    }
}

/// Next step of a CPU in the correction of its offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// End: the counters may be equal.
    Done,
    /// Set the own adjustment to this value, and measure again.
    Adjust(i64),
    /// End: the counters stay this many ticks apart.
    Apart(i64),
}

/// Most adjustments that are tried. The first may be a copy of the other CPU's; the next is right unless round trips are
/// wide.
pub const MOST_ADJUSTMENTS: u32 = 4;

/// Decides the next step after `adjustments` attempts. `own` and `other` are the two CPUs' adjustments, `None` for a CPU
/// without that register.
///
/// Firmware that missed a CPU, or was interrupted by one, leaves unequal adjustments. The other's value is then exact, and
/// tried first. Equal counters with unequal adjustments stay as they are: the CPUs left reset at different times.
#[must_use]
pub const fn next_step(bounds: Bounds, adjustments: u32, own: Option<i64>, other: Option<i64>) -> Step {
    let certain = bounds.certain();
    if certain == 0 {
        return Step::Done;
    }
    match (own, other) {
        (Some(own), Some(other)) if adjustments == 0 && own != other => Step::Adjust(other),
        (Some(own), _) if adjustments < MOST_ADJUSTMENTS => Step::Adjust(own.wrapping_add(bounds.middle())),
        _ => Step::Apart(certain),
    }
}
