//! Times the clearing of page frames.

use frames::PAGE_SIZE;
use ktask::Stats;

use crate::jobs::timing::{Budget, Failure, JobStats, TimedJob};
use crate::jobs::zero_pages::PageRange;
use crate::mm::huge::HugeSize;
use crate::timed_jobs;

impl TimedJob for PageRange {
    fn prepare(budget: &Budget) -> Result<Self, Failure> {
        let bytes = budget.bytes(PAGE_SIZE);
        let missing = || alloc::format!("{} MiB of memory are not available", bytes >> 20);
        Ok(Self::new(HugeSize::Size2M, bytes).ok_or_else(missing)?)
    }

    fn reset(&mut self) -> Result<(), Failure> {
        self.poison();
        Ok(())
    }

    fn run(&mut self, threads: Option<usize>) -> Result<JobStats, Failure> {
        Ok(self.zero(threads)?)
    }

    fn verify(&mut self, stats: &Stats) -> bool {
        stats.units == self.len_pages() && self.is_zero()
    }
}

timed_jobs! { "zero-pages": PageRange { order: 20, unit: Page4K, writes: true } }
