//! Times a pool of huge pages that grows and shrinks.

use frames::order_pages;
use ktask::Stats;

use crate::arch::tsc;
use crate::jobs::huge_pool;
use crate::jobs::timing::{Budget, Failure, JobStats, TimedJob, whole_pool};
use crate::mm::huge::HugeSize;
use crate::mm::stats;
use crate::timed_jobs;

const SIZE: HugeSize = HugeSize::Size2M;

struct HugePool {
    count: u64,
    free_before: u64,
    /// Pages that the pool had in the last run, when it was full.
    held: u64,
}

impl TimedJob for HugePool {
    /// The job may use more memory than others, because it touches none of it.
    fn prepare(budget: &Budget) -> Result<Self, Failure> {
        Ok(Self { count: budget.untouched_units(), free_before: 0, held: 0 })
    }

    fn reset(&mut self) -> Result<(), Failure> {
        huge_pool::resize(SIZE, whole_pool(0, None))?;
        self.held = 0;
        self.free_before = stats::free_pages();
        Ok(())
    }

    fn run(&mut self, threads: Option<usize>) -> Result<JobStats, Failure> {
        let start_ns = tsc::now_ns();
        let filled = huge_pool::resize(SIZE, whole_pool(self.count, threads));
        let emptied = huge_pool::resize(SIZE, whole_pool(0, threads));
        let wall_ns = tsc::since_ns(start_ns);
        let filled = filled?;
        self.held = filled.total;
        let mut stats = filled.stats;
        stats.add(&emptied?.stats);
        stats.wall_ns = wall_ns;
        Ok(stats)
    }

    fn units(&self, _: &Stats) -> u64 {
        self.held
    }

    /// Tolerates less than one page that is not back: workers and their stacks come and go meanwhile.
    fn verify(&mut self, _: &Stats) -> bool {
        self.held == self.count && self.free_before.abs_diff(stats::free_pages()) < order_pages(SIZE.order())
    }
}

timed_jobs! { "huge-pool": HugePool { order: 40, unit: Page2M, writes: false } }
