//! A run that is compared.

use crate::report::Report;

/// A run and its name in the comparison.
#[derive(Clone, Debug)]
pub struct Side {
    /// The name.
    pub label: String,
    /// The report.
    pub report: Report,
}

/// Replaces the characters that control a terminal: a report may come from anywhere.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
