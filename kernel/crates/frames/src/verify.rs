//! A consistency check of the allocator, for tests and for debugging.
//!
//! It has two passes. The first follows every free list. Each member is a free
//! head of the list's order and links back to the member before it, so no block
//! is met twice; and the list's length is right.
//!
//! The second reads the descriptors in order. Each block is aligned, inside the
//! span, made of tail pages, and merged with its buddy if both are free. Each
//! order has as many free heads as its list has members, so every free block is
//! listed.

use crate::desc::{PageDesc, PageState};
use crate::error::Inconsistency;
use crate::free_list::index_of;
use crate::pfn::{MAX_ORDER, ORDERS, Pfn, order_pages};
use crate::zone::Zone;

/// The pages of a zone by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Pages without memory, or with descriptors that are not initialised.
    pub hole_pages: u64,
    /// Pages that the allocator does not own.
    pub reserved_pages: u64,
    /// Pages initialised as usable that have not been freed yet.
    pub unclaimed_pages: u64,
    /// Pages in free blocks.
    pub free_pages: u64,
    /// Pages in allocated blocks.
    pub allocated_pages: u64,
    /// Pages in cached blocks.
    pub cached_pages: u64,
    /// Pages in the span that belong to another zone: nodes may be interleaved.
    pub foreign_pages: u64,
    /// Free blocks by order.
    pub free_blocks: [u64; ORDERS],
    /// Allocated blocks by order.
    pub allocated_blocks: [u64; ORDERS],
}

impl Zone<'_> {
    /// Checks that lists, descriptors and counters agree, and counts pages by
    /// state. Reads every descriptor once, and the free heads twice.
    ///
    /// # Errors
    /// Returns the first inconsistency.
    pub fn verify(&self) -> Result<Census, Inconsistency> {
        for order in 0..=MAX_ORDER {
            self.verify_list(order)?;
        }
        let census = self.take_census()?;
        for order in 0..=MAX_ORDER {
            let (listed, found) = (self.free_blocks(order), census.free_blocks[usize::from(order)]);
            if listed != found {
                return Err(Inconsistency::UnlistedBlocks { order, listed, found });
            }
        }
        if self.free_pages() != census.free_pages {
            return Err(Inconsistency::FreePages { counted: self.free_pages(), found: census.free_pages });
        }
        Ok(census)
    }

    fn verify_list(&self, order: u8) -> Result<(), Inconsistency> {
        let span = self.span();
        let counted = self.free_blocks(order);
        let mut found = 0;
        let mut prev_link = 0;
        let mut link = self.list(order).first_link();
        while let Some(index) = index_of(link) {
            found += 1;
            if found > counted {
                break;
            }
            let desc =
                span.descs().get(index as usize).ok_or(Inconsistency::LinkOutOfRange { order, index })?;
            let pfn = span.pfn(index);
            if !desc.is_free_head(order, span.zone_id()) {
                let state = desc.state();
                return Err(Inconsistency::ForeignListMember { order, pfn, state });
            }
            if desc.prev_link() != prev_link {
                return Err(Inconsistency::BrokenBackLink { order, pfn });
            }
            prev_link = link;
            link = desc.next_link();
        }
        if found == counted { Ok(()) } else { Err(Inconsistency::ListLength { order, counted, found }) }
    }

    fn take_census(&self) -> Result<Census, Inconsistency> {
        let span = self.span();
        let mut census = Census::default();
        let mut pfn = span.pages().start;
        while let Some(desc) = span.desc(pfn) {
            let state = desc.state();
            if state != PageState::Hole && desc.zone_id() != span.zone_id() {
                census.foreign_pages += 1;
                pfn = pfn + 1;
                continue;
            }
            let len_pages = match state {
                PageState::Hole => {
                    census.hole_pages += 1;
                    1
                }
                PageState::Reserved => {
                    census.reserved_pages += 1;
                    1
                }
                PageState::Tail => {
                    census.unclaimed_pages += 1;
                    1
                }
                PageState::FreeHead { order } => {
                    let len_pages = self.verify_block(pfn, order)?;
                    self.verify_merged(pfn, order)?;
                    census.free_blocks[usize::from(order)] += 1;
                    census.free_pages += len_pages;
                    len_pages
                }
                PageState::AllocatedHead { order } => {
                    let len_pages = self.verify_block(pfn, order)?;
                    census.allocated_blocks[usize::from(order)] += 1;
                    census.allocated_pages += len_pages;
                    len_pages
                }
                PageState::CachedHead { order } => {
                    let len_pages = self.verify_block(pfn, order)?;
                    census.cached_pages += len_pages;
                    len_pages
                }
                PageState::Corrupt { state } => {
                    return Err(Inconsistency::CorruptState { pfn, state });
                }
            };
            pfn = pfn + len_pages;
        }
        Ok(census)
    }

    fn verify_zone_id(&self, pfn: Pfn, desc: &PageDesc) -> Result<(), Inconsistency> {
        let zone_id = desc.zone_id();
        if zone_id == self.span().zone_id() {
            Ok(())
        } else {
            Err(Inconsistency::ForeignZone { pfn, zone_id })
        }
    }

    /// Checks position and pages of the block at `head`. Returns its length in
    /// pages.
    fn verify_block(&self, head: Pfn, order: u8) -> Result<u64, Inconsistency> {
        let misplaced = Inconsistency::MisplacedBlock { pfn: head, order };
        if order > MAX_ORDER || !head.is_aligned(order) {
            return Err(misplaced);
        }
        let len_pages = order_pages(order);
        let descs = self.span().descs_of(head..head + len_pages).map_err(|_| misplaced)?;
        for (pfn, desc) in (head.0..).map(Pfn).zip(descs).skip(1) {
            let state = desc.state();
            if state != PageState::Tail {
                return Err(Inconsistency::ForeignPageInBlock { head, pfn, state });
            }
            self.verify_zone_id(pfn, desc)?;
        }
        Ok(len_pages)
    }

    fn verify_merged(&self, pfn: Pfn, order: u8) -> Result<(), Inconsistency> {
        let buddy = pfn.buddy(order);
        let unmerged = order < MAX_ORDER
            && self.span().desc(buddy).is_some_and(|desc| desc.is_free_head(order, self.span().zone_id()));
        if unmerged {
            let pfn = pfn.min(buddy);
            return Err(Inconsistency::UnmergedBuddies { pfn, order });
        }
        Ok(())
    }
}
