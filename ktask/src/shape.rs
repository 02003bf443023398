//! The numbers of a job's description, and the check that they make sense.

use core::ops::Range;

use crate::node::NodeRange;
use crate::platform::Platform;
use crate::{Invalid, MAX_NODE_RANGES, MAX_WORKERS, Unit};

/// The range of a job and how it may be cut and shared.
pub(crate) struct Shape<'a, U> {
    pub(crate) range: Range<U>,
    pub(crate) min_chunk: u64,
    pub(crate) align: u64,
    pub(crate) max_threads: Option<usize>,
    pub(crate) threads_exact: Option<usize>,
    pub(crate) nodes: &'a [NodeRange<U>],
    /// Whether the node ranges may leave out units of `range`.
    pub(crate) gaps_allowed: bool,
}

impl<'a, U: Unit> Shape<'a, U> {
    pub(crate) fn new(range: Range<U>) -> Self {
        Self {
            range,
            min_chunk: 1,
            align: 1,
            max_threads: None,
            threads_exact: None,
            nodes: &[],
            gaps_allowed: false,
        }
    }

    /// Makes the shape of a job over `nodes` alone. Its range reaches from the first unit to the
    /// last, gaps included.
    pub(crate) fn over_nodes(nodes: &'a [NodeRange<U>]) -> Self {
        let start = nodes.iter().map(|range| range.start).min();
        let end = nodes.iter().map(|range| range.end).max();
        let zero = U::from_raw(0);
        let range = start.unwrap_or(zero)..end.unwrap_or(zero);
        Self { nodes, gaps_allowed: true, ..Self::new(range) }
    }

    /// Checks the description and returns the number of units.
    pub(crate) fn units<P: Platform>(&self, platform: &P) -> Result<u64, Invalid> {
        let (start, end) = (self.range.start.raw(), self.range.end.raw());
        if end < start {
            return Err(Invalid::RangeReversed { start, end });
        }
        if self.min_chunk == 0 {
            return Err(Invalid::MinChunkZero);
        }
        if self.align == 0 {
            return Err(Invalid::AlignZero);
        }
        if self.max_threads == Some(0) {
            return Err(Invalid::MaxThreadsZero);
        }
        if let Some(threads) = self.threads_exact
            && !(1..=MAX_WORKERS).contains(&threads)
        {
            return Err(Invalid::ThreadsExactOutOfRange { threads });
        }
        if self.nodes.is_empty() {
            return Ok(end - start);
        }
        let covered = self.units_of_nodes(platform)?;
        if !self.gaps_allowed && covered != end - start {
            return Err(Invalid::NodeRangesLeaveGap { units: end - start, covered });
        }
        Ok(covered)
    }

    /// Checks the node ranges and returns the sum of their units. The ranges are disjoint, so the
    /// sum does not overflow.
    fn units_of_nodes<P: Platform>(&self, platform: &P) -> Result<u64, Invalid> {
        if self.nodes.len() > MAX_NODE_RANGES {
            return Err(Invalid::TooManyNodeRanges { ranges: self.nodes.len() });
        }
        let nodes = platform.nodes().max(1);
        let mut covered = 0;
        for (index, range) in self.nodes.iter().enumerate() {
            let (start, end) = (range.start.raw(), range.end.raw());
            if range.node.0 as usize >= nodes {
                return Err(Invalid::NoSuchNode { index, node: range.node.0, nodes });
            }
            if end < start {
                return Err(Invalid::NodeRangeReversed { index, start, end });
            }
            if start < end && (range.start < self.range.start || self.range.end < range.end) {
                return Err(Invalid::NodeRangeOutside { index, start, end });
            }
            // There are at most 64 ranges: comparing each pair needs no memory for sorting.
            for (other, before) in self.nodes[..index].iter().enumerate() {
                if range.start.max(before.start) < range.end.min(before.end) {
                    return Err(Invalid::NodeRangesOverlap { index, other });
                }
            }
            covered += end - start;
        }
        Ok(covered)
    }
}
