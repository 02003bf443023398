//! Times dropping the last handle of a huge-page file.

use ktask::Stats;

use crate::arch::tsc;
use crate::jobs::timing::{Budget, Failure, FilledFile, JobStats, TimedJob};
use crate::timed_jobs;

struct DropFile(FilledFile);

impl TimedJob for DropFile {
    fn prepare(budget: &Budget) -> Result<Self, Failure> {
        FilledFile::untouched(budget).map(Self)
    }

    fn reset(&mut self) -> Result<(), Failure> {
        self.0.fill_anew_dirty()
    }

    fn run(&mut self, threads: Option<usize>) -> Result<JobStats, Failure> {
        let file = self.0.take()?;
        let start_ns = tsc::now_ns();
        let mut stats = file.close(threads).ok_or("the file has another handle")?;
        stats.wall_ns = tsc::since_ns(start_ns);
        Ok(stats.into())
    }

    fn verify(&mut self, stats: &Stats) -> bool {
        stats.units == self.0.count() && self.0.is_released()
    }
}

timed_jobs! { "drop": DropFile { order: 80, unit: Page2M, writes: false } }
