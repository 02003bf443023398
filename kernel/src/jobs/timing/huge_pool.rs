//! Times a pool of huge pages that grows.

use alloc::vec::Vec;

use frames::policy::NodePolicy;
use protocol::record::Unit;

use super::report::Row;
use super::runner::{Run, is_all_returned, most_of, time};
use crate::arch::tsc;
use crate::console::warning;
use crate::jobs::huge_pool::{self, Request};
use crate::mm::huge::HugeSize;
use crate::mm::stats;

/// Pages that are moved to the pool and back, if there are as many.
const HUGE_POOL_PAGES: u64 = 512;

/// Times moving huge pages into the pool and back. The job takes 1 GiB, because it touches none of it.
pub(super) fn time_job(rows: &mut Vec<Row>) {
    let size = HugeSize::Size2M;
    let count = most_of(HUGE_POOL_PAGES * size.bytes(), "huge-pool", size.bytes()) / size.bytes();
    time(rows, "huge-pool", (Unit::Page2M, size.bytes()), |threads| {
        let free_before = stats::free_pages();
        let start_ns = tsc::now_ns();
        let resized = huge_pool::resize(size, whole_pool(count, threads));
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

/// Returns the request for a pool of exactly `wanted` pages.
pub(super) fn whole_pool(wanted: u64, threads: Option<usize>) -> Request {
    Request { wanted, policy: NodePolicy::Local, all_or_nothing: true, threads }
}
