//! Sizes in bytes with suffixes: `512M`, `3G`, `4096`.

use core::fmt;

const UNITS: [(&str, u64); 5] = [("T", 1 << 40), ("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10), ("", 1)];

/// Parses a size in bytes: digits with an optional K, M, G or T (powers of 1024, either case). Returns `None` for anything
/// else and on overflow.
///
/// ```
/// assert_eq!(params::parse_size("3G"), Some(3 << 30));
/// assert_eq!(params::parse_size("1.5G"), None);
/// ```
pub fn parse_size(text: &str) -> Option<u64> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(digits_end);
    let (_, unit) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(suffix))?;
    // `u64::from_str` accepts a leading `+`, which stays out of `digits`: an empty number is not a size.
    if digits.is_empty() {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(*unit)
}

/// A number of bytes that prints with the largest unit that divides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |&&(_, unit): &&(&str, u64)| self.0 >= unit && self.0.is_multiple_of(unit);
        match UNITS.iter().find(whole) {
            Some((name, unit)) => write!(f, "{}{}", self.0 / unit, name),
            None => write!(f, "0"),
        }
    }
}
