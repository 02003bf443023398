//! A counter's rate, measured against a reference of known rate in several windows.
//!
//! A window lies: the CPU may be lost or the machine stopped in it, and the reference may wrap, jump or stand still. So the
//! rate is that on which most windows agree.

use crate::POSSIBLE_HZ;

/// Most windows of one measurement.
pub const MOST_WINDOWS: usize = 16;
/// Windows that have to agree.
const AGREEING: usize = 3;
/// A window says nothing that is blurred by more than one part in this many.
const LEAST_SHARPNESS: u64 = 8;
/// Windows are enough when their ends blur the whole by less than one part in this many.
const ENOUGH_SHARPNESS: u64 = 1000;

/// What two counters did meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Ticks of the counter that is measured.
    pub ticks: u64,
    /// Counts of the reference.
    pub counts: u64,
    /// Ticks by which `ticks` may be wrong: the counters are not read at once.
    pub blur: u64,
}

impl Window {
    fn says_something(&self) -> bool {
        // Of two counts the rate lies between that of one and that of three.
        self.counts > LEAST_SHARPNESS && self.blur < self.ticks / LEAST_SHARPNESS
    }

    /// Rates between which the counter's must lie, if nothing went wrong.
    fn range_hz(&self, reference_hz: u64) -> (u128, u128) {
        let hz = |ticks: u64, counts: u64| u128::from(ticks) * u128::from(reference_hz) / u128::from(counts);
        let lowest = hz(self.ticks - self.blur, self.counts.saturating_add(1));
        (lowest, hz(self.ticks.saturating_add(self.blur), self.counts - 1))
    }
}

/// What windows say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Ticks a second.
    pub hz: u64,
    /// More windows would not say much more.
    pub is_sharp: bool,
}

/// The rate on which most of `windows` agree; `None` while fewer than three and less than half of them do, or when the
/// rate is impossible.
#[must_use]
pub fn judge(windows: &[Window], reference_hz: u64) -> Option<Measured> {
    let telling = || windows.iter().filter(|window| window.says_something());
    let agreeing = |hz: u128| {
        telling().filter(move |window| {
            let (lowest, highest) = window.range_hz(reference_hz);
            (lowest..=highest).contains(&hz)
        })
    };
    // Where ranges overlap, they do at the low end of one of them.
    let ends = telling().map(|window| window.range_hz(reference_hz).0);
    let best = ends.max_by_key(|hz| agreeing(*hz).count())?;
    let count = agreeing(best).count();
    if count < AGREEING || count * 2 <= telling().count() {
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
