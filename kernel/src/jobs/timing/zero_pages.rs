//! Times the clearing of page frames.

use alloc::vec::Vec;

use protocol::record::Unit;

use super::report::Row;
use super::runner::{Run, bytes_for, time};
use crate::console::warning;
use crate::jobs::zero_pages::PageRange;

pub(super) fn time_job(rows: &mut Vec<Row>) {
    let bytes = bytes_for("zero-pages", frames::PAGE_SIZE);
    let Some(mut range) = PageRange::new(bytes) else {
        warning(format_args!("zero-pages is skipped: {} MiB of memory are not available", bytes >> 20));
        return;
    };
    time(rows, "zero-pages", (Unit::Page4K, frames::PAGE_SIZE), |threads| {
        range.poison();
        let stats = range.zero(threads).expect("clearing cannot fail");
        Some(Run { stats, units: stats.units, ok: stats.units == range.len_pages() && range.is_zero() })
    });
}
