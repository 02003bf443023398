//! Single pages in front of a zone, for one CPU: taking one and giving one back
//! touches no other CPU's memory and takes no shared lock.
//!
//! Bonwick and Adams call this a magazine (USENIX 2001). The cache is filled
//! from the zone and emptied into it half at a time, so that a CPU that takes
//! and gives by turns stays away from the zone for [`CACHE_PAGES`] / 2 calls.

use crate::desc::PageDesc;
use crate::pfn::Pfn;

/// Pages that a cache holds at most.
pub const CACHE_PAGES: usize = 64;
/// Pages that go to and from the zone at a time.
pub const BATCH_PAGES: usize = CACHE_PAGES / 2;

/// Free pages of one zone, the one given back last on top.
#[derive(Debug)]
pub struct PageCache {
    pages: [Pfn; CACHE_PAGES],
    len: usize,
    zone_id: u16,
}

impl PageCache {
    /// An empty cache of pages of zone `zone_id`.
    #[must_use]
    pub const fn new(zone_id: u16) -> Self {
        Self { pages: [Pfn(0); CACHE_PAGES], len: 0, zone_id }
    }

    /// The zone whose pages it holds.
    #[must_use]
    pub const fn zone_id(&self) -> u16 {
        self.zone_id
    }

    /// Pages in the cache.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether there is no room for another.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.len == CACHE_PAGES
    }

    /// Takes the page that was given back last. `descs` describe all pages of
    /// the machine, by page frame number.
    #[inline]
    #[must_use = "the page is taken and has to be freed"]
    pub fn take(&mut self, descs: &[PageDesc]) -> Option<Pfn> {
        let top = self.len.checked_sub(1)?;
        let pfn = *self.pages.get(top)?;
        self.len = top;
        descs.get(pfn.0 as usize)?.uncache_page(self.zone_id);
        Some(pfn)
    }

    /// Takes a page back; false when it has no place here: the cache is full,
    /// or the page is not a single one allocated from the cache's zone. Then
    /// nothing has changed, and the zone knows what to do or what is wrong.
    #[inline]
    pub fn put(&mut self, descs: &[PageDesc], pfn: Pfn) -> bool {
        let (Some(slot), Some(desc)) = (self.pages.get_mut(self.len), descs.get(pfn.0 as usize)) else {
            return false;
        };
        if !desc.cache_page(self.zone_id) {
            return false;
        }
        *slot = pfn;
        self.len += 1;
        true
    }

    /// Takes up to `pages.len()` pages out, those given back longest ago first,
    /// for the zone: to it they are allocated. Returns how many.
    pub fn drain(&mut self, descs: &[PageDesc], pages: &mut [Pfn]) -> usize {
        let count = self.len.min(pages.len());
        pages[..count].copy_from_slice(&self.pages[..count]);
        self.pages.copy_within(count..self.len, 0);
        self.len -= count;
        for pfn in &pages[..count] {
            descs[pfn.0 as usize].uncache_page(self.zone_id);
        }
        count
    }
}
