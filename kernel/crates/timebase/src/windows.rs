//! A counter's rate, measured against a reference of known rate in several windows.
//!
//! A window may be wrong: the CPU is preempted or the machine stopped in it, or the reference wraps, jumps or stands still.
//! The result is therefore the rate on which most windows agree.

use crate::POSSIBLE_HZ;

/// Most windows of one measurement.
pub const MOST_WINDOWS: usize = 16;
/// Windows that have to agree.
const AGREEING: usize = 3;
/// A window counts if its error is less than one part in this many.
const USABLE_SHARPNESS: u64 = 8;
/// A measurement is sharp if its error is at most one part in this many.
const ENOUGH_SHARPNESS: u64 = 1000;

/// Progress of two counters in one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Ticks of the measured counter.
    pub ticks: u64,
    /// Counts of the reference.
    pub counts: u64,
    /// Largest error of `ticks`: the counters are not read at the same time.
    pub blur: u64,
}

impl Window {
    fn is_usable(&self) -> bool {
        // Each end may be wrong by one count.
        self.counts > USABLE_SHARPNESS && self.blur < self.ticks / USABLE_SHARPNESS
    }

    /// Returns the lowest and the highest rate that fit the window, if it is right.
    fn range_hz(&self, reference_hz: u64) -> (u128, u128) {
        let hz = |ticks: u64, counts: u64| u128::from(ticks) * u128::from(reference_hz) / u128::from(counts);
        let lowest = hz(self.ticks - self.blur, self.counts.saturating_add(1));
        (lowest, hz(self.ticks.saturating_add(self.blur), self.counts - 1))
    }
}

/// Result of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Ticks a second.
    pub hz: u64,
    /// Whether the error is small enough, so that no more windows are needed.
    pub is_sharp: bool,
}

/// Returns the rate on which most of `windows` agree. Returns `None` unless at least three and more than half of the usable
/// windows agree, and if the rate is implausible.
#[must_use]
pub fn judge(windows: &[Window], reference_hz: u64) -> Option<Measured> {
    let usable = || windows.iter().filter(|window| window.is_usable());
    let agreeing = |hz: u128| {
        usable().filter(move |window| {
            let (lowest, highest) = window.range_hz(reference_hz);
            (lowest..=highest).contains(&hz)
        })
    };
    // The largest overlap of ranges includes the low end of one of them.
    let ends = usable().map(|window| window.range_hz(reference_hz).0);
    let best = ends.max_by_key(|hz| agreeing(*hz).count())?;
    let count = agreeing(best).count();
    if count < AGREEING || count * 2 <= usable().count() {
        return None;
    }
    let (mut ticks, mut counts, mut blur) = (0_u128, 0_u128, 0_u128);
    for window in agreeing(best) {
        ticks += u128::from(window.ticks);
        counts += u128::from(window.counts);
        blur = blur.max(window.blur.into());
    }
    let hz = u64::try_from(ticks * u128::from(reference_hz) / counts).ok()?;
    let is_sharp = blur * u128::from(ENOUGH_SHARPNESS) <= ticks;
    POSSIBLE_HZ.contains(&hz).then_some(Measured { hz, is_sharp })
}
