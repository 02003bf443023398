//! One page of 1 GiB: cleared by several threads, and provided by a page fault.

use alloc::vec::Vec;

use frames::PAGE_SIZE;
use ktask::Stats;

use super::huge_pool::whole_pool;
use super::report::Row;
use super::runner::{Run, has_mappable_page, has_page, time, unit};
use crate::arch::{tlb, tsc};
use crate::console::warning;
use crate::jobs::huge_file::HugeFile;
use crate::jobs::huge_pool;
use crate::jobs::zero_pages::PageRange;
use crate::mm::huge::HugeSize;

const SIZE: HugeSize = HugeSize::Size1G;

/// Times clearing one page of 1 GiB.
pub(super) fn time_page(rows: &mut Vec<Row>) {
    if !has_page("gigantic-page") {
        return;
    }
    let Some(mut page) = PageRange::new(SIZE, SIZE.bytes()) else {
        warning(format_args!("gigantic-page is skipped: the page of {SIZE} is gone"));
        return;
    };
    time(rows, "gigantic-page", unit(SIZE), |threads| {
        page.poison();
        let stats = page.zero(threads).expect("clearing cannot fail");
        Some(Run { stats, units: 1, ok: stats.units == page.len_pages() && page.is_zero() })
    });
}

/// Times a page fault in a file of pages of 1 GiB, up to the first byte.
pub(super) fn time_fault(rows: &mut Vec<Row>) {
    if !has_mappable_page("gigantic-fault") {
        return;
    }
    let file = HugeFile::new(SIZE, SIZE.bytes());
    let pool = huge_pool::resize(SIZE, whole_pool(1, None));
    match (&file, &pool) {
        (Ok(file), Ok(_)) => {
            time(rows, "gigantic-fault", unit(SIZE), |threads| fault_once(file, threads));
        }
        (Err(error), _) => warning(format_args!("gigantic-fault is skipped: {error}")),
        (_, Err(error)) => warning(format_args!("gigantic-fault is skipped: {error}")),
    }
    drop(file);
    if let Err(error) = huge_pool::resize(SIZE, whole_pool(0, None)) {
        warning(format_args!("gigantic-fault: {error}"));
    }
}

/// Dirties the page and returns it to the pool, then times reading its last word.
fn fault_once(file: &HugeFile, threads: Option<usize>) -> Option<Run> {
    let word = (file.base() + SIZE.bytes() - 8) as *const u64;
    // SAFETY: the file is mapped there, or the page fault provides the page. No other code has the file.
    let read = || unsafe { word.read_volatile() };
    read();
    file.poison();
    file.punch_hole(0, SIZE.bytes()).ok()?;
    tlb::flush_everywhere();
    file.set_fault_threads(threads);
    let start_ns = tsc::now_ns();
    let found = read();
    let wall_ns = tsc::since_ns(start_ns);
    file.set_fault_threads(None);
    let mut stats: Stats = file.last_fault()?;
    let ok = found == 0 && stats.units == SIZE.bytes() / PAGE_SIZE && file.is_zeroed_and_complete();
    stats.wall_ns = wall_ns;
    Some(Run { stats, units: 1, ok })
}
