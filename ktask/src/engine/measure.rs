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
const SURE: u64 = 3;

/// Chunks per worker that tell a typical cost. With fewer, most are cheap ones: those that end first.
const LEAST_WHOLE: u128 = 4;

/// Part of the time of chunks in progress by which they are likely to change a rate: one in this many.
const BIAS_SHARE: u128 = 4;

/// Above all logarithms of costs.
const LARGEST_LOG: u64 = 130 << LOG_BITS;

/// The rate of one thread count. Small, because copies of it are on the stack of a job's caller.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    /// Sampled units per second of all workers.
    pub(super) rate: u64,
    /// Middle of the time of measurement.
    at_ns: u64,
    /// Length of the time of measurement.
    pub(super) took_ns: u64,
    /// Variance of the rate, in millionths of its square.
    variance: u32,
    /// Logarithm of the typical rate, that of a chunk of the geometric mean of costs. Only its difference
    /// to another one tells something.
    log: u32,
    /// Variance of the typical rate, in millionths of its square.
    log_variance: u32,
    /// Chunks that were measured.
    chunks: u32,
    /// Likely error of the rates by chunks in progress, in thousandths.
    bias: u32,
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
        let all_ns = u128::from(to_ns - from_ns) * workers as u128;
        let unseen_ns = all_ns.saturating_sub(ns);
        let seen = if is_whole { spread.min(1_000_000) } else { 1_000_000 };
        let worked_ns = ns + unseen_ns * seen / 1_000_000;
        let rate = units * workers as u128 * 1_000_000_000 / worked_ns;
        let (log, log_variance) = typical(sum, workers, centre);
        let within = |variance: u128| small(variance.max(least).clamp(1, u128::from(MOST_VARIANCE)));
        Self {
            rate: u64::try_from(rate).unwrap_or(u64::MAX),
            at_ns: from_ns + (to_ns - from_ns) / 2,
            took_ns: to_ns - from_ns,
            variance: within(variance),
            log: small(log),
            log_variance: within(u128::from(log_variance)),
            chunks: small(sum.chunks),
            bias: small(unseen_ns * spread.min(1_000_000) / 1000 / all_ns.max(1) / BIAS_SHARE),
        }
    }

    /// Returns how much the costs of chunks vary: the square of their coefficient of variation, in
    /// millionths.
    pub(super) fn spread(&self) -> u64 {
        u64::from(self.variance) * u64::from(self.chunks)
    }

    /// Returns the variance of the rate, in millionths of its square.
    pub(super) fn variance(&self) -> u64 {
        u64::from(self.variance)
    }

    /// Returns the variance of the more certain of the two rates.
    pub(super) fn least_variance(&self) -> u64 {
        u64::from(self.variance.min(self.log_variance))
    }

    /// Returns the number of chunks that were measured.
    pub(super) fn chunks(&self) -> u64 {
        u64::from(self.chunks)
    }

    /// Returns whether the typical rate is known.
    fn knows_log(&self) -> bool {
        u64::from(self.log_variance) < MOST_VARIANCE
    }

    /// Returns whether this was measured so soon after `other` that the rate has hardly drifted.
    pub(super) fn is_soon_after(&self, other: &Self) -> bool {
        self.at_ns.saturating_sub(other.at_ns) <= 2 * (self.took_ns + other.took_ns)
    }

    /// Makes this measurement no more certain than its chunks allow if costs vary by `spread` in the job. They
    /// may have varied less here by chance.
    pub(super) fn doubt_by(&mut self, spread: u64) {
        self.variance = small(self.variance_by(spread));
    }

    /// Returns the variance if costs vary by `spread` in the job.
    fn variance_by(&self, spread: u64) -> u64 {
        self.variance().max((spread / 8 / self.chunks().max(1)).min(MOST_VARIANCE))
    }

    /// Returns this measurement with four fifths of its weight: what was measured earlier may have changed.
    pub(super) fn aged(self) -> Self {
        let aged = |variance: u32| small((u64::from(variance) * 5 / 4).min(MOST_VARIANCE));
        Self { variance: aged(self.variance), log_variance: aged(self.log_variance), ..self }
    }

    /// Returns the mean of this and `other`, measurements of the same count, weighted by certainty.
    #[inline(never)]
    pub(super) fn and(&self, other: &Self) -> Self {
        let weights = (other.variance, self.variance);
        // What is unknown is not averaged.
        let log_weights = match (self.knows_log(), other.knows_log()) {
            (true, false) => (MOST_VARIANCE as u32, 0),
            (false, true) => (0, MOST_VARIANCE as u32),
            _ => (other.log_variance, self.log_variance),
        };
        let least = |(a, b): (u32, u32)| {
            let (a, b) = (u64::from(a), u64::from(b));
            small((a * b / (a + b)).max(1))
        };
        Self {
            rate: mean(self.rate, other.rate, weights),
            at_ns: mean(self.at_ns, other.at_ns, weights),
            took_ns: self.took_ns.max(other.took_ns),
            variance: least(weights),
            log: small(mean(u64::from(self.log), u64::from(other.log), log_weights)),
            log_variance: match (self.knows_log(), other.knows_log()) {
                (true, true) => least(log_weights),
                _ => self.log_variance.min(other.log_variance),
            },
            chunks: self.chunks.saturating_add(other.chunks),
            bias: small(mean(u64::from(self.bias), u64::from(other.bias), weights)),
        }
    }

    /// Returns this, or if it was measured before and after `other`, the rate at the time of
    /// `other` on the line between the two.
    #[inline(never)]
    pub(super) fn at_time_of(&self, other: &Self, after: Option<&Self>) -> Self {
        let Some(after) = after else { return *self };
        let (whole, part) = (after.at_ns.saturating_sub(self.at_ns), other.at_ns.saturating_sub(self.at_ns));
        let (whole, part) = (i128::from(whole.max(1)), i128::from(part.min(whole)));
        let between = |from: u64, to: u64| {
            let (from, to) = (i128::from(from), i128::from(to));
            (from + (to - from) * part / whole) as u64
        };
        Self {
            rate: between(self.rate, after.rate),
            at_ns: other.at_ns,
            took_ns: self.took_ns,
            variance: self.variance.midpoint(after.variance),
            log: small(between(u64::from(self.log), u64::from(after.log))),
            log_variance: self.log_variance.midpoint(after.log_variance),
            chunks: self.chunks.min(after.chunks),
            bias: self.bias.max(after.bias),
        }
    }
}

/// Returns `number` in fewer bits, or the largest such number.
fn small(number: impl TryInto<u32>) -> u32 {
    number.try_into().unwrap_or(u32::MAX)
}

/// Returns the mean of `a` and `b` with these weights.
fn mean(a: u64, b: u64, weights: (u32, u32)) -> u64 {
    let sum = u128::from(a) * u128::from(weights.0) + u128::from(b) * u128::from(weights.1);
    (sum / (u128::from(weights.0) + u128::from(weights.1)).max(1)) as u64
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
    /// Returns the ratio of two rates.
    pub(super) fn of(more: &Measured, fewer: &Measured) -> Self {
        Self::with_spread(more, fewer, 0)
    }

    /// Returns the ratio of two rates, if costs vary by `spread` in the job.
    #[inline(never)]
    pub(super) fn with_spread(more: &Measured, fewer: &Measured, spread: u64) -> Self {
        // The more certain of the two comparisons.
        let variance = more.variance_by(spread) + fewer.variance_by(spread);
        let log_variance = u64::from(more.log_variance) + u64::from(fewer.log_variance);
        let value = if log_variance < variance {
            exp2_thousandths(i64::from(more.log) - i64::from(fewer.log))
        } else {
            let value = u128::from(more.rate) * 1000 / u128::from(fewer.rate.max(1));
            value.min(1_000_000) as u64
        };
        // The root of millionths is thousandths.
        // Most of it is the same in both.
        let bias = u64::from(more.bias.abs_diff(fewer.bias) + more.bias.min(fewer.bias) / 4);
        let deviation = (variance.min(log_variance) + bias * bias).isqrt();
        Self { value, deviation: deviation * value / 1000 }
    }

    /// Returns whether the ratio is above `bound`, if that is sure. A ratio below it has to be as far from it as the ratio of
    /// the same rates the other way round: the smaller of two unsure numbers has the smaller deviation.
    pub(super) fn is_above(self, bound: u64) -> Option<bool> {
        let deviation = self.deviation * self.value.max(bound) / self.value.max(1);
        (self.value.abs_diff(bound) > SURE * deviation).then_some(self.value > bound)
    }

    /// Returns whether more samples would tell no more.
    pub(super) fn is_precise(self) -> bool {
        self.deviation <= PRECISE
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns a measurement of `rate` with this variance, in millionths of its square.
    pub(in crate::engine) fn of_rate(rate: u64, variance: u32) -> Measured {
        Measured { rate, variance, ..UNKNOWN }
    }

    const UNKNOWN: Measured = Measured {
        rate: 1000,
        at_ns: 0,
        took_ns: 0,
        variance: 10_000,
        log: 0,
        log_variance: MOST_VARIANCE as u32,
        chunks: 20,
        bias: 0,
    };

    #[test]
    fn an_unknown_typical_rate_is_not_averaged() {
        let known = Measured { log: 67_992, log_variance: 15_129, ..UNKNOWN };
        for both in [known.and(&UNKNOWN), UNKNOWN.and(&known)] {
            assert_eq!((both.log, both.log_variance), (67_992, 15_129));
            assert_eq!(both.chunks, 40);
        }
        assert!(!UNKNOWN.and(&UNKNOWN).knows_log());
    }

    #[test]
    fn ratios_below_a_bound_are_as_unsure_as_above() {
        // Rates that differ threefold, each unsure by more than a third.
        let unsure = Measured { variance: 140_000, ..UNKNOWN };
        let fast = Measured { rate: 3000, ..unsure };
        assert_eq!(Ratio::of(&fast, &unsure).is_above(1020), None);
        assert_eq!(Ratio::of(&unsure, &fast).is_above(1020), None);
        let sure = Measured { variance: 100, ..UNKNOWN };
        let fast = Measured { rate: 3000, ..sure };
        assert_eq!(Ratio::of(&fast, &sure).is_above(1020), Some(true));
        assert_eq!(Ratio::of(&sure, &fast).is_above(1020), Some(false));
    }
}
