//! The numbers of a job's description, and the check that they make sense.

use core::ops::Range;

use crate::cursor::{Extent, MaybeNode};
use crate::node::NodeRange;
use crate::platform::Platform;
use crate::{Invalid, MAX_NODE_RANGES, MAX_WORKERS, Unit};

/// The range of a job and how it may be cut and shared.
///
/// The range is two plain numbers, read from the client's units once: see [`NodeRange`].
#[derive(Clone)]
pub(crate) struct Shape<'a, U> {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) min_chunk: u64,
    pub(crate) max_chunk: Option<u64>,
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
            start: range.start.raw(),
            end: range.end.raw(),
            min_chunk: 1,
            max_chunk: None,
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
        let start = nodes.iter().map(|range| range.raw_start).min().unwrap_or(0);
        let end = nodes.iter().map(|range| range.raw_end).max().unwrap_or(0);
        let zero = U::from_raw(0);
        Self { start, end, nodes, gaps_allowed: true, ..Self::new(zero..zero) }
    }

    /// Returns the length of the longest chunk, rounding to `align` left aside.
    pub(crate) fn longest_chunk(&self) -> u64 {
        // A multiple of `align`, so that rounding up the end of a chunk does not exceed the maximum.
        self.max_chunk.map_or(u64::MAX, |max_chunk| max_chunk - max_chunk % self.align)
    }

    /// Returns range number `index`: of a job without node ranges, its only one.
    pub(crate) fn extent(&self, index: usize) -> Extent {
        match self.nodes.get(index) {
            Some(range) => {
                Extent { start: range.raw_start, end: range.raw_end, node: MaybeNode::some(range.node) }
            }
            None => Extent { start: self.start, end: self.end, node: MaybeNode::NONE },
        }
    }

    /// Checks the description and returns the number of units.
    ///
    /// Never inlined: a job should not have this frame on its caller's stack.
    #[inline(never)]
    pub(crate) fn units<P: Platform>(&self, platform: &P) -> Result<u64, Invalid> {
        let (start, end) = (self.start, self.end);
        if end < start {
            return Err(Invalid::RangeReversed { start, end });
        }
        if self.min_chunk == 0 {
            return Err(Invalid::MinChunkZero);
        }
        if self.align == 0 {
            return Err(Invalid::AlignZero);
        }
        if let Some(max_chunk) = self.max_chunk {
            // The smallest chunk, rounded up to the alignment, must not be longer than the longest.
            let least = self.min_chunk.checked_next_multiple_of(self.align).unwrap_or(u64::MAX);
            if max_chunk < least {
                return Err(Invalid::MaxChunkTooSmall { max_chunk, least });
            }
        }
        if self.max_threads == Some(0) {
            return Err(Invalid::MaxThreadsZero);
        }
        if let Some(threads) = self.threads_exact {
            if !(1..=MAX_WORKERS).contains(&threads) {
                return Err(Invalid::ThreadsExactOutOfRange { threads });
            }
            if let Some(max_threads) = self.max_threads {
                return Err(Invalid::ThreadsExactWithMaxThreads { threads, max_threads });
            }
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
            let (start, end) = (range.raw_start, range.raw_end);
            if range.node.0 as usize >= nodes {
                return Err(Invalid::NoSuchNode { index, node: range.node.0, nodes });
            }
            if end < start {
                return Err(Invalid::NodeRangeReversed { index, start, end });
            }
            if start < end && (start < self.start || self.end < end) {
                return Err(Invalid::NodeRangeOutside { index, start, end });
            }
            // There are at most 64 ranges: comparing each pair needs no memory for sorting.
            for (other, before) in self.nodes[..index].iter().enumerate() {
                if start.max(before.raw_start) < end.min(before.raw_end) {
                    return Err(Invalid::NodeRangesOverlap { index, other });
                }
            }
            covered += end - start;
        }
        Ok(covered)
    }
}
