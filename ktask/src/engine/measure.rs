//! What a measurement says of a thread count, and how sure it is.
//!
//! Kernels have no floating point here: variances are in millionths of the squared rate, and
//! deviations in thousandths of the rate.

use crate::cursor::Sampled;
use crate::log::{LOG_BITS, exp2_thousandths, log2};

/// Least variance of a measurement, times the square of its chunks. Rare costs may not have been seen
/// yet, however equal the others are.
const LEAST_VARIANCE: u64 = 500_000;

/// Variance of a measurement that says nothing.
const MOST_VARIANCE: u64 = 1_000_000;

/// Deviation of a ratio, in thousandths, below which more samples tell no more.
const PRECISE: u64 = 30;

/// Standard deviations that make a difference sure.
const SURE: u64 = 2;

/// Chunks per worker that tell a typical cost. With fewer, most are cheap ones: those that end first.
const LEAST_WHOLE: u128 = 4;

/// Above all logarithms of costs.
const LARGEST_LOG: u64 = 130 << LOG_BITS;

/// The rate of one thread count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// Sampled units per second of all workers.
    pub(super) rate: u64,
    /// Variance of the rate, in millionths of its square.
    pub(super) variance: u64,
    /// Logarithm of the typical rate, that of a chunk of the geometric mean of costs. Only its difference
    /// to another one tells something.
    log: u64,
    /// Variance of the typical rate, in millionths of its square.
    log_variance: u64,
    /// Middle of the time of measurement.
    at_ns: u64,
    /// Length of the time of measurement.
    pub(super) took_ns: u64,
    /// Chunks that were measured.
    chunks: u64,
}

impl Measured {
    /// Returns the rate of `workers` workers that ran the chunks of `sum` from `from_ns` to `to_ns`.
    ///
    /// The rate of a worker is the mean rate of its chunks. So constant rates are exact, however
    /// few chunks were seen. But chunks in progress are missing in `sum`, and where costs vary these
    /// are the expensive ones. So the workers' other time counts as worked in part, the more of it
    /// the more the costs vary. With exponential costs, all of it gives the likeliest rate.
    ///
    /// The variance is that of a mean of independent costs per unit, weighted by units.
    #[inline(never)]
    pub(super) fn of(
        sum: &Sampled,
        is_whole: bool,
        centre: u64,
        workers: usize,
        from_ns: u64,
        to_ns: u64,
    ) -> Self {
        let (units, ns) = (u128::from(sum.units.max(1)), u128::from(sum.ns.max(1)));
        let chunks = u128::from(sum.chunks.max(1));
        // Mean of the squares over the square of the mean, less 1: in millionths.
        let square = (ns >> Sampled::SQUARE_SHIFT).pow(2).max(1);
        let mean_of_squares = u128::from(sum.squares) * units / u128::from(Sampled::SQUARE_UNITS);
        let spread = (mean_of_squares.saturating_mul(1_000_000) / square).saturating_sub(1_000_000);
        let variance = if chunks > 1 { spread / (chunks - 1) } else { u128::from(MOST_VARIANCE) };
        let least = u128::from(LEAST_VARIANCE) / (chunks * chunks);
        // Of chunks of equal costs, `spread` is the squared coefficient of variation.
        let unseen_ns = (u128::from(to_ns - from_ns) * workers as u128).saturating_sub(ns);
        let seen = if is_whole { spread.min(1_000_000) } else { 1_000_000 };
        let worked_ns = ns + unseen_ns * seen / 1_000_000;
        let rate = units * workers as u128 * 1_000_000_000 / worked_ns;
        let (log, log_variance) = typical(sum, workers, centre);
        Self {
            log,
            log_variance: log_variance
                .max(u64::try_from(least).unwrap_or(MOST_VARIANCE))
                .clamp(1, MOST_VARIANCE),
            rate: u64::try_from(rate).unwrap_or(u64::MAX),
            variance: u64::try_from(variance.max(least)).unwrap_or(MOST_VARIANCE).clamp(1, MOST_VARIANCE),
            at_ns: from_ns + (to_ns - from_ns) / 2,
            took_ns: to_ns - from_ns,
            chunks: sum.chunks,
        }
    }

    /// Returns how much the costs of chunks vary: the square of their coefficient of variation, in
    /// millionths.
    pub(super) fn spread(&self) -> u64 {
        self.variance.saturating_mul(self.chunks)
    }

    /// Returns the variance of the more certain of the two rates.
    pub(super) fn least_variance(&self) -> u64 {
        self.variance.min(self.log_variance)
    }

    /// Returns this measurement, not more certain than its chunks allow if costs vary by `spread` in the
    /// job. They may have varied less here by chance.
    pub(super) fn with_spread(mut self, spread: u64) -> Self {
        self.doubt_by(spread);
        self
    }

    /// Does that in place.
    pub(super) fn doubt_by(&mut self, spread: u64) {
        let least = spread / 8 / self.chunks.max(1);
        self.variance = self.variance.max(least.min(MOST_VARIANCE));
    }

    /// Returns the mean of this and `other`, measurements of the same count, weighted by certainty.
    #[inline(never)]
    pub(super) fn and(&self, other: &Self) -> Self {
        let (own, its) = (other.variance, self.variance);
        let mean = |a: u64, b: u64| {
            let sum = u128::from(a) * u128::from(own) + u128::from(b) * u128::from(its);
            (sum / u128::from(own + its)) as u64
        };
        let typical = |a: u64, b: u64| {
            (a * other.log_variance + b * self.log_variance) / (self.log_variance + other.log_variance)
        };
        Self {
            rate: mean(self.rate, other.rate),
            log: typical(self.log, other.log),
            log_variance: (self.log_variance * other.log_variance / (self.log_variance + other.log_variance))
                .max(1),
            variance: (own * its / (own + its)).max(1),
            at_ns: mean(self.at_ns, other.at_ns),
            took_ns: self.took_ns.max(other.took_ns),
            chunks: self.chunks.saturating_add(other.chunks),
        }
    }

    /// Returns this, or if it was measured before and after `other`, the rate at the time of
    /// `other` on the line between the two.
    #[inline(never)]
    pub(super) fn at_time_of(&self, other: &Self, after: Option<&Self>) -> Self {
        let Some(after) = after else { return *self };
        let (whole, part) = (after.at_ns.saturating_sub(self.at_ns), other.at_ns.saturating_sub(self.at_ns));
        let (whole, part) = (i128::from(whole.max(1)), i128::from(part.min(whole)));
        let rate = i128::from(self.rate) + (i128::from(after.rate) - i128::from(self.rate)) * part / whole;
        let log = i128::from(self.log) + (i128::from(after.log) - i128::from(self.log)) * part / whole;
        Self {
            rate: rate as u64,
            variance: (self.variance + after.variance) / 2,
            log: log as u64,
            log_variance: (self.log_variance + after.log_variance) / 2,
            at_ns: other.at_ns,
            took_ns: self.took_ns,
            chunks: self.chunks.min(after.chunks),
        }
    }
}

/// Returns whether enough costs in `sum` were near the centre to tell the typical one.
pub(super) fn is_centred(sum: &Sampled) -> bool {
    sum.near * 5 >= sum.whole * 2
}

/// Returns the logarithm of the typical cost in `sum`, by one step of Huber's estimator from `centre`.
///
/// Far costs only count as far. So a rare cost, however high, changes little, and all costs move by the
/// same distance when memory is used up (Huber, 1964).
pub(super) fn typical_cost(sum: &Sampled, centre: u64) -> u64 {
    if centre == 0 || !is_centred(sum) {
        return sum.logs / sum.whole.max(1);
    }
    let far = i128::from(sum.logs) - i128::from(sum.whole) * i128::from(centre);
    (i128::from(centre) + far / i128::from(sum.near)).max(0) as u64
}

/// Returns the logarithm of the rate of `workers` workers at the geometric mean of the costs in `sum`, and
/// its variance in millionths.
fn typical(sum: &Sampled, workers: usize, centre: u64) -> (u64, u64) {
    let whole = u128::from(sum.whole);
    if whole < LEAST_WHOLE * workers as u128 || !is_centred(sum) {
        return (0, MOST_VARIANCE);
    }
    let near = u128::from(sum.near.max(1));
    let logs = u128::from(sum.logs);
    let square = (u128::from(sum.log_squares) * whole).saturating_sub(logs * logs) / (near * near);
    // A change of the binary logarithm is one of the natural logarithm times the logarithm of 2, whose
    // square is 0.480.
    let variance = ((square * 480_453) >> (2 * LOG_BITS)) / (whole - 1).max(1);
    let cost = typical_cost(sum, centre);
    let log = (LARGEST_LOG + log2(workers as u64)).saturating_sub(cost);
    (log, u64::try_from(variance).unwrap_or(MOST_VARIANCE))
}

/// The ratio of two rates, in thousandths.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ratio {
    pub(super) value: u64,
    /// Standard deviation.
    pub(super) deviation: u64,
}

impl Ratio {
    #[inline(never)]
    pub(super) fn of(more: &Measured, fewer: &Measured) -> Self {
        // The more certain of the two comparisons.
        let (variance, log_variance) =
            (more.variance + fewer.variance, more.log_variance + fewer.log_variance);
        let value = if log_variance < variance {
            exp2_thousandths(more.log as i64 - fewer.log as i64)
        } else {
            let value = u128::from(more.rate) * 1000 / u128::from(fewer.rate.max(1));
            value.min(1_000_000) as u64
        };
        // The root of millionths is thousandths.
        let deviation = variance.min(log_variance).isqrt();
        Self { value, deviation: deviation * value / 1000 }
    }

    /// Returns whether the ratio is above `bound`, if that is sure.
    pub(super) fn is_above(self, bound: u64) -> Option<bool> {
        if self.deviation <= PRECISE || self.value.abs_diff(bound) > SURE * self.deviation {
            Some(self.value > bound)
        } else {
            None
        }
    }
}
