//! Times memory map init, on descriptors made for that.

use alloc::vec::Vec;

use protocol::record::Unit;

use super::report::{OnThreads, Row};
use super::runner::{Run, time};
use crate::console::warning;
use crate::jobs::memory_map_init::Shadow;

/// Pages whose descriptors make a run of some milliseconds: 16 GiB. Those of 4 GiB take one, as long as it takes to start a few
/// helpers. Smaller machines have several sets of descriptors for that.
const DESCRIBED_PAGES: u64 = 1 << 22;

pub(super) fn time_job(rows: &mut Vec<Row>) {
    let Some(mut shadow) = Shadow::describing(DESCRIBED_PAGES) else {
        warning(format_args!("memory-map-init is skipped: no memory for a second descriptor array"));
        return;
    };
    time(rows, "memory-map-init", (Unit::Page4K, frames::PAGE_SIZE), |threads| match shadow.run(threads) {
        Ok(run) => Some(Run { stats: run.stats, units: run.units, ok: run.ok }),
        Err(error) => {
            warning(format_args!("memory-map-init on {}: {error:#}", OnThreads(threads)));
            None
        }
    });
}
