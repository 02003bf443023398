//! What a thread function gets.

use core::ops::Range;

use crate::{LockSet, NodeId, Unit};

/// A part of a job's range, handed to the thread function exactly once.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<U> {
    pub(crate) start: U,
    pub(crate) end: U,
    pub(crate) worker: usize,
    pub(crate) node: Option<NodeId>,
    pub(crate) local: bool,
    pub(crate) lineage: Lineage,
}

/// A chunk without the client's type of unit, as the engine handles it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawChunk {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) worker: usize,
    pub(crate) node: Option<NodeId>,
    pub(crate) local: bool,
    pub(crate) lineage: Lineage,
}

/// What a nested job must know about the jobs around it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lineage {
    /// Family number of the outermost job; 0 while there is none.
    pub(crate) family: u64,
    /// Jobs around.
    pub(crate) depth: u32,
    /// Locks held by the callers of all of them.
    pub(crate) locks: LockSet,
}

impl Lineage {
    /// That of the chunks of a job that has this one itself.
    pub(crate) fn of_chunks(self, family: u64) -> Self {
        Self { family, depth: self.depth + 1, locks: self.locks }
    }
}

impl<U: Unit> Chunk<U> {
    pub(crate) fn from_raw(raw: RawChunk) -> Self {
        Self {
            start: U::from_raw(raw.start),
            end: U::from_raw(raw.end),
            worker: raw.worker,
            node: raw.node,
            local: raw.local,
            lineage: raw.lineage,
        }
    }

    /// First unit of the chunk.
    #[must_use]
    pub fn start(&self) -> U {
        self.start
    }

    /// One past the last unit.
    #[must_use]
    pub fn end(&self) -> U {
        self.end
    }

    /// The units as a half-open range. Never empty.
    #[must_use]
    pub fn range(&self) -> Range<U> {
        self.start..self.end
    }

    /// How many units. At least 1.
    #[must_use]
    pub fn len(&self) -> U {
        U::from_raw(self.end.raw() - self.start.raw())
    }

    /// The units' numbers, for slices and loops.
    #[must_use]
    pub fn indices(&self) -> Range<u64> {
        self.start.raw()..self.end.raw()
    }

    /// Number of the worker that runs this chunk: 0 is the job's caller, others are
    /// helpers. Below [`MAX_WORKERS`](crate::MAX_WORKERS), and no two workers that run
    /// at the same time have the same.
    #[must_use]
    pub fn worker(&self) -> usize {
        self.worker
    }

    /// The node that the units belong to, where the job said so.
    #[must_use]
    pub fn node(&self) -> Option<NodeId> {
        self.node
    }

    /// Whether the worker runs on that node. True where the job named no node.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.local
    }
}
