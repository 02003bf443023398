//! What a timed job is: how one run is prepared, made and verified.

use alloc::string::String;
use core::fmt;

use frames::PAGE_SIZE;
use ktask::Stats;
use protocol::record::Unit;

use crate::jobs::node_stats::JobStats;
use crate::mm::huge::HugeSize;
use crate::mm::stats;

/// Share of the free memory that a job may take. The rest keeps the machine running.
const MOST_OF_FREE_PERCENT: u64 = 75;

/// A job that can be timed. Its value is what the runs work on; dropping it cleans up.
pub trait TimedJob {
    /// Prepares for runs within `budget`.
    ///
    /// # Errors
    /// What is missing: the job is skipped with a warning.
    fn prepare(budget: &Budget) -> Result<Self, Failure>
    where
        Self: Sized;

    /// Restores the state before a run: what a run makes is gone, the memory is dirty and warm. Not timed. It may be called
    /// several times in a row.
    ///
    /// # Errors
    /// Why no run is possible: the timing of the job ends with a warning.
    fn reset(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Makes one run on `threads` threads (`None`: as many as help). The time of the run is that of the statistics.
    ///
    /// # Errors
    /// Why the run failed: the timing of the job ends with a warning.
    fn run(&mut self, threads: Option<usize>) -> Result<JobStats, Failure>;

    /// Returns the number of units of the run.
    fn units(&self, stats: &Stats) -> u64 {
        stats.units
    }

    /// Returns whether the result of the last run is right. Without a run since [`reset`](Self::reset) it is not: a test
    /// checks this.
    fn verify(&mut self, stats: &Stats) -> bool;

    /// Returns other code that does the same work, to compare the job with.
    fn reference(&mut self) -> Option<&mut dyn Reference> {
        None
    }
}

/// Code with which a job is compared: its runs alternate with the job's, and have a row of their own.
pub trait Reference {
    /// Returns the name of the row.
    fn name(&self) -> &'static str;

    /// Makes and verifies one run on `threads` threads, from any state of the job.
    ///
    /// # Errors
    /// Why the run failed.
    fn run(&mut self, threads: usize) -> Result<Run, Failure>;
}

/// One verified run.
pub struct Run {
    /// What the run cost.
    pub stats: JobStats,
    /// Number of units.
    pub units: u64,
    /// Whether the result is right.
    pub ok: bool,
}

/// Why a job cannot run, in words. Any error becomes one by `?`.
pub struct Failure(pub String);

impl<E: fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(alloc::format!("{error:#}"))
    }
}

/// How much a job may use.
pub struct Budget {
    name: &'static str,
    unit: Unit,
    bytes: u64,
    untouched_bytes: u64,
}

impl Budget {
    /// Makes the budget of the job `name`: `bytes` of memory, or `untouched_bytes` if it touches none of it.
    pub(super) fn new(name: &'static str, unit: Unit, bytes: u64, untouched_bytes: u64) -> Self {
        Self { name, unit, bytes, untouched_bytes }
    }

    /// Returns the size of the huge pages to work on: the unit's, or 2 MiB if the unit is a page of 4 KiB.
    pub fn huge_size(&self) -> HugeSize {
        match self.unit {
            Unit::Page4K | Unit::Page2M => HugeSize::Size2M,
            Unit::Page1G => HugeSize::Size1G,
        }
    }

    /// Returns whether there is as much memory as the job may use.
    pub(super) fn is_available(&self) -> bool {
        self.most_of(self.bytes) == self.bytes
    }

    /// Returns the number of units to work on, 0 if there is not enough memory for one.
    pub fn units(&self) -> u64 {
        self.bytes(unit_bytes(self.unit)) / unit_bytes(self.unit)
    }

    /// Returns the bytes to work on, in whole multiples of `multiple_bytes`.
    pub fn bytes(&self, multiple_bytes: u64) -> u64 {
        self.most_of(self.bytes) / multiple_bytes * multiple_bytes
    }

    /// Returns the number of units for a job that touches none of their memory. There may be less than it may use: it takes
    /// what there is.
    pub fn untouched_units(&self) -> u64 {
        self.untouched_bytes.min(most_of_free()) / unit_bytes(self.unit)
    }

    /// Returns `wanted` bytes, or as many as are available.
    fn most_of(&self, wanted: u64) -> u64 {
        let most = most_of_free();
        if wanted > most {
            let free = stats::free_pages() * PAGE_SIZE;
            let name = self.name;
            log::info!(
                "{name}: {} MiB instead of {} MiB, {} MiB are free",
                most >> 20,
                wanted >> 20,
                free >> 20
            );
        }
        wanted.min(most)
    }
}

/// Returns the bytes that a job may take at most.
fn most_of_free() -> u64 {
    stats::free_pages() * PAGE_SIZE / 100 * MOST_OF_FREE_PERCENT
}

/// Returns the bytes of a unit.
pub(super) fn unit_bytes(unit: Unit) -> u64 {
    match unit {
        Unit::Page4K => PAGE_SIZE,
        Unit::Page2M => HugeSize::Size2M.bytes(),
        Unit::Page1G => HugeSize::Size1G.bytes(),
    }
}
