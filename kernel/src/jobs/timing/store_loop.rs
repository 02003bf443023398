//! The bare store loop, with which jobs over files are compared.

use alloc::vec::Vec;

use frames::{Pfn, order_pages};

use super::filled_file::FilledFile;
use super::job::{Failure, Reference, Run};
use crate::arch::tlb;
use crate::jobs::store_loop;
use crate::mm::huge::HugeSize;

/// The bare loop of stores over the pages of the file, without TLB entries for them as `fallocate` has none when it takes
/// returned pages. Entries left from the last pass made the loop a tenth faster (emulators keep one for each 4 KiB).
impl Reference for FilledFile {
    fn name(&self) -> &'static str {
        "store-loop"
    }

    fn run(&mut self, threads: usize) -> Result<Run, Failure> {
        self.fill()?;
        let file = self.file()?;
        file.poison();
        // Each thread of the loop has whole blocks: parts of a page of 1 GiB.
        let order = HugeSize::Size2M.order();
        let parts = order_pages(file.size().order()) / order_pages(order);
        let pages = (0..self.count()).filter_map(|index| file.page(index));
        let blocks: Vec<Pfn> =
            pages.flat_map(|page| (0..parts).map(move |part| page + part * order_pages(order))).collect();
        tlb::flush_everywhere();
        // SAFETY: the file owns the pages (invariant 12) until the loop has ended, and no other code has the file.
        let stats = unsafe { store_loop::clear(blocks, order, threads) }?;
        Ok(Run { stats: stats.into(), units: stats.units / parts, ok: file.is_zeroed_and_complete() })
    }
}
