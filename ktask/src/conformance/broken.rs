//! A broken rule, and how a check finds one.

use core::fmt;

/// The rule of [`Platform`](crate::Platform) that an implementation breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConformanceError {
    /// Name of the check that failed.
    pub check: &'static str,
    /// The rule that is broken.
    pub rule: &'static str,
    /// The number that was found.
    pub found: u64,
    /// The number that would be right, or the bound that was missed.
    pub right: u64,
}

impl fmt::Display for ConformanceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, rule, found, right } = self;
        write!(f, "{check}: {rule}: found {found}, right would be {right}")
    }
}

impl core::error::Error for ConformanceError {}

/// Returns an error unless `found == right`.
pub(super) fn equal(
    check: &'static str,
    rule: &'static str,
    found: u64,
    right: u64,
) -> Result<(), ConformanceError> {
    if found == right { Ok(()) } else { Err(ConformanceError { check, rule, found, right }) }
}

/// Returns an error unless `found >= least`.
pub(super) fn at_least(
    check: &'static str,
    rule: &'static str,
    found: u64,
    least: u64,
) -> Result<(), ConformanceError> {
    if found >= least { Ok(()) } else { Err(ConformanceError { check, rule, found, right: least }) }
}

/// Returns an error unless `found <= most`.
pub(super) fn at_most(
    check: &'static str,
    rule: &'static str,
    found: u64,
    most: u64,
) -> Result<(), ConformanceError> {
    if found <= most { Ok(()) } else { Err(ConformanceError { check, rule, found, right: most }) }
}
