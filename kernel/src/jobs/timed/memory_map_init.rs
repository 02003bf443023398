//! Times memory map init, on descriptors made for that.

use ktask::Stats;

use crate::jobs::memory_map_init::{Shadow, ShadowRun};
use crate::jobs::timing::{Budget, Failure, JobStats, TimedJob};
use crate::timed_jobs;

/// Pages whose descriptors make a run of some milliseconds: 16 GiB. Those of 4 GiB take one, as long as it takes to start a few
/// helpers. Smaller machines have several sets of descriptors for that.
const DESCRIBED_PAGES: u64 = 1 << 22;

/// The descriptors, and the last run on them.
struct MemoryMapInit(Shadow, Option<ShadowRun>);

impl TimedJob for MemoryMapInit {
    fn prepare(_: &Budget) -> Result<Self, Failure> {
        let shadow = Shadow::describing(DESCRIBED_PAGES);
        Ok(Self(shadow.ok_or("no memory for a second descriptor array")?, None))
    }

    fn reset(&mut self) -> Result<(), Failure> {
        self.1 = None;
        Ok(())
    }

    fn run(&mut self, threads: Option<usize>) -> Result<JobStats, Failure> {
        Ok(self.1.insert(self.0.run(threads)?).stats.into())
    }

    fn units(&self, _: &Stats) -> u64 {
        self.1.as_ref().map_or(0, |run| run.units)
    }

    fn verify(&mut self, _: &Stats) -> bool {
        self.1.as_ref().is_some_and(|run| run.ok)
    }
}

timed_jobs! { "memory-map-init": MemoryMapInit { order: 10, unit: Page4K, writes: false } }
