//! Times the reservation of huge pages.

use alloc::vec::Vec;

use protocol::record::Unit;

use super::report::{OnThreads, Row};
use super::runner::{Run, bytes_for, is_all_returned, time};
use crate::console::warning;
use crate::jobs::huge_reserve::{self, ReserveError};
use crate::mm::huge::HugeSize;
use crate::mm::stats;
use crate::platform::nodes;

pub(super) fn time_job(rows: &mut Vec<Row>, size: HugeSize) {
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
    let (dirty, _) = huge_reserve::reserve(size, count, None)?;
    huge_reserve::poison(&dirty);
    drop(dirty);
    let (reservation, stats) = huge_reserve::reserve(size, count, threads)?;
    Ok(Run { stats, units: reservation.held(), ok: huge_reserve::verify(&reservation) })
}
