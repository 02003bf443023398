//! The timed jobs: rates, speedups and efficiencies.

use protocol::record::{Record, Unit};
use serde::Serialize;

/// One job on one number of threads: its fastest run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JobRow {
    /// Which job.
    pub job: String,
    /// Threads that were asked for.
    pub threads: u32,
    /// Threads that did at least one chunk.
    pub threads_used: u32,
    /// Units of work done.
    pub units: u64,
    /// What a unit is.
    pub unit: Unit,
    /// Memory that the units cover.
    pub bytes: u64,
    /// Chunks.
    pub chunks: u64,
    /// Wall time.
    pub ns: u64,
    /// CPU time of all threads together.
    pub cpu_ns: u64,
    /// From the first thread that finished to the last.
    pub spread_ns: u64,
    /// Chunks done by a thread of the memory's own node.
    pub local_chunks: u64,
    /// Whether the results of all runs were right.
    pub ok: bool,
    /// How many runs there were.
    pub runs: u32,
    /// Units done per second.
    pub units_per_s: f64,
    /// Bytes done per second.
    pub bytes_per_s: f64,
    /// How many times as fast as the same work on one thread; `None` where that was not measured, or is all there is.
    pub speedup: Option<f64>,
    /// The speedup by the number of threads.
    pub efficiency: Option<f64>,
}

/// The rows of all job records: jobs in the order in which they first came, each with its thread counts ascending.
pub fn rows(records: &[Record<String>]) -> Vec<JobRow> {
    let mut rows: Vec<JobRow> = Vec::new();
    for run in records.iter().filter_map(single) {
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

/// A job record as a row of one run.
fn single(record: &Record<String>) -> Option<JobRow> {
    let Record::Job {
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
    } = record
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
    fn is_same_work(&self, other: &Self) -> bool {
        self.job == other.job && self.unit == other.unit && self.units == other.units
    }

    fn is_like(&self, other: &Self) -> bool {
        self.is_same_work(other) && self.threads == other.threads
    }

    /// The faster of two runs stands for both; one wrong result spoils both.
    fn merge(&mut self, run: Self) {
        let (ok, runs) = (self.ok && run.ok, self.runs + run.runs);
        if run.ns < self.ns {
            *self = run;
        }
        (self.ok, self.runs) = (ok, runs);
    }
}
