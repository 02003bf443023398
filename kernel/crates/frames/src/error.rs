//! Errors: of a span, of a page that is freed, of a zone.

use core::fmt;

use crate::desc::PageState;
use crate::pfn::{ADDRESS_SPACE_PAGES, MAX_ORDER, Pfn, order_pages};

/// Why pages are no span, or not in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanError {
    /// More pages than 32-bit links can number.
    TooLong {
        /// Number of pages.
        len_pages: u64,
    },
    /// Pages beyond the 52-bit physical address space.
    BeyondAddressSpace {
        /// The first page.
        start: Pfn,
        /// Number of pages.
        len_pages: u64,
    },
    /// Pages that are not in the span.
    OutOfRange {
        /// The first page.
        start: Pfn,
        /// One past the last page.
        end: Pfn,
    },
}

impl fmt::Display for SpanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooLong { len_pages } => {
                write!(f, "span of {len_pages} pages, should be at most {}", u32::MAX)
            }
            Self::BeyondAddressSpace { start, len_pages } => write!(
                f,
                "span of {len_pages} pages from {start}, should end at or below page {:#x}",
                ADDRESS_SPACE_PAGES
            ),
            Self::OutOfRange { start, end } => {
                write!(f, "pages {start}..{end}, should lie in the span")
            }
        }
    }
}

impl core::error::Error for SpanError {}

/// Why pages were not freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FreeError {
    /// The block is not wholly in the zone.
    OutOfRange {
        /// First page of the block.
        pfn: Pfn,
        /// Pages of the block.
        len_pages: u64,
    },
    /// There are no blocks of this order.
    OrderTooLarge {
        /// Order in the call.
        order: u8,
    },
    /// No block of this order can begin here.
    Misaligned {
        /// First page of the block.
        pfn: Pfn,
        /// Order in the call.
        order: u8,
    },
    /// The page is free already, as the first or any other page of a block.
    DoubleFree {
        /// First page of the block.
        pfn: Pfn,
    },
    /// The block was allocated with another order.
    WrongOrder {
        /// First page of the block.
        pfn: Pfn,
        /// Order in the call.
        order: u8,
        /// Order that the block was allocated with.
        allocated: u8,
    },
    /// No allocated block begins here.
    NotAllocated {
        /// First page of the block.
        pfn: Pfn,
        /// State of the page.
        state: PageState,
    },
    /// The page cannot be freed for the first time: it is not initialised as
    /// usable, or the allocator has it already.
    NotInitial {
        /// The page.
        pfn: Pfn,
        /// State of the page.
        state: PageState,
    },
}

impl fmt::Display for FreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::OutOfRange { pfn, len_pages } => {
                write!(f, "{len_pages} pages at {pfn}, should lie in the zone")
            }
            Self::OrderTooLarge { order } => {
                write!(f, "order {order}, should be at most {MAX_ORDER}")
            }
            Self::Misaligned { pfn, order } => write!(
                f,
                "block of order {order} at page {pfn}, should begin at a multiple of {:#x}",
                order_pages(order)
            ),
            Self::DoubleFree { pfn } => write!(f, "page {pfn} is free, should be allocated"),
            Self::WrongOrder { pfn, order, allocated } => {
                write!(f, "page {pfn} freed with order {order}, should be {allocated} as it was allocated")
            }
            Self::NotAllocated { pfn, state } => {
                write!(f, "page {pfn} is {state:?}, should be the head of an allocated block")
            }
            Self::NotInitial { pfn, state } => {
                write!(f, "page {pfn} is {state:?}, should be initialised as usable and never freed")
            }
        }
    }
}

impl core::error::Error for FreeError {}

/// The first error that [`Zone::verify`](crate::Zone::verify) found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Inconsistency {
    /// A free list leads to a page that is not a free block of its order.
    ForeignListMember {
        /// Order of the list.
        order: u8,
        /// The page.
        pfn: Pfn,
        /// State of the page.
        state: PageState,
    },
    /// A free list leads out of the span.
    LinkOutOfRange {
        /// Order of the list.
        order: u8,
        /// Index in the link.
        index: u32,
    },
    /// A block's link back does not lead to the block before it.
    BrokenBackLink {
        /// Order of the list.
        order: u8,
        /// The block.
        pfn: Pfn,
    },
    /// A free list has another length than its counter.
    ListLength {
        /// Order of the list.
        order: u8,
        /// Length by the list's counter.
        counted: u64,
        /// Blocks found by following it, at least.
        found: u64,
    },
    /// Free blocks are in no list.
    UnlistedBlocks {
        /// Their order.
        order: u8,
        /// Blocks in the list.
        listed: u64,
        /// Blocks found in the descriptors.
        found: u64,
    },
    /// A block has an order that does not exist, is not aligned to its order, or
    /// reaches beyond the span.
    MisplacedBlock {
        /// First page of the block.
        pfn: Pfn,
        /// Its order.
        order: u8,
    },
    /// A page inside a block is not a tail page.
    ForeignPageInBlock {
        /// First page of the block.
        head: Pfn,
        /// The page inside.
        pfn: Pfn,
        /// Its state.
        state: PageState,
    },
    /// Two free buddies are not merged.
    UnmergedBuddies {
        /// First page of the lower one.
        pfn: Pfn,
        /// Their order.
        order: u8,
    },
    /// A page has the id of another zone.
    ForeignZone {
        /// The page.
        pfn: Pfn,
        /// The id found.
        zone_id: u16,
    },
    /// A descriptor holds no state that exists.
    CorruptState {
        /// The page.
        pfn: Pfn,
        /// The state byte found.
        state: u8,
    },
    /// The counter of free pages differs from the sum of the free blocks.
    FreePages {
        /// Free pages by the zone's counter.
        counted: u64,
        /// Pages in free blocks.
        found: u64,
    },
}

impl fmt::Display for Inconsistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ForeignListMember { order, pfn, state } => write!(
                f,
                "free list of order {order} holds page {pfn}, which is {state:?}, should be a free head of that order"
            ),
            Self::LinkOutOfRange { order, index } => {
                write!(f, "free list of order {order} leads to index {index}, should stay in the span")
            }
            Self::BrokenBackLink { order, pfn } => write!(
                f,
                "page {pfn} in the free list of order {order} links back elsewhere, should link to the block before it"
            ),
            Self::ListLength { order, counted, found } => {
                write!(f, "free list of order {order} holds {found} blocks or more, should be {counted}")
            }
            Self::UnlistedBlocks { order, listed, found } => {
                write!(f, "{found} free blocks of order {order}, should be {listed} as in the free list")
            }
            Self::MisplacedBlock { pfn, order } => {
                write!(f, "block of order {order} at page {pfn}, should be aligned and inside the span")
            }
            Self::ForeignPageInBlock { head, pfn, state } => {
                write!(f, "page {pfn} in the block at {head} is {state:?}, should be tail")
            }
            Self::UnmergedBuddies { pfn, order } => {
                write!(f, "free blocks of order {order} at page {pfn} and after it, should be one")
            }
            Self::ForeignZone { pfn, zone_id } => {
                write!(f, "page {pfn} has zone id {zone_id}, should be the zone's own")
            }
            Self::CorruptState { pfn, state } => {
                write!(f, "page {pfn} has state {state:#04x}, should be one that exists")
            }
            Self::FreePages { counted, found } => {
                write!(f, "zone counts {counted} free pages, should be {found} as in its free blocks")
            }
        }
    }
}

impl core::error::Error for Inconsistency {}
