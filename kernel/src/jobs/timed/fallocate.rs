//! Times `fallocate`, and the bare store loop beside it: over many pages of 2 MiB, or one page of 1 GiB.
//!
//! Both start without TLB entries for these pages, as `fallocate` does when it takes returned pages. Entries left from the last
//! pass made the loop alone a tenth faster (emulators keep one for each 4 KiB).

use alloc::vec::Vec;

use frames::{Pfn, order_pages};
use ktask::Stats;

use crate::arch::tlb;
use crate::jobs::huge_file::OnError;
use crate::jobs::store_loop;
use crate::jobs::timing::{Budget, Failure, FilledFile, JobStats, Reference, Run, TimedJob};
use crate::mm::huge::HugeSize;
use crate::timed_jobs;

struct Fallocate(FilledFile);

impl TimedJob for Fallocate {
    fn prepare(budget: &Budget) -> Result<Self, Failure> {
        FilledFile::new(budget).map(Self)
    }

    fn reset(&mut self) -> Result<(), Failure> {
        self.0.empty_dirty()
    }

    fn run(&mut self, threads: Option<usize>) -> Result<JobStats, Failure> {
        Ok(self.0.file()?.fallocate(0, self.0.len_bytes(), OnError::Release, threads)?)
    }

    fn units(&self, _: &Stats) -> u64 {
        self.0.file().map_or(0, |file| file.held())
    }

    fn verify(&mut self, _: &Stats) -> bool {
        self.0.file().is_ok_and(|file| file.is_zeroed_and_complete())
    }

    fn reference(&mut self) -> Option<&mut dyn Reference> {
        Some(self)
    }
}

impl Reference for Fallocate {
    fn name(&self) -> &'static str {
        "store-loop"
    }

    /// Dirties all pages of the file, then times clearing them by the bare loop.
    fn run(&mut self, threads: usize) -> Result<Run, Failure> {
        self.0.fill()?;
        let file = self.0.file()?;
        file.poison();
        // Each thread of the loop has whole blocks: parts of a page of 1 GiB.
        let order = HugeSize::Size2M.order();
        let parts = order_pages(file.size().order()) / order_pages(order);
        let pages = (0..self.0.count()).filter_map(|index| file.page(index));
        let blocks: Vec<Pfn> =
            pages.flat_map(|page| (0..parts).map(move |part| page + part * order_pages(order))).collect();
        tlb::flush_everywhere();
        // SAFETY: the file owns the pages (invariant 12) until the loop has ended, and no other code has the file.
        let stats = unsafe { store_loop::clear(blocks, order, threads) }?;
        Ok(Run { stats: stats.into(), units: stats.units / parts, ok: file.is_zeroed_and_complete() })
    }
}

timed_jobs! {
    "fallocate": Fallocate { order: 50, unit: Page2M, writes: true }
    "fallocate": Fallocate { order: 51, unit: Page1G, writes: true, needs: [MapsGib, FreeGib(1)] }
}
