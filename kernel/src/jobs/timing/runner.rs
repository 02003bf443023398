//! How a job is timed: on each number of threads, and on as many as help. The run of median time becomes a row.

use alloc::string::String;
use alloc::vec::Vec;

use params::registry::{
    KTASK_ENABLED, KTASK_MAX_THREADS, TIMING_BYTES, TIMING_REPEAT, TIMING_THREADS, TIMING_UNTOUCHED_BYTES,
};
use protocol::record::{Record, Unit};

use super::job::{Budget, Failure, Run, TimedJob, unit_bytes};
use super::registry::Registered;
use super::report::{OnThreads, Row, emit};
use crate::arch::{percpu, tsc};
use crate::console::{records, screen, warning};
use crate::debug::facts;
use crate::mm::huge::HugeSize;
use crate::mm::stats;
use crate::platform::nodes;

/// Times `job`, whose runs are those of `J`, and adds its rows. A failure ends the timing of the job with a warning.
pub fn time<J: TimedJob>(job: &'static Registered, rows: &mut Vec<Row>) {
    if let Some(why) = obstacle(job) {
        return log::info!("{}: {why}", job.name);
    }
    let (bytes, untouched_bytes) = (TIMING_BYTES.get_bytes(), TIMING_UNTOUCHED_BYTES.get_bytes());
    let budget = Budget::new(job.name, job.unit, bytes, untouched_bytes);
    match J::prepare(&budget) {
        Ok(mut timed) => time_prepared(job, rows, &mut timed),
        Err(Failure(why)) => warning(format_args!("{} is skipped: {why}", job.name)),
    }
}

/// Returns why this machine does not time `job`, if it has what no machine must have. That is no error.
fn obstacle(job: &Registered) -> Option<String> {
    let facts = (!job.needs.is_empty()).then(facts::now);
    let unmet = job.needs.iter().find(|need| facts.is_some_and(|facts| !facts.meet(**need)));
    if let Some(unmet) = unmet {
        return Some(alloc::format!("{unmet}"));
    }
    if job.unit != Unit::Page1G {
        return None;
    }
    let size = HugeSize::Size1G;
    let has_one = (0..nodes::nodes().len()).any(|node| stats::free_blocks_on(node, size.order()) > 0);
    let may_use = TIMING_BYTES.get_bytes() >= size.bytes();
    (!has_one || !may_use).then(|| alloc::format!("no free huge page of {size}, or timing.bytes is less"))
}

fn time_prepared(job: &'static Registered, rows: &mut Vec<Row>, timed: &mut dyn TimedJob) {
    let has_reference = timed.reference().is_some();
    // Where there is only one thread, there is nothing to choose.
    let choice = (limit() > 1).then_some(None);
    for threads in thread_counts().into_iter().map(Some).chain(choice) {
        let _hold = screen::show_then_hold();
        let result = match threads {
            Some(threads) if has_reference => time_beside(job, rows, timed, threads),
            _ => time_on(job, rows, timed, threads),
        };
        if let Err(Failure(why)) = result {
            return warning(format_args!("{} on {}: {why}", job.name, OnThreads(threads)));
        }
    }
}

/// Runs a job several times on `threads` threads, and keeps the run of median time.
fn time_on(
    job: &'static Registered,
    rows: &mut Vec<Row>,
    timed: &mut dyn TimedJob,
    threads: Option<usize>,
) -> Result<(), Failure> {
    // An untimed run first: the first use of code and data is slow, most of all under emulation.
    run_once(timed, threads)?;
    let runs: Result<Vec<Run>, Failure> =
        (0..TIMING_REPEAT.get()).map(|_| run_once(timed, threads)).collect();
    add_row(job, job.name, rows, threads, runs?);
    Ok(())
}

/// Runs a job and its reference alternately, so that a disturbance affects both. Adds both rows, and reports the share of the
/// reference's speed that the job reaches.
fn time_beside(
    job: &'static Registered,
    rows: &mut Vec<Row>,
    timed: &mut dyn TimedJob,
    threads: usize,
) -> Result<(), Failure> {
    let mut reference_name = "";
    let mut pair = || {
        let reference = timed.reference().ok_or("its reference is gone")?;
        reference_name = reference.name();
        let bare = reference.run(threads)?;
        Ok((bare, run_once(timed, Some(threads))?))
    };
    // An untimed pair first, as in `time_on`.
    pair()?;
    let pairs: Result<Vec<(Run, Run)>, Failure> = (0..TIMING_REPEAT.get()).map(|_| pair()).collect();
    let pairs = pairs?;
    let permille = |(bare, whole): &(Run, Run)| bare.stats.wall_ns * 1000 / whole.stats.wall_ns.max(1);
    let mut shares: Vec<u64> = pairs.iter().map(permille).collect();
    shares.sort_unstable();
    let (bare, whole) = pairs.into_iter().unzip();
    add_row(job, reference_name, rows, Some(threads), bare);
    add_row(job, job.name, rows, Some(threads), whole);
    let (name, n, value) = (job.name, threads as u64, shares[shares.len() / 2]);
    let words = reference_name.replace('-', " ");
    log::info!("{name} on {n} threads: {}.{} % of the bare {words}'s speed", value / 10, value % 10);
    let suffix = if job.unit == Unit::Page1G { "-1g" } else { "" };
    let name = alloc::format!("{name}/of-{reference_name}{suffix}");
    records::emit(&Record::Bench {
        t_ns: tsc::now_ns(),
        name: &name,
        n,
        of: "threads",
        value,
        unit: "permille",
    });
    Ok(())
}

/// Makes one run and verifies its result.
fn run_once(timed: &mut dyn TimedJob, threads: Option<usize>) -> Result<Run, Failure> {
    timed.reset()?;
    let stats = timed.run(threads)?;
    let units = timed.units(&stats);
    Ok(Run { stats, units, ok: timed.verify(&stats) })
}

/// Adds the run of median time as a row. It counts as verified only if all runs were.
fn add_row(
    job: &'static Registered,
    name: &'static str,
    rows: &mut Vec<Row>,
    threads: Option<usize>,
    mut runs: Vec<Run>,
) {
    let ok = runs.iter().all(|run| run.ok);
    runs.sort_by_key(|run| run.stats.wall_ns);
    let Run { stats, units, .. } = runs.swap_remove(runs.len() / 2);
    let bytes = units * unit_bytes(job.unit);
    let row = Row { job: name, unit: job.unit, writes: job.writes, threads, units, bytes, stats, ok };
    emit(&row);
    rows.push(row);
}

/// Returns the thread counts to time: those of `timing.threads`, else powers of two and the number of CPUs. Skips counts
/// that the machine or `ktask.max_threads` does not allow.
fn thread_counts() -> Vec<usize> {
    let limit = limit();
    let mut counts: Vec<usize> = TIMING_THREADS.iter().map(|count| count as usize).collect();
    if counts.is_empty() {
        counts = (0..).map(|shift| 1 << shift).take_while(|count| *count < limit).collect();
        counts.push(limit);
    }
    counts.retain(|count| {
        if *count > limit {
            warning(format_args!("timing: {count} threads are left out, this machine allows up to {limit}"));
        }
        *count <= limit
    });
    counts
}

/// Returns the most threads that a job can have here.
pub(super) fn limit() -> usize {
    let cpus = percpu::online_count();
    match KTASK_MAX_THREADS.get() {
        _ if !KTASK_ENABLED.get() => 1,
        0 => cpus,
        limit => cpus.min(limit as usize),
    }
}
