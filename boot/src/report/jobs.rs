//! The timed jobs: rates, speedups and efficiencies.

use protocol::record::{JobRun, Record, Unit};
use serde::{Deserialize, Serialize};

/// Chunks of a job whose units are on one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRow {
    /// The node.
    pub node: u32,
    /// Number of chunks.
    pub chunks: u64,
    /// Chunks that a thread of the node processed.
    pub local_chunks: u64,
}

/// One job on one number of threads, or on as many as help: its run of median time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Chunks that a thread of the memory's node processed; `None` if the job names no nodes.
    pub local_chunks: Option<u64>,
    /// The chunks of each node that has some; none if the job names no nodes.
    #[serde(default)]
    pub by_node: Vec<NodeRow>,
    /// Whether the results of all runs were right.
    pub ok: bool,
    /// Number of records, each of which is a median by the kernel.
    pub runs: u32,
    /// Units per second.
    pub units_per_s: f64,
    /// Bytes written per second; `None` if the job does not write its units.
    pub bytes_per_s: Option<f64>,
    /// Speed relative to the same work on one thread; `None` if only one of the two was measured.
    pub speedup: Option<f64>,
    /// Speedup divided by the number of threads.
    pub efficiency: Option<f64>,
}

/// Returns the rows of all `job` records: jobs in the order of their first records, thread counts ascending.
pub fn rows(records: &[Record<String>]) -> Vec<JobRow> {
    let is_exact = |record: &Record<String>| matches!(record, Record::Job(_));
    let mut rows = medians(runs(records, is_exact), JobRow::is_like);
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
        row.efficiency = row.speedup.map(|speedup| speedup / f64::from(row.threads.max(1)));
    }
    rows
}

/// Returns the rows of all `job-auto` records, in their order. `exact` has the [`rows`] of the same run, to which speedups
/// are relative.
pub fn auto_rows(records: &[Record<String>], exact: &[JobRow]) -> Vec<JobRow> {
    let is_auto = |record: &Record<String>| matches!(record, Record::JobAuto(_));
    let mut rows = medians(runs(records, is_auto), JobRow::is_same_work);
    for row in &mut rows {
        let alone = exact.iter().find(|other| other.threads == 1 && row.is_same_work(other));
        row.speedup = alone.filter(|_| row.ns > 0).map(|alone| alone.ns as f64 / row.ns as f64);
        row.efficiency = row.speedup.map(|speedup| speedup / f64::from(row.threads.max(1)));
    }
    rows
}

/// Groups runs that are `alike` and returns the one of median time of each group, in the order of their first runs. The
/// slower of the middle two is the median of an even number, as in the kernel.
fn medians(runs: Vec<JobRow>, alike: fn(&JobRow, &JobRow) -> bool) -> Vec<JobRow> {
    let mut groups: Vec<Vec<JobRow>> = Vec::new();
    for run in runs {
        match groups.iter_mut().find(|group| alike(&group[0], &run)) {
            Some(group) => group.push(run),
            None => groups.push(vec![run]),
        }
    }
    let median = |mut group: Vec<JobRow>| {
        let (ok, count) = (group.iter().all(|run| run.ok), group.len());
        group.sort_by_key(|run| run.ns);
        let runs = u32::try_from(count).unwrap_or(u32::MAX);
        JobRow { ok, runs, ..group.swap_remove(count / 2) }
    };
    groups.into_iter().map(median).collect()
}

/// Returns the runs of the records that are `wanted`, each with the records of its nodes.
fn runs(records: &[Record<String>], wanted: fn(&Record<String>) -> bool) -> Vec<JobRow> {
    let mut runs: Vec<JobRow> = Vec::new();
    // The time of the run that was last, if it is wanted.
    let mut last_ns = None;
    for record in records {
        match record {
            Record::Job(run) | Record::JobAuto(run) => {
                last_ns = wanted(record).then_some(run.t_ns);
                runs.extend(single(record).filter(|_| last_ns.is_some()));
            }
            Record::JobNode { t_ns, node, chunks, local_chunks } if last_ns == Some(*t_ns) => {
                let count = NodeRow { node: *node, chunks: *chunks, local_chunks: *local_chunks };
                runs.last_mut().into_iter().for_each(|run| run.by_node.push(count));
            }
            _ => {}
        }
    }
    runs
}

/// Returns a record of a timed job as a row of one run.
fn single(record: &Record<String>) -> Option<JobRow> {
    let (Record::Job(run) | Record::JobAuto(run)) = record else { return None };
    let JobRun {
        job,
        threads,
        threads_used,
        units,
        unit,
        bytes,
        writes,
        chunks,
        ns,
        cpu_ns,
        spread_ns,
        local_chunks,
        ok,
        ..
    } = run;
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
        by_node: Vec::new(),
        ok: *ok,
        runs: 1,
        units_per_s: per_second(*units),
        bytes_per_s: writes.then(|| per_second(*bytes)),
        speedup: None,
        efficiency: None,
    })
}

impl NodeRow {
    /// Returns the part of the chunks that a thread of the node processed, 0 to 1.
    pub fn local_part(&self) -> f64 {
        (self.local_chunks as f64 / self.chunks.max(1) as f64).min(1.0)
    }
}

impl JobRow {
    /// Returns whether both rows are about the same units of the same job.
    pub fn is_same_work(&self, other: &Self) -> bool {
        self.job == other.job && self.unit == other.unit && self.units == other.units
    }

    fn is_like(&self, other: &Self) -> bool {
        self.is_same_work(other) && self.threads == other.threads
    }

    /// Returns the part of the chunks that a thread of the memory's node processed, 0 to 1; `None` if none was counted.
    pub fn local_part(&self) -> Option<f64> {
        let local_chunks = self.local_chunks.filter(|_| self.chunks > 0)?;
        Some(local_chunks as f64 / self.chunks as f64)
    }
}
