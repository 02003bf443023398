//! The timing run: each job on 1, 2, ... threads, over warm memory. Every result is verified outside the timed section.

use alloc::vec::Vec;

use frames::policy::{NodePolicy, NodeSet};
use frames::{Pfn, order_pages};
use ktask::Stats;
use params::registry::{KTASK_ENABLED, KTASK_MAX_THREADS, TIMING_BYTES, TIMING_REPEAT, TIMING_THREADS};
use protocol::record::{Record, Unit};

mod gigantic;
mod report;

use report::{Row, emit, print_table};

use crate::arch::{percpu, tlb, tsc};
use crate::console::{records, screen, warning};
use crate::jobs::huge_file::{HugeFile, OnError};
use crate::jobs::huge_pool::{self, Request};
use crate::jobs::huge_reserve::{self, ReserveError};
use crate::jobs::memory_map_init::Shadow;
use crate::jobs::store_loop;
use crate::jobs::zero_pages::PageRange;
use crate::mm::huge::HugeSize;
use crate::mm::stats;
use crate::platform::nodes;

/// Share of the free memory that a job may take. The rest keeps the machine running.
const MOST_OF_FREE_PERCENT: u64 = 75;
/// Pages that are moved to the pool and back, if there are as many.
const HUGE_POOL_PAGES: u64 = 512;
/// The name of the rows of the bare store loop.
const STORE_LOOP: &str = "store-loop";

/// The result of one run of a job.
struct Run {
    stats: Stats,
    units: u64,
    ok: bool,
}

/// The names of the jobs, as [`run`] accepts them.
pub const JOBS: &[&str] = &[
    "memory-map-init",
    "zero-pages",
    "huge-reserve",
    "huge-pool",
    "fallocate",
    "gigantic-page",
    "gigantic-fault",
];

/// Times all jobs, or one of [`JOBS`], and prints the table. Returns false if a result was wrong.
pub fn run(only: Option<&str>) -> bool {
    let mut rows = Vec::new();
    for job in JOBS.iter().filter(|job| only.is_none_or(|only| only == **job)) {
        match *job {
            "memory-map-init" => time_memory_map_init(&mut rows),
            "zero-pages" => time_zero_pages(&mut rows),
            "huge-reserve" => {
                time_huge_reserve(&mut rows, HugeSize::Size2M);
                time_huge_reserve(&mut rows, HugeSize::Size1G);
            }
            "huge-pool" => time_huge_pool(&mut rows),
            "fallocate" => time_fallocate(&mut rows),
            "gigantic-page" => gigantic::time_page(&mut rows),
            "gigantic-fault" => gigantic::time_fault(&mut rows),
            job => unreachable!("job {job} is listed but not timed"),
        }
    }
    print_table(&rows);
    rows.iter().all(|row| row.ok)
}

/// Returns the thread counts to time: those of `timing.threads`, else powers of two and the number of CPUs. Skips counts
/// that the machine or `ktask.max_threads` does not allow.
fn thread_counts() -> Vec<usize> {
    let cpus = percpu::online_count();
    let limit = match KTASK_MAX_THREADS.get() {
        _ if !KTASK_ENABLED.get() => 1,
        0 => cpus,
        limit => cpus.min(limit as usize),
    };
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

/// Runs a job several times for each thread count, and keeps the run of median time. It counts as verified only if all runs
/// were. `None` from `run` ends the timing of the job.
fn time(
    rows: &mut Vec<Row>,
    job: &'static str,
    (unit, unit_bytes): (Unit, u64),
    mut run: impl FnMut(usize) -> Option<Run>,
) {
    for threads in thread_counts() {
        let _hold = screen::show_then_hold();
        // An untimed run first: the first use of code and data is slow, most of all under emulation.
        if run(threads).is_none() {
            return;
        }
        let runs: Vec<Run> = (0..TIMING_REPEAT.get()).map_while(|_| run(threads)).collect();
        if (runs.len() as u64) < TIMING_REPEAT.get() {
            return;
        }
        add_row(rows, job, (unit, unit_bytes), threads, runs);
    }
}

/// Adds the run of median time as a row.
fn add_row(
    rows: &mut Vec<Row>,
    job: &'static str,
    (unit, unit_bytes): (Unit, u64),
    threads: usize,
    mut runs: Vec<Run>,
) {
    let ok = runs.iter().all(|run| run.ok);
    runs.sort_by_key(|run| run.stats.wall_ns);
    let Run { stats, units, .. } = runs.swap_remove(runs.len() / 2);
    let row = Row { job, unit, threads, units, bytes: units * unit_bytes, stats, ok };
    emit(&row);
    rows.push(row);
}

fn time_memory_map_init(rows: &mut Vec<Row>) {
    let Some(mut shadow) = Shadow::new() else {
        warning(format_args!("memory-map-init is skipped: no memory for a second descriptor array"));
        return;
    };
    time(rows, "memory-map-init", (Unit::Page4K, frames::PAGE_SIZE), |threads| match shadow.run(threads) {
        Ok(run) => Some(Run { stats: run.stats, units: run.units, ok: run.ok }),
        Err(error) => {
            warning(format_args!("memory-map-init on {threads} threads: {error:#}"));
            None
        }
    });
}

/// Returns how much memory a job may use, in whole units of `unit_bytes`; 0 if there is not enough for one.
fn bytes_for(job: &str, unit_bytes: u64) -> u64 {
    most_of(TIMING_BYTES.get_bytes(), job, unit_bytes)
}

/// Returns `wanted` bytes, or as many as are available, in whole units.
fn most_of(wanted: u64, job: &str, unit_bytes: u64) -> u64 {
    let free = stats::free_pages() * frames::PAGE_SIZE;
    let most = free / 100 * MOST_OF_FREE_PERCENT;
    if wanted > most {
        log::info!("{job}: {} MiB instead of {} MiB, {} MiB are free", most >> 20, wanted >> 20, free >> 20);
    }
    wanted.min(most) / unit_bytes * unit_bytes
}

fn time_zero_pages(rows: &mut Vec<Row>) {
    let bytes = bytes_for("zero-pages", frames::PAGE_SIZE);
    let Some(mut range) = PageRange::new(HugeSize::Size2M, bytes) else {
        warning(format_args!("zero-pages is skipped: {} MiB of memory are not available", bytes >> 20));
        return;
    };
    time(rows, "zero-pages", (Unit::Page4K, frames::PAGE_SIZE), |threads| {
        range.poison();
        let stats = range.zero(threads).expect("clearing cannot fail");
        Some(Run { stats, units: stats.units, ok: stats.units == range.len_pages() && range.is_zero() })
    });
}

fn time_huge_reserve(rows: &mut Vec<Row>, size: HugeSize) {
    let count = bytes_for("huge-reserve", size.bytes()) / size.bytes();
    let has_one = (0..nodes::nodes().len()).any(|node| stats::free_blocks_on(node, size.order()) > 0);
    if count == 0 || !has_one {
        match size {
            HugeSize::Size2M => warning(format_args!("huge-reserve is skipped: no free huge page of {size}")),
            // Small machines have none: that is no error.
            HugeSize::Size1G => {
                log::info!("huge-reserve: no free huge page of {size}, or timing.bytes is less")
            }
        }
        return;
    }
    let unit = match size {
        HugeSize::Size2M => Unit::Page2M,
        HugeSize::Size1G => Unit::Page1G,
    };
    time(rows, "huge-reserve", (unit, size.bytes()), |threads| {
        let free_before = stats::free_pages();
        let run = reserve_once(size, count, threads)
            .inspect_err(|error| {
                let unit = size;
                warning(format_args!("huge-reserve: {count} pages of {unit} on {threads} threads: {error}"));
            })
            .ok();
        run.map(|run| Run { ok: run.ok && is_all_returned(free_before, size), ..run })
    });
}

/// Returns whether as many pages are free as before. Tolerates less than one page of `size`: workers and their stacks come
/// and go meanwhile.
fn is_all_returned(free_before: u64, size: HugeSize) -> bool {
    free_before.abs_diff(stats::free_pages()) < order_pages(size.order())
}

/// Times moving huge pages into the pool and back. The job takes 1 GiB, because it touches none of it.
fn time_huge_pool(rows: &mut Vec<Row>) {
    let size = HugeSize::Size2M;
    let count = most_of(HUGE_POOL_PAGES * size.bytes(), "huge-pool", size.bytes()) / size.bytes();
    time(rows, "huge-pool", (Unit::Page2M, size.bytes()), |threads| {
        let free_before = stats::free_pages();
        let start_ns = tsc::now_ns();
        let resized = huge_pool::resize(size, whole_pool(count, Some(threads)));
        let held = resized.as_ref().map_or(0, |resized| resized.total);
        let emptied = huge_pool::resize(size, whole_pool(0, None));
        let wall_ns = tsc::since_ns(start_ns);
        if let Err(error) = &resized {
            warning(format_args!("huge-pool: {error}"));
        }
        let ok = held == count && emptied.is_ok() && is_all_returned(free_before, size);
        let mut stats = resized.ok()?.stats;
        stats.wall_ns = wall_ns;
        Some(Run { stats, units: count, ok })
    });
}

fn whole_pool(wanted: u64, threads: Option<usize>) -> Request {
    // From all nodes alike, so that each CPU has near memory to work on.
    Request { wanted, policy: NodePolicy::Interleave(NodeSet::ALL), all_or_nothing: true, threads }
}

/// Times `fallocate` of a file of huge pages from the pool, and the bare store loop over the same pages, alternately. Both
/// start without TLB entries for these pages, as `fallocate` does when it takes returned pages. Entries left from the last
/// pass made the loop alone a tenth faster (emulators keep one for each 4 KiB).
fn time_fallocate(rows: &mut Vec<Row>) {
    let size = HugeSize::Size2M;
    let count = bytes_for("fallocate", size.bytes()) / size.bytes();
    let file = HugeFile::new(size, count * size.bytes());
    let pool = huge_pool::resize(size, whole_pool(count, None));
    match (&file, &pool) {
        (Ok(file), Ok(_)) => {
            thread_counts()
                .into_iter()
                .for_each(|threads| time_file(rows, file, count * size.bytes(), threads));
        }
        (Err(error), _) => warning(format_args!("fallocate is skipped: {error}")),
        (_, Err(error)) => warning(format_args!("fallocate is skipped: {error}")),
    }
    drop(file);
    if let Err(error) = huge_pool::resize(size, whole_pool(0, None)) {
        warning(format_args!("fallocate: {error}"));
    }
}

/// Adds both rows for a number of threads, and reports the share of the store loop's speed that `fallocate` reaches.
fn time_file(rows: &mut Vec<Row>, file: &HugeFile, len_bytes: u64, threads: usize) {
    let run =
        || Some((store_loop_once(file, len_bytes, threads)?, fallocate_once(file, len_bytes, threads)?));
    let _hold = screen::show_then_hold();
    // An untimed run first, as in `time`.
    if run().is_none() {
        return;
    }
    let pairs: Vec<(Run, Run)> = (0..TIMING_REPEAT.get()).map_while(|_| run()).collect();
    if (pairs.len() as u64) < TIMING_REPEAT.get() {
        return;
    }
    let permille = |(bare, whole): &(Run, Run)| bare.stats.wall_ns * 1000 / whole.stats.wall_ns.max(1);
    let mut shares: Vec<u64> = pairs.iter().map(permille).collect();
    shares.sort_unstable();
    let (bare, whole) = pairs.into_iter().unzip();
    let unit = (Unit::Page2M, HugeSize::Size2M.bytes());
    add_row(rows, STORE_LOOP, unit, threads, bare);
    add_row(rows, "fallocate", unit, threads, whole);
    let (n, value) = (threads as u64, shares[shares.len() / 2]);
    log::info!("fallocate on {n} threads: {}.{} % of the bare store loop's speed", value / 10, value % 10);
    let name = "fallocate/of-store-loop";
    records::emit(&Record::Bench { t_ns: tsc::now_ns(), name, n, of: "threads", value, unit: "permille" });
}

/// Dirties all pages of the file, then times clearing them by the bare loop.
fn store_loop_once(file: &HugeFile, len_bytes: u64, threads: usize) -> Option<Run> {
    let filled = file.fallocate(0, len_bytes, OnError::Release, None);
    filled.inspect_err(|error| warning(format_args!("{STORE_LOOP}: {error:#}"))).ok()?;
    file.poison();
    let order = HugeSize::Size2M.order();
    let blocks: Vec<Pfn> =
        (0..len_bytes / HugeSize::Size2M.bytes()).filter_map(|index| file.page(index)).collect();
    tlb::flush_everywhere();
    // SAFETY: the file owns the pages (invariant 12) until the loop has ended, and no other code has the file.
    let stats = unsafe { store_loop::clear(blocks, order, threads) };
    let stats = stats.inspect_err(|error| warning(format_args!("{STORE_LOOP}: {error:#}"))).ok()?;
    let ok = file.is_zeroed_and_complete();
    file.punch_hole(0, len_bytes).ok()?;
    Some(Run { stats, units: stats.units, ok })
}

/// Dirties all pages of the file and returns them to the pool, then times allocating them.
fn fallocate_once(file: &HugeFile, len_bytes: u64, threads: usize) -> Option<Run> {
    let allocate = |threads| {
        let result = file.fallocate(0, len_bytes, OnError::Release, threads);
        result.inspect_err(|error| warning(format_args!("fallocate: {error}"))).ok()
    };
    allocate(None)?;
    file.poison();
    file.punch_hole(0, len_bytes).ok()?;
    tlb::flush_everywhere();
    let stats = allocate(Some(threads))?;
    let ok = file.is_zeroed_and_complete();
    let units = file.held();
    file.punch_hole(0, len_bytes).ok()?;
    Some(Run { stats, units, ok })
}

/// Warms and dirties the pages, then times reserving them.
fn reserve_once(size: HugeSize, count: u64, threads: usize) -> Result<Run, ReserveError> {
    let (mut dirty, _) = huge_reserve::reserve(size, count, None)?;
    huge_reserve::poison(&mut dirty);
    drop(dirty);
    let (mut reservation, stats) = huge_reserve::reserve(size, count, Some(threads))?;
    Ok(Run { stats, units: reservation.held(), ok: huge_reserve::verify(&mut reservation) })
}
