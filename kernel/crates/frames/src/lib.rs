//! Page descriptors and a buddy allocator of page frames.
//!
//! The descriptors of a zone are one slice, 16 bytes per 4 KiB page. Free lists
//! link them by index. The crate needs no unsafe code and allocates no memory: the
//! kernel supplies the slice.
//!
//! Memory becomes allocatable in two passes, as in Linux's deferred
//! initialisation of `struct page`. First descriptors are written
//! ([`Span::init_range`], any number of threads at once). Then whole blocks are put
//! on the free lists ([`Zone::free_initial`], a store or two per block). Between
//! the passes, the allocator may already run on other parts: a merge reads a
//! neighbour's descriptor, and never merges a hole, a reserved page or a tail page.
//!
//! * [`pfn`]: page frame numbers and block orders.
//! * [`desc`]: one descriptor and its bits.
//! * [`span`]: the descriptors of consecutive pages.
//! * [`zone`]: the buddy allocator over a span.
//! * [`cache`]: single pages in front of a zone, for one CPU.
//! * [`extents`]: runs of frames as one range, by node.
//! * [`poison`]: the pattern in free pages that shows a write after free.
//! * [`policy`]: how many pages come from which node.
//! * [`reserve`]: the watermarks of a zone.
//! * [`verify`]: a consistency check.
#![no_std]
#![forbid(unsafe_code)]

pub mod cache;
pub mod desc;
pub mod error;
pub mod extents;
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
pub use extents::{Extent, Extents, Part};
pub use pfn::{MAX_ORDER, ORDERS, PAGE_SHIFT, PAGE_SIZE, Pfn, order_for_pages, order_pages};
pub use reserve::Watermarks;
pub use span::Span;
pub use verify::Census;
pub use zone::{RUN_ORDER, Zone, ZoneStats};
