//! How a job is timed: on each number of threads, and on as many as help. The run of median time becomes a row.

use alloc::vec::Vec;

use frames::order_pages;
use ktask::Stats;
use params::registry::{KTASK_ENABLED, KTASK_MAX_THREADS, TIMING_BYTES, TIMING_REPEAT, TIMING_THREADS};
use protocol::record::Unit;

use super::report::{Row, emit};
use crate::arch::percpu;
use crate::console::{screen, warning};
use crate::mm::huge::HugeSize;
use crate::mm::stats;

/// Share of the free memory that a job may take. The rest keeps the machine running.
const MOST_OF_FREE_PERCENT: u64 = 75;

/// The result of one run of a job.
pub(super) struct Run {
    pub(super) stats: Stats,
    pub(super) units: u64,
    pub(super) ok: bool,
}

/// Returns the thread counts to time: those of `timing.threads`, else powers of two and the number of CPUs. Skips counts
/// that the machine or `ktask.max_threads` does not allow.
pub(super) fn thread_counts() -> Vec<usize> {
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
fn limit() -> usize {
    let cpus = percpu::online_count();
    match KTASK_MAX_THREADS.get() {
        _ if !KTASK_ENABLED.get() => 1,
        0 => cpus,
        limit => cpus.min(limit as usize),
    }
}

/// Returns whether to time jobs on as many threads as help: where there is only one, there is nothing to choose.
pub(super) fn has_choice() -> bool {
    limit() > 1
}

/// Runs a job several times for each thread count, and on as many threads as help (`None`); see [`time_on`].
pub(super) fn time(
    rows: &mut Vec<Row>,
    job: &'static str,
    unit: (Unit, u64),
    mut run: impl FnMut(Option<usize>) -> Option<Run>,
) {
    let choice = has_choice().then_some(None);
    for threads in thread_counts().into_iter().map(Some).chain(choice) {
        if !time_on(rows, job, unit, threads, &mut run) {
            return;
        }
    }
}

/// Runs a job several times on `threads` threads, and keeps the run of median time. It counts as verified only if all runs
/// were. `None` from `run` ends the timing of the job: then it returns false.
pub(super) fn time_on(
    rows: &mut Vec<Row>,
    job: &'static str,
    unit: (Unit, u64),
    threads: Option<usize>,
    mut run: impl FnMut(Option<usize>) -> Option<Run>,
) -> bool {
    let _hold = screen::show_then_hold();
    // An untimed run first: the first use of code and data is slow, most of all under emulation.
    if run(threads).is_none() {
        return false;
    }
    let runs: Vec<Run> = (0..TIMING_REPEAT.get()).map_while(|_| run(threads)).collect();
    let is_whole = runs.len() as u64 == TIMING_REPEAT.get();
    if is_whole {
        add_row(rows, job, unit, threads, runs);
    }
    is_whole
}

/// Adds the run of median time as a row.
pub(super) fn add_row(
    rows: &mut Vec<Row>,
    job: &'static str,
    (unit, unit_bytes): (Unit, u64),
    threads: Option<usize>,
    mut runs: Vec<Run>,
) {
    let ok = runs.iter().all(|run| run.ok);
    runs.sort_by_key(|run| run.stats.wall_ns);
    let Run { stats, units, .. } = runs.swap_remove(runs.len() / 2);
    let row = Row { job, unit, threads, units, bytes: units * unit_bytes, stats, ok };
    emit(&row);
    rows.push(row);
}

/// Returns how much memory a job may use, in whole units of `unit_bytes`; 0 if there is not enough for one.
pub(super) fn bytes_for(job: &str, unit_bytes: u64) -> u64 {
    most_of(TIMING_BYTES.get_bytes(), job, unit_bytes)
}

/// Returns `wanted` bytes, or as many as are available, in whole units.
pub(super) fn most_of(wanted: u64, job: &str, unit_bytes: u64) -> u64 {
    let free = stats::free_pages() * frames::PAGE_SIZE;
    let most = free / 100 * MOST_OF_FREE_PERCENT;
    if wanted > most {
        log::info!("{job}: {} MiB instead of {} MiB, {} MiB are free", most >> 20, wanted >> 20, free >> 20);
    }
    wanted.min(most) / unit_bytes * unit_bytes
}

/// Returns whether as many pages are free as before. Tolerates less than one page of `size`: workers and their stacks come
/// and go meanwhile.
pub(super) fn is_all_returned(free_before: u64, size: HugeSize) -> bool {
    free_before.abs_diff(stats::free_pages()) < order_pages(size.order())
}
