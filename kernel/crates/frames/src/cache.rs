//! A cache of single pages in front of a zone, for one CPU. Its calls touch no
//! other CPU's memory and take no shared lock.
//!
//! Bonwick and Adams call this a magazine (USENIX 2001). The cache is filled from
//! the zone and emptied into it half at a time. A CPU that alternates between take
//! and put therefore stays away from the zone for [`CACHE_PAGES`] / 2 calls.

use crate::desc::{PageDesc, PageWord};
use crate::pfn::Pfn;

/// Pages that move between cache and zone at a time.
pub const BATCH_PAGES: usize = 16;
/// Capacity of a cache.
pub const CACHE_PAGES: usize = 2 * BATCH_PAGES;
const _: () = assert!(CACHE_PAGES.is_power_of_two());

/// The descriptor of unused entries.
static NO_DESC: PageDesc = PageDesc::new();

/// Free pages of one zone, the page put last on top.
#[derive(Debug)]
pub struct PageCache<'a> {
    pages: [Pfn; CACHE_PAGES],
    /// Their descriptors, so that they need not be found again. In an array apart
    /// from the pages: an address is one instruction then.
    descs: [&'a PageDesc; CACHE_PAGES],
    len: usize,
    zone_id: u16,
    /// Words of the zone's pages, ready for comparison.
    allocated: PageWord,
    cached: PageWord,
}

impl<'a> PageCache<'a> {
    /// Returns an empty cache of pages of zone `zone_id`.
    #[must_use]
    pub const fn new(zone_id: u16) -> Self {
        Self {
            pages: [Pfn(0); CACHE_PAGES],
            descs: [&NO_DESC; CACHE_PAGES],
            len: 0,
            zone_id,
            allocated: PageWord::allocated(zone_id),
            cached: PageWord::cached(zone_id),
        }
    }

    /// Returns the id of the zone whose pages it holds.
    #[must_use]
    pub const fn zone_id(&self) -> u16 {
        self.zone_id
    }

    /// Returns the number of pages in the cache.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Returns whether there is no page.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns whether there is no room for another page.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.len == CACHE_PAGES
    }

    /// Takes the page that was put last.
    #[inline]
    #[must_use = "the page is taken and has to be freed"]
    pub fn take(&mut self) -> Option<Pfn> {
        let top = self.len.checked_sub(1)?;
        // The mask changes nothing; it spares the bounds check.
        let entry = top % CACHE_PAGES;
        self.len = top;
        self.descs[entry].set_word(self.allocated);
        Some(self.pages[entry])
    }

    /// Puts a page into the cache. Returns false, and changes nothing, when the
    /// cache is full or `pfn` is not a single page allocated from the cache's zone.
    /// The zone then frees the page or reports what is wrong. `descs` describe all
    /// pages of the machine, by page frame number.
    #[inline]
    pub fn put(&mut self, descs: &'a [PageDesc], pfn: Pfn) -> bool {
        let (Some(entry), Some(desc)) = (self.pages.get_mut(self.len), descs.get(pfn.0 as usize)) else {
            return false;
        };
        let is_ours = desc.replace_word(self.allocated, self.cached);
        if is_ours {
            *entry = pfn;
            self.descs[self.len % CACHE_PAGES] = desc;
            // Below the capacity: the entry exists.
            self.len = self.len.wrapping_add(1);
        }
        is_ours
    }

    /// Takes up to `pages.len()` pages out for the zone, the page put first coming
    /// first. Their state is allocated, as the zone expects. Returns their number.
    pub fn drain(&mut self, pages: &mut [Pfn]) -> usize {
        let count = self.len.min(pages.len());
        pages[..count].copy_from_slice(&self.pages[..count]);
        self.descs[..count].iter().for_each(|desc| desc.set_word(self.allocated));
        self.pages.copy_within(count..self.len, 0);
        self.descs.copy_within(count..self.len, 0);
        self.len -= count;
        count
    }
}
