//! Runs side by side, as a value.

use super::facts::{differences, translated};
use super::rows::{Matching, PhaseRow, Row, phases, rows};
use super::side::{Side, printable};
use crate::failure::Failure;

/// Runs side by side.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The runs; ratios are to the first one.
    pub(super) sides: Vec<Side>,
    /// The timed jobs, in the order of their first appearance.
    pub(super) rows: Vec<Row>,
    /// Phases of the boot that several runs have.
    pub(super) phases: Vec<PhaseRow>,
    /// Differences of the machines, each a reason why times differ.
    pub(super) differences: Vec<String>,
    /// Remarks on how to read the numbers.
    pub(super) notes: Vec<String>,
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
        notes.extend(translated(&sides));
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
            found.push(format!("{} did not pass: {}", side.label, printable(&side.report.ending)));
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
}
