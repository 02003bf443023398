//! The boot command line: `name=value`, separated by white space.

use crate::kinds::{Param, SetError};
use crate::registry;

/// How many words were taken and how many not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Parameters that were set.
    pub set: usize,
    /// Words that were refused; each was told to `report`.
    pub refused: usize,
}

/// Applies every `name=value` of `line`; the last one of a name wins. What
/// cannot be applied goes to `report` and changes nothing. A word without `=`
/// counts as a name with an empty value.
pub fn apply(line: &str, mut report: impl FnMut(SetError<'_>)) -> Outcome {
    let mut outcome = Outcome::default();
    for word in line.split_ascii_whitespace() {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match set(name, value) {
            Ok(()) => outcome.set += 1,
            Err(error) => {
                outcome.refused += 1;
                report(error);
            }
        }
    }
    outcome
}

/// Sets one parameter by name.
pub fn set<'a>(name: &'a str, value: &'a str) -> Result<(), SetError<'a>> {
    let param = find(name).ok_or_else(|| unknown(name))?;
    param.set(value).map_err(|_| SetError::BadValue { param, value })
}

/// As [`set`], once the machine is up: what was read on the way up cannot be changed any more.
pub fn change<'a>(name: &'a str, value: &'a str) -> Result<(), SetError<'a>> {
    match find(name) {
        Some(param) if registry::is_at_boot_only(param) => Err(SetError::AtBootOnly { param, value }),
        _ => set(name, value),
    }
}

/// That there is no parameter called `name`, and which may be meant.
pub fn unknown(name: &str) -> SetError<'_> {
    SetError::Unknown { name, similar: similar(name) }
}

/// The parameter called `name`.
pub fn find(name: &str) -> Option<&'static dyn Param> {
    registry::ALL.iter().copied().find(|param| param.name() == name)
}

/// The registered name nearest to `name`, if it is near enough to be meant.
fn similar(name: &str) -> Option<&'static str> {
    let distances = registry::ALL.iter().map(|param| (edit_distance(name, param.name()), param.name()));
    let (distance, nearest) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= 3).then_some(nearest)
}

/// Levenshtein distance, over the first 40 bytes of each.
fn edit_distance(a: &str, b: &str) -> usize {
    const MOST: usize = 40;
    let (a, b) = (&a.as_bytes()[..a.len().min(MOST)], &b.as_bytes()[..b.len().min(MOST)]);
    let mut row: [usize; MOST + 1] = core::array::from_fn(|index| index);
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
