//! Values for the lines across a chart.

/// The most lines across a chart.
const MOST: usize = 5;

/// Returns values for lines from `bottom` to `top`: multiples of 1, 2 or 5 times a power of ten. On a
/// logarithmic axis they are such values, or powers of ten alone.
pub(super) fn round_values(bottom: f64, top: f64, is_log: bool) -> Vec<f64> {
    let is_scale = bottom.is_finite() && top.is_finite() && 0.0 < bottom && bottom < top;
    match (is_scale, is_log) {
        (false, _) => Vec::new(),
        (true, false) => multiples(top),
        (true, true) => {
            let (first, last) = (bottom.log10().floor() as i32, top.log10().floor() as i32);
            let values = |digits: &[f64]| {
                let of_power = |power| digits.iter().map(move |digit| digit * 10_f64.powi(power));
                let all = (first..=last).flat_map(of_power);
                all.filter(|value| (bottom..=top).contains(value)).collect::<Vec<_>>()
            };
            let (fine, coarse) = (values(&[1.0, 2.0, 5.0]), values(&[1.0]));
            let chosen = if fine.len() <= MOST { fine } else { coarse };
            let step = chosen.len().div_ceil(MOST).max(1);
            chosen.into_iter().step_by(step).collect()
        }
    }
}

/// Returns the multiples up to `top` of the smallest round step that makes no more than [`MOST`].
fn multiples(top: f64) -> Vec<f64> {
    let least = top / MOST as f64;
    let power = 10_f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|digit| digit * power).into_iter().find(|step| *step >= least);
    let step = step.unwrap_or(top);
    (1..=MOST).map(|count| count as f64 * step).filter(|value| *value <= top).collect()
}

/// Returns `text` without the zeros at the end of its number's decimals: "2 GiB/s" for "2.00 GiB/s".
pub(super) fn without_zeros(text: &str) -> String {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number =
        if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_round() {
        for (top, values) in [
            (2.5, &[0.5, 1.0, 1.5, 2.0, 2.5][..]),
            (4.2, &[1.0, 2.0, 3.0, 4.0]),
            (17.3, &[5.0, 10.0, 15.0]),
            (1_100.0, &[500.0, 1_000.0]),
        ] {
            assert_eq!(round_values(top / 10.0, top, false), values);
        }
        assert_eq!(round_values(0.8, 64.0, true), [1.0, 10.0]);
        assert_eq!(round_values(0.8, 9.0, true), [1.0, 2.0, 5.0]);
    }

    #[test]
    fn numbers_end_without_zeros() {
        for (text, short) in
            [("2.00×", "2×"), ("0.50 GiB/s", "0.5 GiB/s"), ("100 pages/s", "100 pages/s"), ("", "")]
        {
            assert_eq!(without_zeros(text), short);
        }
    }

    proptest! {
        #[test]
        fn any_scale_has_few_lines_within_it(bottom: f64, top: f64, is_log: bool) {
            let values = round_values(bottom, top, is_log);
            prop_assert!(values.len() <= MOST);
            prop_assert!(values.iter().all(|value| *value > 0.0 && *value <= top));
        }
    }
}
