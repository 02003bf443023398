//! Logarithms in integers, for kernels that have no floating point.

/// Bits of a logarithm after the point.
pub(crate) const LOG_BITS: u32 = 10;

const ONE: u64 = 1 << LOG_BITS;

/// The parabola that, added to a line, comes closest to the logarithm between two powers of two; in
/// parts of [`ONE`].
const BEND: u64 = 352;

/// Returns the binary logarithm of `value`, which is above 0, times 2 to the [`LOG_BITS`]. The error is
/// less than 0.01.
pub(crate) const fn log2(value: u64) -> u64 {
    let whole = value.ilog2();
    let part = ((value as u128) << LOG_BITS >> whole) as u64 - ONE;
    (whole as u64) * ONE + part + bend(part)
}

/// Returns 2 to the power of `log`, a logarithm in the form of [`log2`], in thousandths and at most a
/// million.
pub(crate) const fn exp2_thousandths(log: i64) -> u64 {
    let whole = log >> LOG_BITS;
    let part = (log & (ONE as i64 - 1)) as u64;
    let mantissa = (ONE + part - bend(part)) * 1000;
    let value = if whole >= 10 {
        1_000_000
    } else if whole >= 0 {
        mantissa << whole >> LOG_BITS
    } else if whole > -40 {
        mantissa >> (LOG_BITS as i64 - whole)
    } else {
        0
    };
    if value > 1_000_000 { 1_000_000 } else { value }
}

const fn bend(part: u64) -> u64 {
    (((part * (ONE - part)) >> LOG_BITS) * BEND) >> LOG_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_right_to_a_hundredth() {
        for value in (1..2000).chain((1..64).map(|bit| (1_u64 << bit) + (1_u64 << bit) / 3)) {
            let error = log2(value) as f64 / 1024.0 - (value as f64).log2();
            assert!(error.abs() < 0.01, "{value}: {error}");
        }
        assert!(log2(u64::MAX) <= 64 << LOG_BITS);
    }

    #[test]
    fn powers_are_right_to_a_hundredth() {
        for log in -3000..9000_i64 {
            let right = (log as f64 / 1024.0).exp2() * 1000.0;
            let error = exp2_thousandths(log) as f64 - right;
            assert!(error.abs() < right * 0.01 + 1.0, "{log}: {error}");
        }
        assert_eq!(exp2_thousandths(i64::MAX), 1_000_000);
        assert_eq!(exp2_thousandths(i64::MIN), 0);
    }
}
