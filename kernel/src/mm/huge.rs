//! Huge pages: sizes, and reservations of a number of pages.

use alloc::vec::Vec;
use core::fmt;

use frames::policy::{NodePolicy, NodeSet};
use frames::{Extent, Extents, PAGE_SIZE, Pfn, order_pages};

use super::{mem_map, pages, stats};
use crate::platform::nodes;

/// Blocks that are taken with the lock of a zone taken once.
const BATCH: usize = 64;

/// A size of huge pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HugeSize {
    /// 2 MiB.
    Size2M,
    /// 1 GiB.
    Size1G,
}

impl HugeSize {
    /// Returns the page allocator's order of such a page.
    pub fn order(self) -> u8 {
        match self {
            Self::Size2M => 9,
            Self::Size1G => 18,
        }
    }

    /// Returns the bytes of such a page.
    pub fn bytes(self) -> u64 {
        order_pages(self.order()) * PAGE_SIZE
    }
}

impl fmt::Display for HugeSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size2M => "2 MiB",
            Self::Size1G => "1 GiB",
        })
    }
}

/// Why huge pages could not be taken. None is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakeError {
    /// No memory for the table of pages.
    NoTable,
    /// No free block was large enough for the page after `taken` pages.
    NoHugePage {
        /// Pages that had been taken.
        taken: u64,
    },
}

/// A number of huge pages. Dropped, it frees them all.
pub struct Reservation {
    size: HugeSize,
    /// One for each page.
    pages: Vec<Extent>,
}

impl Reservation {
    /// Takes `count` pages, all or none. They are as dirty as they were. With several nodes, each gives the same number if it
    /// can, so that all CPUs have near memory to work on. `allowed` returns how many of a number of allocations may succeed:
    /// all, or for jobs as many as `fault.alloc` says.
    pub fn take(size: HugeSize, count: u64, allowed: fn(u64) -> u64) -> Result<Self, TakeError> {
        let mut taken = Self { size, pages: Vec::new() };
        taken.pages.try_reserve_exact(count as usize).map_err(|_| TakeError::NoTable)?;
        let nodes = nodes::nodes().len();
        if nodes > 1 {
            let available: Vec<u64> =
                (0..nodes).map(|node| stats::free_blocks_on(node, size.order())).collect();
            let mut shares = alloc::vec![0; nodes];
            NodePolicy::Interleave(NodeSet::ALL).share(count, &available, [], &mut shares);
            for (node, share) in shares.into_iter().enumerate() {
                taken.take_on(node, share, allowed(share))?;
            }
        }
        // Also what a node had when it was counted, and no longer has.
        while (taken.pages.len() as u64) < count {
            let page = if allowed(1) == 1 { pages::alloc(size.order()) } else { None };
            taken.push(page.ok_or_else(|| taken.no_page())?);
        }
        Ok(taken)
    }

    /// Takes up to `count` pages of `node` alone, if all of them are allowed. A lack of pages is no error: other nodes may have
    /// what this one lacks.
    fn take_on(&mut self, node: usize, count: u64, allowed: u64) -> Result<(), TakeError> {
        let mut left = allowed;
        let mut batch = [Pfn(0); BATCH];
        while left > 0 {
            let len = left.min(BATCH as u64) as usize;
            let got = pages::alloc_bulk_on(node, self.size.order(), &mut batch[..len]);
            batch[..got].iter().for_each(|page| self.push(*page));
            left -= got as u64;
            if got < len {
                break;
            }
        }
        if allowed < count { Err(self.no_page()) } else { Ok(()) }
    }

    fn no_page(&self) -> TakeError {
        TakeError::NoHugePage { taken: self.held() }
    }

    fn push(&mut self, page: Pfn) {
        let node = mem_map::node_of(page).expect("a huge page is memory");
        self.pages.push(Extent::new(page, order_pages(self.size.order()), node, self.pages.len() as u64));
    }

    /// Returns the number of pages.
    pub fn held(&self) -> u64 {
        self.pages.len() as u64
    }

    /// Returns the pages, which no other thread has while `self` is borrowed.
    pub fn extents(&mut self) -> Extents<'_> {
        Extents::arrange(&mut self.pages)
    }

    /// Returns whether all pages are aligned and no two overlap.
    pub fn is_disjoint(&self) -> bool {
        let mut all: Vec<u64> = self.pages.iter().map(|page| page.first.0).collect();
        all.sort_unstable();
        let step = order_pages(self.size.order());
        all.windows(2).all(|pair| pair[1] - pair[0] >= step) && all.iter().all(|page| page % step == 0)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        for page in &self.pages {
            pages::free(page.first, self.size.order());
        }
    }
}

impl fmt::Display for TakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTable => write!(f, "failed: no memory for the table of pages"),
            Self::NoHugePage { taken } => {
                write!(f, "failed: no free block is large enough after {taken} pages, which were released")
            }
        }
    }
}
