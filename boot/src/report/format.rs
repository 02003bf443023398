//! Formatting of numbers.

use super::jobs::JobRow;

/// Formats a time with three digits, in a fitting unit.
pub(crate) fn duration(ns: u64) -> String {
    let value = ns as f64;
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{} us", three_digits(value / 1e3)),
        1_000_000..1_000_000_000 => format!("{} ms", three_digits(value / 1e6)),
        _ => format!("{} s", three_digits(value / 1e9)),
    }
}

/// Formats bytes per second in GiB/s.
pub(crate) fn byte_rate(bytes_per_s: f64) -> String {
    format!("{:.2} GiB/s", bytes_per_s / f64::from(1 << 30))
}

/// Formats pages per second in a fitting unit.
pub(crate) fn page_rate(pages_per_s: f64) -> String {
    match pages_per_s {
        rate if rate < 1e3 => format!("{} pages/s", three_digits(rate)),
        rate if rate < 1e6 => format!("{} kpages/s", three_digits(rate / 1e3)),
        rate => format!("{} Mpages/s", three_digits(rate / 1e6)),
    }
}

/// Formats a job's rate: of bytes if it writes its units, else of pages.
pub(super) fn rate(row: &JobRow) -> String {
    row.bytes_per_s.map_or_else(|| page_rate(row.units_per_s), byte_rate)
}

/// Draws a bar of at most `width` cells for a part of 0 to 1; a part above 0 shows at least an eighth of a cell.
pub(super) fn bar(part: f64, width: usize) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    if part.is_nan() || part <= 0.0 {
        return String::new();
    }
    let eighths = ((part.min(1.0) * width as f64 * 8.0).round() as usize).max(1);
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(EIGHTHS[eighths % 8]);
    }
    bar
}

fn three_digits(value: f64) -> String {
    let decimals = match value {
        value if value < 9.995 => 2,
        value if value < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 us"),
            (12_345, "12.3 us"),
            (9_996_000, "10.0 ms"),
            (123_456_789, "123 ms"),
            (5_000_000_000, "5.00 s"),
        ] {
            assert_eq!(duration(ns), text);
        }
    }

    #[test]
    fn rates() {
        assert_eq!(byte_rate(3.3 * f64::from(1 << 30)), "3.30 GiB/s");
        assert_eq!(page_rate(123_456_789.0), "123 Mpages/s");
        assert_eq!(page_rate(1_234.0), "1.23 kpages/s");
        assert_eq!(page_rate(7.0), "7.00 pages/s");
    }

    #[test]
    fn bars_grow_by_eighths() {
        assert_eq!(bar(0.0, 4), "");
        assert_eq!(bar(0.001, 4), "▏");
        assert_eq!(bar(0.5, 4), "██");
        assert_eq!(bar(0.53, 4), "██▏");
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(7.0, 4), "████");
        assert_eq!(bar(f64::NAN, 4), "");
    }
}
