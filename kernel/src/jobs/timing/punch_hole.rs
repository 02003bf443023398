//! Times returning the pages of a huge-page file to their pool.

use alloc::vec::Vec;

use super::huge_pool::whole_pool;
use super::report::Row;
use super::runner::{Run, bytes_for, time, unit};
use crate::console::warning;
use crate::jobs::huge_file::{HugeFile, OnError};
use crate::jobs::huge_pool as pool_job;
use crate::mm::huge::HugeSize;
use crate::mm::{huge_pool, space};

const SIZE: HugeSize = HugeSize::Size2M;

pub(super) fn time_job(rows: &mut Vec<Row>) {
    let count = bytes_for("punch-hole", SIZE.bytes()) / SIZE.bytes();
    let file = HugeFile::new(SIZE, count * SIZE.bytes());
    let pool = pool_job::resize(SIZE, whole_pool(count, None));
    match (&file, &pool) {
        (Ok(file), Ok(_)) => {
            time(rows, "punch-hole", unit(SIZE), |threads| punch_once(file, count, threads));
        }
        (Err(error), _) => warning(format_args!("punch-hole is skipped: {error}")),
        (_, Err(error)) => warning(format_args!("punch-hole is skipped: {error}")),
    }
    drop(file);
    if let Err(error) = pool_job::resize(SIZE, whole_pool(0, None)) {
        warning(format_args!("punch-hole: {error}"));
    }
}

/// Provides all pages of the file, then times taking them away.
fn punch_once(file: &HugeFile, count: u64, threads: Option<usize>) -> Option<Run> {
    let len_bytes = count * SIZE.bytes();
    let filled = file.fallocate(0, len_bytes, OnError::Release, None);
    filled.inspect_err(|error| warning(format_args!("punch-hole: {error:#}"))).ok()?;
    let (held, pool) = (file.held(), huge_pool::pool(SIZE));
    let free_before = pool.free();
    let punched = file.punch_hole_on(0, len_bytes, threads);
    let stats = punched.inspect_err(|error| warning(format_args!("punch-hole: {error}"))).ok()?;
    let is_mapped =
        |index| space::with_tables(|tables| tables.translate(file.base() + index * SIZE.bytes())).is_some();
    let is_gone = file.held() == 0 && !(0..count).any(is_mapped);
    let ok = held == count && is_gone && pool.free() == free_before + count;
    Some(Run { stats, units: stats.units, ok })
}
