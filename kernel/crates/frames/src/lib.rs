//! Page descriptors and a buddy allocator of page frames.
//!
//! The descriptors of a zone are one slice, 16 bytes per 4 KiB page; free lists
//! are linked by index inside them. No unsafe code and no memory of its own is
//! needed: the kernel supplies the slice.
//!
//! Memory becomes allocatable in two passes, as in Linux's deferred
//! initialisation of `struct page`: first descriptors are written
//! ([`Span::init_range`], any number of threads at once), then whole blocks
//! are put on the free lists ([`Zone::free_initial`], a store or two per
//! block). In between, the allocator may already run on other parts: it looks
//! at a neighbour's descriptor when it merges, and one that says hole, reserved
//! or tail is never merged.
//!
//! * [`pfn`]: page frame numbers and block orders.
//! * [`desc`]: one descriptor and its bits.
//! * [`span`]: the descriptors of consecutive pages.
//! * [`zone`]: the buddy allocator over a span.
//! * [`cache`]: pages in front of a zone, for one CPU.
//! * [`poison`]: free pages that show who writes to them.
//! * [`policy`]: from which nodes a number of pages comes.
//! * [`reserve`]: how much of a zone is kept back from whom.
//! * [`verify`]: a check of everything the allocator believes.
#![no_std]
#![forbid(unsafe_code)]

pub mod cache;
pub mod desc;
pub mod error;
pub mod pfn;
pub mod poison;
pub mod policy;
pub mod reserve;
pub mod span;
pub mod verify;
pub mod zone;

mod free_list;

pub use cache::PageCache;
pub use desc::{InitKind, PageDesc, PageState, init_pattern, init_run};
pub use error::{FreeError, Inconsistency, SpanError};
pub use pfn::{MAX_ORDER, ORDERS, PAGE_SHIFT, PAGE_SIZE, Pfn, order_for_pages, order_pages};
pub use reserve::Watermarks;
pub use span::Span;
pub use verify::Census;
pub use zone::{RUN_ORDER, Zone, ZoneStats};
