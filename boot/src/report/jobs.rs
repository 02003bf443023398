//! The timed jobs: rates, speedups and efficiencies.

use protocol::record::{Record, Unit};
use serde::Serialize;

/// The fastest run of one job on one number of threads, or on as many as help.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobRow {
    /// Name of the job.
    pub job: String,
    /// Requested threads; of a job on as many as help, those that it had in the end.
    pub threads: u32,
    /// Threads that processed at least one chunk.
    pub threads_used: u32,
    /// Processed units of work.
    pub units: u64,
    /// Kind of unit.
    pub unit: Unit,
    /// Memory that the units cover.
    pub bytes: u64,
    /// Number of chunks.
    pub chunks: u64,
    /// Wall time.
    pub ns: u64,
    /// CPU time of all threads together.
    pub cpu_ns: u64,
    /// Time from the end of the first thread to the end of the last.
    pub spread_ns: u64,
    /// Chunks that a thread of the memory's node processed.
    pub local_chunks: u64,
    /// Whether the results of all runs were right.
    pub ok: bool,
    /// Number of runs.
    pub runs: u32,
    /// Units per second.
    pub units_per_s: f64,
    /// Bytes per second.
    pub bytes_per_s: f64,
    /// Speed relative to the same work on one thread; `None` if only one of the two was measured.
    pub speedup: Option<f64>,
    /// Speedup divided by the number of threads.
    pub efficiency: Option<f64>,
}

/// Returns the rows of all `job` records: jobs in the order of their first records, thread counts ascending.
pub fn rows(records: &[Record<String>]) -> Vec<JobRow> {
    let mut rows: Vec<JobRow> = Vec::new();
    let is_exact = |record: &&Record<String>| matches!(record, Record::Job { .. });
    for run in records.iter().filter(is_exact).filter_map(single) {
        match rows.iter_mut().find(|row| row.is_like(&run)) {
            Some(row) => row.merge(run),
            None => rows.push(run),
        }
    }
    let order: Vec<String> = rows.iter().map(|row| row.job.clone()).collect();
    let first_of = |row: &JobRow| order.iter().position(|job| *job == row.job);
    rows.sort_by_key(|row| (first_of(row), row.unit as u8, row.units, row.threads));
    let compared = rows.clone();
    for row in &mut rows {
        let same_work = || compared.iter().filter(|other| row.is_same_work(other));
        let base_ns = same_work().find(|other| other.threads == 1).map(|other| other.ns);
        row.speedup = match same_work().any(|other| other.threads > 1) {
            true => base_ns.filter(|_| row.ns > 0).map(|base_ns| base_ns as f64 / row.ns as f64),
            false => None,
        };
        row.efficiency = row.speedup.map(|speedup| speedup / f64::from(row.threads));
    }
    rows
}

/// Returns the rows of all `job-auto` records, in their order. `exact` has the [`rows`] of the same run, to which speedups
/// are relative.
pub fn auto_rows(records: &[Record<String>], exact: &[JobRow]) -> Vec<JobRow> {
    let mut rows: Vec<JobRow> = Vec::new();
    let is_auto = |record: &&Record<String>| matches!(record, Record::JobAuto { .. });
    for run in records.iter().filter(is_auto).filter_map(single) {
        match rows.iter_mut().find(|row| row.is_same_work(&run)) {
            Some(row) => row.merge(run),
            None => rows.push(run),
        }
    }
    for row in &mut rows {
        let alone = exact.iter().find(|other| other.threads == 1 && row.is_same_work(other));
        row.speedup = alone.filter(|_| row.ns > 0).map(|alone| alone.ns as f64 / row.ns as f64);
        row.efficiency = row.speedup.map(|speedup| speedup / f64::from(row.threads.max(1)));
    }
    rows
}

/// Returns a record of a timed job as a row of one run.
fn single(record: &Record<String>) -> Option<JobRow> {
    let (Record::Job {
        job,
        threads,
        threads_used,
        units,
        unit,
        bytes,
        chunks,
        ns,
        cpu_ns,
        spread_ns,
        local_chunks,
        ok,
        ..
    }
    | Record::JobAuto {
        job,
        threads,
        threads_used,
        units,
        unit,
        bytes,
        chunks,
        ns,
        cpu_ns,
        spread_ns,
        local_chunks,
        ok,
        ..
    }) = record
    else {
        return None;
    };
    let per_second = |count: u64| if *ns == 0 { 0.0 } else { count as f64 * 1e9 / *ns as f64 };
    Some(JobRow {
        job: job.clone(),
        threads: *threads,
        threads_used: *threads_used,
        units: *units,
        unit: *unit,
        bytes: *bytes,
        chunks: *chunks,
        ns: *ns,
        cpu_ns: *cpu_ns,
        spread_ns: *spread_ns,
        local_chunks: *local_chunks,
        ok: *ok,
        runs: 1,
        units_per_s: per_second(*units),
        bytes_per_s: per_second(*bytes),
        speedup: None,
        efficiency: None,
    })
}

impl JobRow {
    /// Returns whether both rows are about the same units of the same job.
    pub fn is_same_work(&self, other: &Self) -> bool {
        self.job == other.job && self.unit == other.unit && self.units == other.units
    }

    fn is_like(&self, other: &Self) -> bool {
        self.is_same_work(other) && self.threads == other.threads
    }

    /// Merges two runs: the faster one remains, and the result is right only if both were.
    fn merge(&mut self, run: Self) {
        let (ok, runs) = (self.ok && run.ok, self.runs + run.runs);
        if run.ns < self.ns {
            *self = run;
        }
        (self.ok, self.runs) = (ok, runs);
    }
}
