//! Times the truncation of a huge-page file to nothing.

use ktask::Stats;

use crate::jobs::huge_file::OnError;
use crate::jobs::timing::{Budget, Failure, FilledFile, JobStats, TimedJob};
use crate::timed_jobs;

struct Truncate(FilledFile);

impl TimedJob for Truncate {
    fn prepare(budget: &Budget) -> Result<Self, Failure> {
        FilledFile::untouched(budget).map(Self)
    }

    fn reset(&mut self) -> Result<(), Failure> {
        self.0.fill_anew_dirty()
    }

    fn run(&mut self, threads: Option<usize>) -> Result<JobStats, Failure> {
        Ok(self.0.file()?.truncate_on(0, threads)?.into())
    }

    /// Also checks that the file takes no page any more.
    fn verify(&mut self, _: &Stats) -> bool {
        let len_bytes = self.0.len_bytes();
        let is_ended =
            self.0.file().is_ok_and(|file| file.fallocate(0, len_bytes, OnError::Release, None).is_err());
        is_ended && self.0.is_released()
    }
}

timed_jobs! { "truncate": Truncate { order: 70, unit: Page2M, writes: false } }
