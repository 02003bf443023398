//! Times the reservation of huge pages.

use frames::order_pages;
use ktask::Stats;

use crate::jobs::huge_reserve;
use crate::jobs::timing::{Budget, Failure, JobStats, TimedJob};
use crate::mm::huge::{HugeSize, Reservation};
use crate::mm::stats;
use crate::timed_jobs;

struct HugeReserve {
    size: HugeSize,
    count: u64,
    free_before: u64,
    /// What the last run reserved.
    reserved: Option<Reservation>,
}

impl TimedJob for HugeReserve {
    fn prepare(budget: &Budget) -> Result<Self, Failure> {
        let (size, count) = (budget.huge_size(), budget.units());
        match count {
            0 => Err(alloc::format!("no free huge page of {size}").into()),
            _ => Ok(Self { size, count, free_before: 0, reserved: None }),
        }
    }

    /// Warms and dirties the pages.
    fn reset(&mut self) -> Result<(), Failure> {
        self.reserved = None;
        let (mut dirty, _) = huge_reserve::reserve(self.size, self.count, None)?;
        huge_reserve::poison(&mut dirty);
        drop(dirty);
        self.free_before = stats::free_pages();
        Ok(())
    }

    fn run(&mut self, threads: Option<usize>) -> Result<JobStats, Failure> {
        let (reserved, stats) = huge_reserve::reserve(self.size, self.count, threads)?;
        self.reserved = Some(reserved);
        Ok(stats)
    }

    fn units(&self, _: &Stats) -> u64 {
        self.reserved.as_ref().map_or(0, Reservation::held)
    }

    /// Also checks that all pages are free again after their release. Tolerates less than one page: workers and their stacks
    /// come and go meanwhile.
    fn verify(&mut self, _: &Stats) -> bool {
        let reserved = self.reserved.take();
        let is_right = reserved.is_some_and(|mut reserved| huge_reserve::verify(&mut reserved));
        is_right && self.free_before.abs_diff(stats::free_pages()) < order_pages(self.size.order())
    }
}

timed_jobs! {
    "huge-reserve": HugeReserve { order: 30, unit: Page2M, writes: true }
    "huge-reserve": HugeReserve { order: 31, unit: Page1G, writes: true, needs: [FreeGib(1)] }
}
