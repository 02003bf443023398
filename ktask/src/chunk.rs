//! The chunk that a thread function gets.

use core::ops::Range;

use crate::{LockSet, NodeId, Unit};

/// A part of a job's range, handed to the thread function exactly once.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<U> {
    pub(crate) start: U,
    pub(crate) end: U,
    pub(crate) worker: u32,
    pub(crate) node: Option<NodeId>,
    pub(crate) local: bool,
    pub(crate) lineage: Lineage,
}

/// A chunk without the client's type of unit, as the engine handles it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawChunk {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) worker: u32,
    pub(crate) node: Option<NodeId>,
    pub(crate) local: bool,
    pub(crate) lineage: Lineage,
}

/// What a nested job needs to know about its outer jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lineage {
    /// Number of outer jobs.
    pub(crate) depth: u32,
    /// Locks that the callers of this job and of the outer jobs hold.
    pub(crate) locks: LockSet,
}

impl Lineage {
    /// Returns the lineage of the chunks of a job with this lineage.
    pub(crate) fn of_chunks(self) -> Self {
        Self { depth: self.depth + 1, locks: self.locks }
    }
}

impl<U: Unit> Chunk<U> {
    pub(crate) fn from_raw(raw: &RawChunk) -> Self {
        Self {
            start: U::from_raw(raw.start),
            end: U::from_raw(raw.end),
            worker: raw.worker,
            node: raw.node,
            local: raw.local,
            lineage: raw.lineage,
        }
    }

    /// Returns the first unit.
    #[must_use]
    pub fn start(&self) -> U {
        self.start
    }

    /// Returns the end: one past the last unit.
    #[must_use]
    pub fn end(&self) -> U {
        self.end
    }

    /// Returns the units as a half-open range. It is never empty.
    #[must_use]
    pub fn range(&self) -> Range<U> {
        self.start..self.end
    }

    /// Returns the number of units. At least 1.
    #[must_use]
    pub fn len(&self) -> U {
        U::from_raw(self.end.raw() - self.start.raw())
    }

    /// Returns the units as plain numbers, for slices and loops.
    #[must_use]
    pub fn indices(&self) -> Range<u64> {
        self.start.raw()..self.end.raw()
    }

    /// Returns the number of the worker that runs this chunk: 0 for the job's caller, others for
    /// helpers.
    ///
    /// It is below [`MAX_WORKERS`](crate::MAX_WORKERS). No two workers that run at the same time
    /// have the same number.
    #[must_use]
    pub fn worker(&self) -> usize {
        self.worker as usize
    }

    /// Returns the node that the units lie on, if the job has node ranges.
    #[must_use]
    pub fn node(&self) -> Option<NodeId> {
        self.node
    }

    /// Returns whether the worker runs on the node of the units; true if the job has no node ranges.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.local
    }
}
