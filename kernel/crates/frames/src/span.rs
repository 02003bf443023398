//! The descriptors of consecutive page frames.

use core::ops::Range;

use crate::desc::{InitKind, PageDesc, init_run};
use crate::error::SpanError;
use crate::pfn::{ADDRESS_SPACE_PAGES, Pfn};

/// Descriptors of the pages `base..base + len`, some of which may be holes.
///
/// A copyable handle: threads that initialise descriptors need no lock.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    descs: &'a [PageDesc],
    base: Pfn,
    zone_id: u16,
}

impl<'a> Span<'a> {
    /// Returns a span in which `descs[i]` describes page `base + i`. All pages
    /// belong to zone `zone_id`.
    ///
    /// # Errors
    /// More than 2^32 - 1 pages, or pages beyond 52-bit addresses.
    pub const fn new(descs: &'a [PageDesc], base: Pfn, zone_id: u16) -> Result<Self, SpanError> {
        let len_pages = descs.len() as u64;
        // A link is an index plus 1 in 32 bits.
        if len_pages > u32::MAX as u64 {
            return Err(SpanError::TooLong { len_pages });
        }
        if base.0 > ADDRESS_SPACE_PAGES || len_pages > ADDRESS_SPACE_PAGES - base.0 {
            return Err(SpanError::BeyondAddressSpace { start: base, len_pages });
        }
        Ok(Self { descs, base, zone_id })
    }

    /// Returns the pages of the span.
    #[must_use]
    pub fn pages(&self) -> Range<Pfn> {
        self.base..self.base + self.len_pages()
    }

    /// Returns the number of pages in the span.
    #[must_use]
    pub const fn len_pages(&self) -> u64 {
        self.descs.len() as u64
    }

    /// Returns the id of the zone that the pages belong to.
    #[must_use]
    pub const fn zone_id(&self) -> u16 {
        self.zone_id
    }

    /// Returns the descriptors in the order of their pages.
    #[must_use]
    pub const fn descs(&self) -> &'a [PageDesc] {
        self.descs
    }

    /// Returns the descriptor of page `pfn`; `None` outside the span.
    #[must_use]
    pub fn desc(&self, pfn: Pfn) -> Option<&'a PageDesc> {
        Some(&self.descs[self.index(pfn)? as usize])
    }

    /// Returns the descriptors of `range`.
    ///
    /// # Errors
    /// The range is not in the span.
    pub fn descs_of(&self, range: Range<Pfn>) -> Result<&'a [PageDesc], SpanError> {
        let pages = self.pages();
        if range.start < pages.start || range.end < range.start || pages.end < range.end {
            return Err(SpanError::OutOfRange { start: range.start, end: range.end });
        }
        Ok(&self.descs[(range.start - self.base) as usize..(range.end - self.base) as usize])
    }

    /// Initialises the descriptors of `range`. It touches no list, so threads may
    /// initialise different ranges at once while the zone is in use.
    ///
    /// The pages must be new to the zone (holes), or reserved pages that become
    /// usable. A write over a page that the allocator owns breaks its lists.
    ///
    /// # Errors
    /// The range is not in the span.
    pub fn init_range(&self, range: Range<Pfn>, kind: InitKind) -> Result<(), SpanError> {
        init_run(self.descs_of(range)?, kind, self.zone_id);
        Ok(())
    }

    /// Returns the index of page `pfn`.
    pub(crate) fn index(&self, pfn: Pfn) -> Option<u32> {
        let index = pfn.0.checked_sub(self.base.0)?;
        // The length fits 32 bits, so an index below it does.
        (index < self.len_pages()).then_some(index as u32)
    }

    /// Returns the page at `index`.
    pub(crate) fn pfn(&self, index: u32) -> Pfn {
        self.base + u64::from(index)
    }
}
