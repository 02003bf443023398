//! Runs side by side: what is measured in several reports, and the ratios to the first one.

mod comparison;
mod facts;
mod page;
mod rows;
mod side;
mod text;

pub use comparison::Comparison;
pub use rows::Matching;
pub use side::Side;
pub use text::render;

use crate::failure::Failure;
use crate::report;
use facts::labels;
use std::path::{Path, PathBuf};

/// Reads the reports at `files` and compares them.
///
/// # Errors
///
/// When a file is no report, or no job is in the first and in another one: usage errors of one line.
pub fn read(files: &[PathBuf]) -> Result<Comparison, Failure> {
    if files.len() < 2 {
        return Err(Failure::usage("compare needs two reports or more, or the word linux"));
    }
    let reports = files.iter().map(|file| report::read(file)).collect::<Result<Vec<_>, _>>()?;
    let sides = labels(files).into_iter().zip(reports).map(|(label, report)| Side { label, report });
    Comparison::of(sides.collect(), Matching::SameThreads)
}

/// Writes the comparison as a page.
///
/// # Errors
///
/// When the file cannot be written.
pub fn write_page(comparison: &Comparison, path: &Path) -> Result<(), Failure> {
    report::put(path, &page::page(comparison))
}

#[cfg(test)]
mod tests;
