//! What can be wrong with a span, with a page given back, with a zone.

use core::fmt;

use crate::desc::PageState;
use crate::pfn::{ADDRESS_SPACE_PAGES, MAX_ORDER, Pfn, order_pages};

/// Pages that do not make, or do not lie in, a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanError {
    /// More pages than 32-bit links can number.
    TooLong {
        /// Pages asked for.
        len_pages: u64,
    },
    /// Pages beyond the 52-bit physical address space.
    BeyondAddressSpace {
        /// The first page.
        start: Pfn,
        /// Pages asked for.
        len_pages: u64,
    },
    /// Pages that are not in the span.
    OutOfRange {
        /// The first page asked for.
        start: Pfn,
        /// One past the last page asked for.
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

/// Why pages were not taken back.
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
        /// The order given.
        order: u8,
    },
    /// No block of this order begins here.
    Misaligned {
        /// First page of the block.
        pfn: Pfn,
        /// The order given.
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
        /// The order given.
        order: u8,
        /// The order it was allocated with.
        allocated: u8,
    },
    /// No allocated block begins here.
    NotAllocated {
        /// First page of the block.
        pfn: Pfn,
        /// What the page is.
        state: PageState,
    },
    /// The page cannot be freed for the first time: it is not initialised as
    /// usable, or the allocator has it already.
    NotInitial {
        /// The page.
        pfn: Pfn,
        /// What the page is.
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

/// The first thing that [`Zone::verify`](crate::Zone::verify) found wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Inconsistency {
    /// A free list leads to a page that is not a free block of its order.
    ForeignListMember {
        /// Order of the list.
        order: u8,
        /// The page.
        pfn: Pfn,
        /// What the page is.
        state: PageState,
    },
    /// A free list leads out of the span.
    LinkOutOfRange {
        /// Order of the list.
        order: u8,
        /// The index it leads to.
        index: u32,
    },
    /// A block's link back does not lead to the block before it.
    BrokenBackLink {
        /// Order of the list.
        order: u8,
        /// The block.
        pfn: Pfn,
    },
    /// A free list holds more or fewer blocks than it says.
    ListLength {
        /// Order of the list.
        order: u8,
        /// Blocks that the list says it holds.
        counted: u64,
        /// Blocks found by following it, at least.
        found: u64,
    },
    /// There are free blocks that are in no list.
    UnlistedBlocks {
        /// Their order.
        order: u8,
        /// Blocks in the list.
        listed: u64,
        /// Blocks found in the descriptors.
        found: u64,
    },
    /// A block has an order that does not exist, or begins where none of its
    /// order can, or reaches beyond the span.
    MisplacedBlock {
        /// First page of the block.
        pfn: Pfn,
        /// Its order.
        order: u8,
    },
    /// A page inside a block says that it is something else.
    ForeignPageInBlock {
        /// First page of the block.
        head: Pfn,
        /// The page inside.
        pfn: Pfn,
        /// What that page is.
        state: PageState,
    },
    /// Two free blocks that should have been merged.
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
    /// The descriptor holds no state at all.
    CorruptState {
        /// The page.
        pfn: Pfn,
        /// The state byte found.
        state: u8,
    },
    /// The zone's number of free pages is not that of its free blocks.
    FreePages {
        /// What the zone says.
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
