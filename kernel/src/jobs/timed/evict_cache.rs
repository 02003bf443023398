//! Times the eviction of pages of closed files.

use ktask::Stats;

use crate::jobs::evict_cache::evict_unused;
use crate::jobs::leaks::free_or_permanent_pages;
use crate::jobs::timing::{Budget, ClosedFiles, Failure, JobStats, TimedJob};
use crate::timed_jobs;

struct EvictCache {
    files: ClosedFiles,
    /// Free and permanent pages before the files were read.
    free_before: u64,
    /// Pages that the last run evicted.
    evicted: u64,
}

impl TimedJob for EvictCache {
    fn prepare(budget: &Budget) -> Result<Self, Failure> {
        Ok(Self { files: ClosedFiles::new(budget)?, free_before: 0, evicted: 0 })
    }

    fn reset(&mut self) -> Result<(), Failure> {
        evict_unused(None);
        (self.evicted, self.free_before) = (0, free_or_permanent_pages());
        self.files.read()
    }

    fn run(&mut self, threads: Option<usize>) -> Result<JobStats, Failure> {
        let evicted = evict_unused(threads);
        self.evicted = evicted.pages;
        Ok(evicted.stats.into())
    }

    fn units(&self, _: &Stats) -> u64 {
        self.evicted
    }

    fn verify(&mut self, _: &Stats) -> bool {
        let has_freed = free_or_permanent_pages() == self.free_before;
        self.evicted == self.files.len_pages() && has_freed && self.files.are_evicted()
    }
}

timed_jobs! { "evict-cache": EvictCache { order: 110, unit: Page4K, writes: false } }
