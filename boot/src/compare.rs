//! Runs side by side: what is measured in several reports, and the ratios to the first one.

mod facts;
mod page;
mod rows;
mod text;

use crate::failure::Failure;
use crate::report::{self, Report};
use facts::{differences, labels};
use rows::{PhaseRow, Row, phases, rows};
use std::path::{Path, PathBuf};

/// Runs side by side.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The runs; ratios are to the first one.
    sides: Vec<Side>,
    /// The timed jobs, in the order of their first appearance.
    rows: Vec<Row>,
    /// Phases of the boot that several runs have.
    phases: Vec<PhaseRow>,
    /// Differences of the machines, each a reason why times differ.
    differences: Vec<String>,
    /// Remarks on how to read the numbers.
    notes: Vec<String>,
}

/// A run and its name in the comparison.
#[derive(Clone, Debug)]
pub struct Side {
    /// The name.
    pub label: String,
    /// The report.
    pub report: Report,
}

/// Which rows of other runs stand beside a row of the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// Those of the same job, amount and number of threads.
    SameThreads,
    /// Those of the same job and amount: the first run does each job in one way.
    FirstHasOneWay,
}

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

impl Comparison {
    /// Compares runs with the first one.
    ///
    /// # Errors
    ///
    /// When no job is in the first and in another one: a usage error of one line.
    pub fn of(sides: Vec<Side>, matching: Matching) -> Result<Self, Failure> {
        let rows = rows(&sides, matching);
        if !rows.iter().any(|row| row.ratios().next().is_some()) {
            let names: Vec<_> = sides.iter().map(|side| side.label.as_str()).collect();
            let names = names.join(", ");
            return Err(Failure::usage(format!(
                "no job with the same amount of work is in several of {names}"
            )));
        }
        let mut notes = vec![format!(
            "ratios are speeds relative to {}: above 1 is faster; times are medians",
            sides[0].label
        )];
        notes.extend(facts::translated(&sides));
        let (phases, differences) = (phases(&sides), differences(&sides));
        Ok(Self { sides, rows, phases, differences, notes })
    }

    /// Adds a remark on how to read the numbers.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Returns what is worse than in the first run, a line each: ratios below `least`, wrong results, and runs that failed.
    pub fn regressions(&self, least: f64) -> Vec<String> {
        let mut found = Vec::new();
        for side in self.sides.iter().filter(|side| side.report.status != 0) {
            found.push(format!("{} did not pass: {}", side.label, rows::printable(&side.report.ending)));
        }
        for row in &self.rows {
            for (index, cell) in row.cells.iter().enumerate() {
                let Some(cell) = cell else { continue };
                let place = || format!("{}: {} on {}", self.sides[index].label, row.job, row.threads);
                if !cell.ok {
                    found.push(format!("{} has a wrong result", place()));
                }
                if let Some(ratio) = cell.ratio.filter(|ratio| *ratio < least) {
                    found.push(format!("{} has the ratio {ratio:.3}, below {least}", place()));
                }
            }
        }
        found
    }

    /// Renders the comparison as text; at a terminal, tables fit its width.
    pub fn render(&self, is_terminal: bool) -> String {
        text::render(self, is_terminal)
    }

    /// Writes the comparison as a page.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn write_page(&self, path: &Path) -> Result<(), Failure> {
        report::put(path, &page::page(self))
    }
}

#[cfg(test)]
mod tests;
