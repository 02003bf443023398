//! Memory nodes, and which units of a job lie on which node.

use core::marker::PhantomData;
use core::ops::Range;

use crate::Unit;

/// A memory node (NUMA node), counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// A part of a job's range and the node that it lies on.
///
/// It keeps plain numbers, which are read from the client's units once. So no [`Unit`] can show
/// the check of a job other numbers than its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeRange<U> {
    pub(crate) node: NodeId,
    pub(crate) raw_start: u64,
    pub(crate) raw_end: u64,
    unit: PhantomData<fn() -> U>,
}

impl<U: Unit> NodeRange<U> {
    /// Makes the units of `range` belong to `node`.
    #[must_use]
    pub fn new(node: NodeId, range: Range<U>) -> Self {
        Self { node, raw_start: range.start.raw(), raw_end: range.end.raw(), unit: PhantomData }
    }

    /// Returns the node.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Returns the first unit.
    #[must_use]
    pub fn start(&self) -> U {
        U::from_raw(self.raw_start)
    }

    /// Returns the end: one past the last unit.
    #[must_use]
    pub fn end(&self) -> U {
        U::from_raw(self.raw_end)
    }
}
