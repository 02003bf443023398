//! Times a page fault in a file of pages of 1 GiB, up to the first byte.

use frames::PAGE_SIZE;
use ktask::Stats;

use crate::arch::tsc;
use crate::jobs::timing::{Budget, Failure, FilledFile, JobStats, TimedJob};
use crate::mm::huge::HugeSize;
use crate::timed_jobs;

/// The file, and whether the last fault gave a zero.
struct GiganticFault(FilledFile, bool);

impl TimedJob for GiganticFault {
    fn prepare(budget: &Budget) -> Result<Self, Failure> {
        Ok(Self(FilledFile::new(budget)?, false))
    }

    fn reset(&mut self) -> Result<(), Failure> {
        self.1 = false;
        self.0.empty_dirty()
    }

    /// Reads the page's last word.
    fn run(&mut self, threads: Option<usize>) -> Result<JobStats, Failure> {
        let file = self.0.file()?;
        let word = (file.base() + HugeSize::Size1G.bytes() - 8) as *const u64;
        file.set_fault_threads(threads);
        let start_ns = tsc::now_ns();
        // SAFETY: the page fault provides the page. No other code has the file.
        let found = unsafe { word.read_volatile() };
        let wall_ns = tsc::since_ns(start_ns);
        file.set_fault_threads(None);
        let mut stats = file.last_fault().ok_or("there was no fault")?;
        stats.wall_ns = wall_ns;
        self.1 = found == 0;
        Ok(stats)
    }

    fn units(&self, _: &Stats) -> u64 {
        1
    }

    fn verify(&mut self, stats: &Stats) -> bool {
        let is_whole = stats.units == HugeSize::Size1G.bytes() / PAGE_SIZE;
        self.1 && is_whole && self.0.file().is_ok_and(|file| file.is_zeroed_and_complete())
    }
}

timed_jobs! {
    "gigantic-fault": GiganticFault { order: 100, unit: Page1G, writes: true, needs: [MapsGib, FreeGib(1)] }
}
