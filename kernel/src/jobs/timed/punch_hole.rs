//! Times returning the pages of a huge-page file to their pool.

use ktask::Stats;

use crate::jobs::timing::{Budget, Failure, FilledFile, JobStats, TimedJob};
use crate::timed_jobs;

struct PunchHole(FilledFile);

impl TimedJob for PunchHole {
    fn prepare(budget: &Budget) -> Result<Self, Failure> {
        FilledFile::untouched(budget).map(Self)
    }

    fn reset(&mut self) -> Result<(), Failure> {
        self.0.fill_dirty()
    }

    fn run(&mut self, threads: Option<usize>) -> Result<JobStats, Failure> {
        Ok(self.0.file()?.punch_hole_on(0, self.0.len_bytes(), threads)?.into())
    }

    fn verify(&mut self, _: &Stats) -> bool {
        self.0.file().is_ok_and(|file| file.held() == 0) && self.0.is_released()
    }
}

timed_jobs! { "punch-hole": PunchHole { order: 60, unit: Page2M, writes: false } }
