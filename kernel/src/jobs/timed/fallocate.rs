//! Times `fallocate`, and the bare store loop beside it: over many pages of 2 MiB, or one page of 1 GiB.

use ktask::Stats;

use crate::jobs::huge_file::OnError;
use crate::jobs::timing::{Budget, Failure, FilledFile, JobStats, Reference, TimedJob};
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
        Some(&mut self.0)
    }
}

timed_jobs! {
    "fallocate": Fallocate { order: 50, unit: Page2M, writes: true }
    "fallocate": Fallocate { order: 51, unit: Page1G, writes: true, needs: [MapsGib, FreeGib(1)] }
}
