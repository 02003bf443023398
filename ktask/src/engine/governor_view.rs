//! What the governor is told, and what it decides.

use super::governor_bounds::{CHUNKS_TO_HALVE, MIDDLE_TO_HALVE};
use crate::cursor::Sampled;

/// What the engine sees between two chunks of the caller.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) now_ns: u64,
    /// Workers that have begun and not ended, the caller included.
    pub(super) running: usize,
    /// Units that are not handed out.
    pub(super) left: u64,
    /// Ranges with units that are not handed out.
    pub(super) ranges: usize,
    /// Sums over all chunks since the start of the job.
    pub(super) sampled: Sampled,
}

/// What the engine is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Nothing.
    Continue,
    /// Sample only the part of chunks that comes after now.
    Measure,
    /// Have this many threads.
    Threads {
        /// The new number, the caller included.
        threads: usize,
        /// Sampled units per second with the present number; 0 if unknown.
        rate: u64,
    },
}

/// The job and the machine, as far as they matter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    /// The most threads that the job can have.
    pub(super) max: usize,
    pub(super) cores: usize,
    pub(super) units: u64,
    pub(super) smallest_chunk: u64,
    /// Ranges with work.
    pub(super) ranges: usize,
    /// The count that earlier jobs have learned.
    pub(super) known: Option<usize>,
}

impl Setting {
    /// Returns the count to begin with: half of [`middle_count`](Self::middle_count), unless that is
    /// small already, or the job is short.
    pub(super) fn first_count(&self) -> usize {
        let middle = self.middle_count();
        if middle < MIDDLE_TO_HALVE || self.chunks() < CHUNKS_TO_HALVE * self.max as u64 {
            middle
        } else {
            self.even(middle.div_ceil(2))
        }
    }

    /// Returns the number of smallest chunks.
    pub(super) fn chunks(&self) -> u64 {
        self.units / self.smallest_chunk.max(1)
    }

    /// Returns `threads`, or a few more, so that all ranges can have equally many.
    pub(super) fn even(&self, threads: usize) -> usize {
        let ranges = self.ranges.max(1);
        if threads < ranges { threads } else { threads.next_multiple_of(ranges).min(self.max) }
    }

    /// Returns the count between the first and all: one thread per core, or half of all.
    pub(super) fn middle_count(&self) -> usize {
        let middle = if (2..self.max).contains(&self.cores) { self.cores } else { self.max.div_ceil(2) };
        self.even(middle)
    }

    /// Returns the units that were sampled, without the factor.
    pub(super) fn units_of(&self, sum: &Sampled) -> u64 {
        sum.units / Sampled::factor(self.units, self.smallest_chunk)
    }

    /// Returns the units of a chunk in the mean of `sum`, at least 1.
    pub(super) fn units_per_chunk(&self, sum: &Sampled) -> u64 {
        ((self.units_of(sum) + sum.chunks / 2) / sum.chunks.max(1)).max(1)
    }
}
