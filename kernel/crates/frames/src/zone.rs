//! The buddy allocator: blocks of 2^order pages, split on allocation, merged
//! when freed (Knowlton 1965; Knuth, The Art of Computer Programming 1, 2.5).

use core::ops::Range;

use crate::desc::{InitKind, PageDesc};
use crate::error::{FreeError, SpanError};
use crate::free_list::FreeList;
use crate::pfn::{MAX_ORDER, ORDERS, Pfn, order_pages};
use crate::span::Span;

mod bulk;
mod check;

/// Order of the blocks that single pages are taken from for a cache: eight
/// descriptors are two cache lines, the pair that processors fetch together.
pub const RUN_ORDER: u8 = 3;
const _: () = assert!(order_pages(RUN_ORDER) as usize * size_of::<PageDesc>() == 128);

/// The allocator of one span of pages.
///
/// It needs exclusive access; the kernel keeps it behind a lock. Blocks are
/// aligned to their size by page frame number, whatever the span's base is.
#[derive(Debug)]
pub struct Zone<'a> {
    span: Span<'a>,
    lists: [FreeList; ORDERS],
    /// Bit `order` is set where `lists[order]` is not empty.
    stocked_orders: u32,
    free_pages: u64,
    stats: ZoneStats,
}

/// Calls of a zone since it was made, in blocks by order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZoneStats {
    /// Blocks allocated.
    pub taken: [u64; ORDERS],
    /// Blocks freed.
    pub freed: [u64; ORDERS],
    /// Allocations that failed: no block large enough, or none above the reserve.
    pub refused: u64,
}

impl<'a> Zone<'a> {
    /// Returns a zone with no free page. No descriptor may be the head of a block;
    /// all zero is right.
    ///
    /// # Errors
    /// See [`Span::new`].
    pub const fn new(descs: &'a [PageDesc], base: Pfn, zone_id: u16) -> Result<Self, SpanError> {
        match Span::new(descs, base, zone_id) {
            Ok(span) => Ok(Self::from_span(span)),
            Err(error) => Err(error),
        }
    }

    /// Returns a zone over `span` with no free page: see [`new`](Self::new).
    #[must_use]
    pub const fn from_span(span: Span<'a>) -> Self {
        let mut lists = [FreeList::new(0); ORDERS];
        let mut order = 0;
        while order < ORDERS {
            lists[order] = FreeList::new(order as u8);
            order += 1;
        }
        let stats = ZoneStats { taken: [0; ORDERS], freed: [0; ORDERS], refused: 0 };
        Self { span, lists, stocked_orders: 0, free_pages: 0, stats }
    }

    /// Returns the span of the zone, for use without the zone's lock.
    #[must_use]
    pub const fn span(&self) -> Span<'a> {
        self.span
    }

    /// Returns the number of free pages.
    #[must_use]
    pub const fn free_pages(&self) -> u64 {
        self.free_pages
    }

    /// Returns the number of free blocks of `order`.
    #[must_use]
    pub fn free_blocks(&self, order: u8) -> u64 {
        self.lists.get(usize::from(order)).map_or(0, FreeList::len)
    }

    /// Returns the number of blocks of `order` that can be allocated if
    /// `reserve_pages` pages must be left: what [`alloc_bulk`](Self::alloc_bulk)
    /// returns for a slice of any length.
    #[must_use]
    pub fn blocks_above(&self, order: u8, reserve_pages: u64) -> u64 {
        if order > MAX_ORDER {
            return 0;
        }
        let in_lists: u64 =
            (order..=MAX_ORDER).map(|larger| self.free_blocks(larger) << (larger - order)).sum();
        in_lists.min(self.free_pages.saturating_sub(reserve_pages) / order_pages(order))
    }

    /// Returns the counts of calls.
    #[must_use]
    pub const fn stats(&self) -> &ZoneStats {
        &self.stats
    }

    /// Returns the order of the largest free block.
    #[must_use]
    pub const fn largest_free_order(&self) -> Option<u8> {
        match self.stocked_orders.checked_ilog2() {
            Some(order) => Some(order as u8),
            None => None,
        }
    }

    /// Initialises descriptors: [`Span::init_range`].
    ///
    /// # Errors
    /// The range is not in the span.
    pub fn init_range(&self, range: Range<Pfn>, kind: InitKind) -> Result<(), SpanError> {
        self.span.init_range(range, kind)
    }

    /// Frees pages for the first time, in blocks as large as alignment allows. The
    /// blocks merge with free blocks around them. Returns the number of blocks, to
    /// which the cost is proportional.
    ///
    /// Every page of `range` must be initialised as usable and not freed since. That
    /// is checked for the first page of each block, in debug builds for every page.
    ///
    /// # Errors
    /// The range is not in the zone, or a page is in another state. Blocks before
    /// that page's block are free then, the others are not.
    pub fn free_initial(&mut self, range: Range<Pfn>) -> Result<u64, FreeError> {
        let mut pfn = range.start;
        let mut blocks = 0;
        if self.span.descs_of(range.clone()).is_err() {
            return Err(FreeError::OutOfRange { pfn, len_pages: range.end.0.saturating_sub(pfn.0) });
        }
        while pfn < range.end {
            let order = pfn.largest_order(range.end - pfn);
            self.check_initial(pfn, order)?;
            self.insert_merged(pfn, order);
            pfn = pfn + order_pages(order);
            blocks += 1;
        }
        Ok(blocks)
    }

    /// Allocates a block of `order` and returns its first page; `None` when no free
    /// block is large enough.
    #[must_use = "the block is taken and has to be freed"]
    pub fn alloc(&mut self, order: u8) -> Option<Pfn> {
        self.alloc_above(order, 0)
    }

    /// Allocates as [`alloc`](Self::alloc), if at least `reserve_pages` pages stay
    /// free.
    #[must_use = "the block is taken and has to be freed"]
    pub fn alloc_above(&mut self, order: u8, reserve_pages: u64) -> Option<Pfn> {
        if order > MAX_ORDER {
            return None;
        }
        let large_enough = self.smallest_stocked(order);
        let Some(mut split_order) = large_enough.filter(|_| self.can_spare(order, reserve_pages)) else {
            self.stats.refused += 1;
            return None;
        };
        let index = self.pop(split_order)?;
        // Split: the lower half is used, the upper halves become free blocks.
        while split_order > order {
            split_order -= 1;
            self.push(index + (1 << split_order), split_order);
        }
        self.span.descs()[index as usize].set_allocated_head(order, self.span.zone_id());
        self.free_pages -= order_pages(order);
        self.stats.taken[usize::from(order)] += 1;
        Some(self.span.pfn(index))
    }

    /// Returns the smallest order, `order` or more, with a free block.
    fn smallest_stocked(&self, order: u8) -> Option<u8> {
        let large_enough = self.stocked_orders & u32::MAX.checked_shl(order.into())?;
        (large_enough != 0).then(|| large_enough.trailing_zeros() as u8)
    }

    fn can_spare(&self, order: u8, reserve_pages: u64) -> bool {
        self.free_pages >= order_pages(order) + reserve_pages
    }

    /// Frees a block that [`alloc`](Self::alloc) returned for `order`.
    ///
    /// # Errors
    /// It is no such block; nothing has changed.
    pub fn free(&mut self, pfn: Pfn, order: u8) -> Result<(), FreeError> {
        self.check_allocated(pfn, order)?;
        self.insert_merged(pfn, order);
        self.stats.freed[usize::from(order)] += 1;
        Ok(())
    }

    pub(crate) fn list(&self, order: u8) -> &FreeList {
        &self.lists[usize::from(order)]
    }

    /// Puts a block on a free list, merged with its buddy if that is free, and so
    /// on for each larger order.
    fn insert_merged(&mut self, mut pfn: Pfn, mut order: u8) {
        let zone_id = self.span.zone_id();
        self.free_pages += order_pages(order);
        while order < MAX_ORDER {
            // One comparison shows that the buddy is the head of a free block of
            // this order: holes, reserved pages and pages that are not initialised
            // are not.
            let buddy = pfn.buddy(order);
            let Some(buddy_index) = self.span.index(buddy) else {
                break;
            };
            if !self.span.descs()[buddy_index as usize].is_free_head(order, zone_id) {
                break;
            }
            self.unlink(buddy_index, order);
            self.set_tail(pfn.max(buddy));
            pfn = pfn.min(buddy);
            order += 1;
        }
        if let Some(index) = self.span.index(pfn) {
            self.push(index, order);
        }
    }

    fn set_tail(&self, pfn: Pfn) {
        if let Some(desc) = self.span.desc(pfn) {
            desc.set_tail(self.span.zone_id());
        }
    }

    fn push(&mut self, index: u32, order: u8) {
        self.lists[usize::from(order)].push(&self.span, index);
        self.stocked_orders |= 1 << order;
    }

    fn pop(&mut self, order: u8) -> Option<u32> {
        let index = self.lists[usize::from(order)].pop(&self.span)?;
        self.update_stocked_orders(order);
        Some(index)
    }

    fn unlink(&mut self, index: u32, order: u8) {
        self.lists[usize::from(order)].unlink(&self.span, index);
        self.update_stocked_orders(order);
    }

    fn update_stocked_orders(&mut self, order: u8) {
        if self.lists[usize::from(order)].is_empty() {
            self.stocked_orders &= !(1 << order);
        }
    }
}
