//! Memory nodes, and which units of a job lie on which node.

use core::ops::Range;

use crate::Unit;

/// A memory node (NUMA node), counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// A part of a job's range and the node that it lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeRange<U> {
    /// The node.
    pub node: NodeId,
    /// The first unit.
    pub start: U,
    /// One past the last unit.
    pub end: U,
}

impl<U: Unit> NodeRange<U> {
    /// Makes the units of `range` belong to `node`.
    #[must_use]
    pub fn new(node: NodeId, range: Range<U>) -> Self {
        Self { node, start: range.start, end: range.end }
    }
}
