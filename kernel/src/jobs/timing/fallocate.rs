//! Times `fallocate`, and the bare store loop beside it.

use alloc::vec::Vec;

use frames::Pfn;
use params::registry::TIMING_REPEAT;
use protocol::record::{Record, Unit};

use super::huge_pool::whole_pool;
use super::report::Row;
use super::runner::{Run, add_row, bytes_for, has_choice, thread_counts, time_on};
use crate::arch::{tlb, tsc};
use crate::console::{records, screen, warning};
use crate::jobs::huge_file::{HugeFile, OnError};
use crate::jobs::{huge_pool, store_loop};
use crate::mm::huge::HugeSize;

/// The name of the rows of the bare store loop.
const STORE_LOOP: &str = "store-loop";

/// Times `fallocate` of a file of huge pages from the pool, and the bare store loop over the same pages, alternately. Both
/// start without TLB entries for these pages, as `fallocate` does when it takes returned pages. Entries left from the last
/// pass made the loop alone a tenth faster (emulators keep one for each 4 KiB).
pub(super) fn time_job(rows: &mut Vec<Row>) {
    let size = HugeSize::Size2M;
    let count = bytes_for("fallocate", size.bytes()) / size.bytes();
    let file = HugeFile::new(size, count * size.bytes());
    let pool = huge_pool::resize(size, whole_pool(count, None));
    match (&file, &pool) {
        (Ok(file), Ok(_)) => {
            let len_bytes = count * size.bytes();
            thread_counts().into_iter().for_each(|threads| time_file(rows, file, len_bytes, threads));
            if has_choice() {
                let unit = (Unit::Page2M, size.bytes());
                time_on(rows, "fallocate", unit, None, |threads| fallocate_once(file, len_bytes, threads));
            }
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
    let run = || {
        Some((store_loop_once(file, len_bytes, threads)?, fallocate_once(file, len_bytes, Some(threads))?))
    };
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
    add_row(rows, STORE_LOOP, unit, Some(threads), bare);
    add_row(rows, "fallocate", unit, Some(threads), whole);
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
fn fallocate_once(file: &HugeFile, len_bytes: u64, threads: Option<usize>) -> Option<Run> {
    let allocate = |threads| {
        let result = file.fallocate(0, len_bytes, OnError::Release, threads);
        result.inspect_err(|error| warning(format_args!("fallocate: {error}"))).ok()
    };
    allocate(None)?;
    file.poison();
    file.punch_hole(0, len_bytes).ok()?;
    tlb::flush_everywhere();
    let stats = allocate(threads)?;
    let ok = file.is_zeroed_and_complete();
    file.punch_hole(0, len_bytes).ok()?;
    Some(Run { stats, units: stats.units, ok })
}
