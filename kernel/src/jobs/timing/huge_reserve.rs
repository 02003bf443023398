//! Times the reservation of huge pages.

use alloc::vec::Vec;

use super::report::{OnThreads, Row};
use super::runner::{Run, bytes_for, has_page, is_all_returned, time, unit};
use crate::console::warning;
use crate::jobs::huge_reserve::{self, ReserveError};
use crate::mm::huge::HugeSize;
use crate::mm::stats;

pub(super) fn time_job(rows: &mut Vec<Row>, size: HugeSize) {
    let count = bytes_for("huge-reserve", size.bytes()) / size.bytes();
    match size {
        HugeSize::Size2M if count == 0 => {
            return warning(format_args!("huge-reserve is skipped: no free huge page of {size}"));
        }
        HugeSize::Size1G if count == 0 || !has_page("huge-reserve") => return,
        _ => {}
    }
    time(rows, "huge-reserve", unit(size), |threads| {
        let free_before = stats::free_pages();
        let run = reserve_once(size, count, threads)
            .inspect_err(|error| {
                let unit = size;
                warning(format_args!(
                    "huge-reserve: {count} pages of {unit} on {}: {error}",
                    OnThreads(threads)
                ));
            })
            .ok();
        run.map(|run| Run { ok: run.ok && is_all_returned(free_before, size), ..run })
    });
}

/// Warms and dirties the pages, then times reserving them.
fn reserve_once(size: HugeSize, count: u64, threads: Option<usize>) -> Result<Run, ReserveError> {
    let (mut dirty, _) = huge_reserve::reserve(size, count, None)?;
    huge_reserve::poison(&mut dirty);
    drop(dirty);
    let (mut reservation, stats) = huge_reserve::reserve(size, count, threads)?;
    Ok(Run { stats, units: reservation.held(), ok: huge_reserve::verify(&mut reservation) })
}
