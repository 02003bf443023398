//! A list of extents of page frames as one range of pages, ordered by node.
//!
//! A job over the range may be cut anywhere, so the parts of one huge page go to several threads.

use core::ops::Range;

use crate::pfn::Pfn;

/// Consecutive page frames of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first frame.
    pub first: Pfn,
    /// Number of frames.
    pub len_pages: u64,
    /// The node of the memory.
    pub node: usize,
    /// A number of the caller's.
    pub tag: u64,
    /// Position of the first frame in the range of all extents.
    start: u64,
}

impl Extent {
    /// Describes `len_pages` frames from `first` on.
    #[must_use]
    pub const fn new(first: Pfn, len_pages: u64, node: usize, tag: u64) -> Self {
        Self { first, len_pages, node, tag, start: 0 }
    }
}

/// A part of one extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Index of the extent in [`Extents::as_slice`].
    pub index: usize,
    /// The first frame of the part.
    pub first: Pfn,
    /// Number of frames.
    pub len_pages: u64,
}

/// Extents, ordered by node and then by frame, as one range of pages from 0 on.
#[derive(Clone, Copy, Debug)]
pub struct Extents<'e> {
    extents: &'e [Extent],
}

impl<'e> Extents<'e> {
    /// Sorts `extents` and numbers their pages.
    pub fn arrange(extents: &'e mut [Extent]) -> Self {
        extents.sort_unstable_by_key(|extent| (extent.node, extent.first));
        let mut start = 0;
        for extent in extents.iter_mut() {
            extent.start = start;
            start += extent.len_pages;
        }
        Self { extents }
    }

    /// Returns the extents in their order.
    #[must_use]
    pub const fn as_slice(&self) -> &'e [Extent] {
        self.extents
    }

    /// Returns the number of pages.
    #[must_use]
    pub fn len_pages(&self) -> u64 {
        self.extents.last().map_or(0, |last| last.start + last.len_pages)
    }

    /// Returns each node and the pages on it.
    pub fn nodes(&self) -> impl Iterator<Item = (usize, Range<u64>)> + use<'e> {
        self.extents.chunk_by(|a, b| a.node == b.node).filter_map(|of_node| {
            let (first, last) = (of_node.first()?, of_node.last()?);
            Some((first.node, first.start..last.start + last.len_pages))
        })
    }

    /// Returns the parts of extents that are the pages of `range`.
    pub fn parts(&self, range: Range<u64>) -> impl Iterator<Item = Part> + Clone + use<'e> {
        let from = self.extents.partition_point(|extent| extent.start + extent.len_pages <= range.start);
        let extents = self.extents.get(from..).unwrap_or(&[]).iter().zip(from..);
        extents.take_while(move |(extent, _)| extent.start < range.end).filter_map(move |(extent, index)| {
            let start = range.start.max(extent.start);
            let end = range.end.min(extent.start + extent.len_pages);
            let first = extent.first + (start - extent.start);
            (start < end).then(|| Part { index, first, len_pages: end - start })
        })
    }
}

#[cfg(test)]
mod tests {
    extern crate alloc;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the range is cut, each frame of each extent comes up once, and nodes tile the range.
        #[test]
        fn cuts_cover_each_frame_once(
            shapes in prop::collection::vec((0_u64..600, 0_usize..4), 0..20),
            step in 1_u64..700,
        ) {
            let mut extents: Vec<Extent> = (0_u64..)
                .zip(&shapes)
                .map(|(tag, (len, node))| Extent::new(Pfn((1000 - tag) * 1000), *len, *node, tag))
                .collect();
            let arranged = Extents::arrange(&mut extents);
            let len_pages = arranged.len_pages();
            prop_assert_eq!(len_pages, shapes.iter().map(|(len, _)| len).sum::<u64>());
            let mut found = Vec::new();
            for start in (0..len_pages).step_by(step as usize) {
                let range = start..(start + step).min(len_pages);
                let mut len = 0;
                for part in arranged.parts(range.clone()) {
                    let extent = arranged.as_slice()[part.index];
                    prop_assert!(part.first >= extent.first && part.len_pages > 0);
                    prop_assert!(part.first.0 + part.len_pages <= extent.first.0 + extent.len_pages);
                    found.extend(part.first.0..part.first.0 + part.len_pages);
                    len += part.len_pages;
                }
                prop_assert_eq!(len, range.end - range.start);
            }
            let count = found.len() as u64;
            found.sort_unstable();
            found.dedup();
            prop_assert_eq!((found.len() as u64, count), (len_pages, len_pages));
            let mut end = 0;
            let mut nodes = Vec::new();
            for (node, pages) in arranged.nodes() {
                prop_assert_eq!(pages.start, end);
                end = pages.end;
                for part in arranged.parts(pages) {
                    prop_assert_eq!(arranged.as_slice()[part.index].node, node);
                }
                nodes.push(node);
            }
            prop_assert_eq!(end, len_pages);
            prop_assert!(nodes.is_sorted_by(|a, b| a < b));
        }
    }
}
