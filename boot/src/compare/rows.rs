//! Rows of several runs that measure the same thing.

use super::side::{Side, printable};
use crate::report::{JobRow, Report, byte_rate, page_rate};
use protocol::record::Unit;
use std::fmt;

/// Amounts of work that differ by one part in this many are the same: kernels of different sizes have different free memory.
const SAME_AMOUNT: u64 = 100;

/// Which rows of other runs stand beside a row of the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// Those of the same job, amount and number of threads.
    SameThreads,
    /// Those of the same job and amount: the first run does each job in one way.
    FirstHasOneWay,
}

/// One job on one number of threads, in every run.
#[derive(Clone, Debug)]
pub struct Row {
    /// Name of the job.
    pub job: String,
    /// Kind of unit.
    pub unit: Unit,
    /// Units, in the run that has the row first.
    pub units: u64,
    /// Threads.
    pub threads: Threads,
    /// What each run has measured, if it has.
    pub cells: Vec<Option<Cell>>,
}

/// Threads of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// So many.
    Exact(u32),
    /// As many as help.
    Auto,
}

/// What one run has measured.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The median time.
    pub ns: u64,
    /// Units per second.
    pub units_per_s: f64,
    /// The rate, formatted.
    pub rate: String,
    /// Whether the result was right.
    pub ok: bool,
    /// Speed relative to the first run's; `None` in the first run, and where one of the two is missing.
    pub ratio: Option<f64>,
}

/// A phase of the boot in every run.
#[derive(Clone, Debug)]
pub struct PhaseRow {
    /// Its name.
    pub name: String,
    /// Its time, and its speed relative to the first run's, in each run that has it.
    pub cells: Vec<Option<(u64, Option<f64>)>>,
}

impl fmt::Display for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(1) => f.write_str("1 thread"),
            Self::Exact(count) => write!(f, "{count} threads"),
            Self::Auto => f.write_str("as many threads as help"),
        }
    }
}

impl Threads {
    /// Returns the text for a column of numbers.
    pub fn short(self) -> String {
        match self {
            Self::Exact(count) => count.to_string(),
            Self::Auto => "auto".into(),
        }
    }
}

impl Row {
    /// Returns the ratios of all runs to the first one.
    pub fn ratios(&self) -> impl Iterator<Item = f64> {
        self.cells.iter().flatten().filter_map(|cell| cell.ratio)
    }

    /// Returns whether both rows are of one job, whatever their threads.
    pub fn is_same_job(&self, other: &Self) -> bool {
        self.job == other.job && self.unit == other.unit && is_same_amount(self.units, other.units)
    }

    fn is_work_of(&self, row: &JobRow) -> bool {
        self.job == printable(&row.job) && self.unit == row.unit && is_same_amount(self.units, row.units)
    }
}

/// Returns the rows of all runs: jobs in the order of the first run that has them, threads ascending, `auto` last.
pub(super) fn rows(sides: &[Side], matching: Matching) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let own = match matching {
        Matching::SameThreads => 0,
        Matching::FirstHasOneWay => 1,
    };
    for (index, side) in sides.iter().enumerate().skip(own) {
        for (threads, job) in measured(&side.report) {
            let at = rows.iter().position(|row| row.threads == threads && row.is_work_of(job));
            let at = at.unwrap_or_else(|| {
                rows.push(Row::of(job, threads, sides.len()));
                rows.len() - 1
            });
            rows[at].cells[index].get_or_insert_with(|| Cell::of(job));
        }
    }
    if matching == Matching::FirstHasOneWay {
        for row in &mut rows {
            let mut way = measured(&sides[0].report).filter(|(_, job)| row.is_work_of(job));
            row.cells[0] = way.next().map(|(_, job)| Cell::of(job));
        }
        rows.retain(|row| row.cells[0].is_some());
    }
    let unordered = rows.clone();
    rows.sort_by_cached_key(|row| {
        let first = unordered.iter().position(|other| other.is_same_job(row));
        let threads = match row.threads {
            Threads::Exact(count) => u64::from(count),
            Threads::Auto => u64::MAX,
        };
        (first, threads)
    });
    rows.iter_mut().for_each(Row::compare);
    rows
}

fn measured(report: &Report) -> impl Iterator<Item = (Threads, &JobRow)> {
    let exact = report.jobs.iter().map(|row| (Threads::Exact(row.threads), row));
    exact.chain(report.jobs_auto.iter().map(|row| (Threads::Auto, row)))
}

impl Row {
    /// Returns an empty row.
    fn of(job: &JobRow, threads: Threads, sides: usize) -> Self {
        Self { job: printable(&job.job), unit: job.unit, units: job.units, threads, cells: vec![None; sides] }
    }

    /// Fills in the ratios.
    fn compare(&mut self) {
        let first = self.cells[0].as_ref().map(|cell| cell.units_per_s);
        for cell in self.cells.iter_mut().skip(1).flatten() {
            cell.ratio = first.and_then(|first| ratio(cell.units_per_s, first));
        }
    }
}

impl Cell {
    fn of(job: &JobRow) -> Self {
        let units_per_s = if job.ns == 0 { 0.0 } else { job.units as f64 * 1e9 / job.ns as f64 };
        let rate = match job.bytes_per_s {
            Some(_) if job.ns > 0 => byte_rate(job.bytes as f64 * 1e9 / job.ns as f64),
            _ => page_rate(units_per_s),
        };
        Self { ns: job.ns, units_per_s, rate, ok: job.ok, ratio: None }
    }
}

/// Returns the phases that the first run and another one have.
pub(super) fn phases(sides: &[Side]) -> Vec<PhaseRow> {
    let time = |side: &Side, name: &str| {
        side.report.phases.iter().find(|phase| phase.name == name).map(|phase| phase.ns)
    };
    let row = |name: &str| {
        let first = time(&sides[0], name);
        let cell = |(index, side): (usize, &Side)| {
            let ns = time(side, name)?;
            let ratio = first.filter(|_| index > 0).and_then(|first| ratio(first as f64, ns as f64));
            Some((ns, ratio))
        };
        let cells: Vec<_> = sides.iter().enumerate().map(cell).collect();
        PhaseRow { name: printable(name), cells }
    };
    let rows = sides[0].report.phases.iter().map(|phase| row(&phase.name));
    rows.filter(|row| row.cells.iter().skip(1).any(Option::is_some)).collect()
}

/// Returns `a / b` where it means something.
fn ratio(a: f64, b: f64) -> Option<f64> {
    let ratio = a / b;
    (a > 0.0 && b > 0.0 && ratio.is_finite()).then_some(ratio)
}

fn is_same_amount(a: u64, b: u64) -> bool {
    a.abs_diff(b) <= a.max(b) / SAME_AMOUNT
}
