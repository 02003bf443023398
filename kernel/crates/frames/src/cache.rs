//! Single pages in front of a zone, for one CPU: taking one and giving one back
//! touches no other CPU's memory and takes no shared lock.
//!
//! Bonwick and Adams call this a magazine (USENIX 2001). The cache is filled
//! from the zone and emptied into it half at a time, so that a CPU that takes
//! and gives by turns stays away from the zone for [`CACHE_PAGES`] / 2 calls.

use crate::desc::{PageDesc, PageWord};
use crate::pfn::Pfn;

/// Pages that a cache holds at most.
pub const CACHE_PAGES: usize = 32;
const _: () = assert!(CACHE_PAGES.is_power_of_two());
/// Pages that go to and from the zone at a time.
pub const BATCH_PAGES: usize = CACHE_PAGES / 2;

/// What places without a page have for a descriptor.
static NO_DESC: PageDesc = PageDesc::new();

/// Free pages of one zone, the one given back last on top.
#[derive(Debug)]
pub struct PageCache<'a> {
    pages: [Pfn; CACHE_PAGES],
    /// Their descriptors, so that they need not be found again. Beside the pages
    /// and not among them: an address is one instruction then.
    descs: [&'a PageDesc; CACHE_PAGES],
    len: usize,
    zone_id: u16,
    /// What descriptors say of the zone's pages, ready for comparing.
    allocated: PageWord,
    cached: PageWord,
}

impl<'a> PageCache<'a> {
    /// An empty cache of pages of zone `zone_id`.
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

    /// Takes the page that was given back last.
    #[inline]
    #[must_use = "the page is taken and has to be freed"]
    pub fn take(&mut self) -> Option<Pfn> {
        let top = self.len.checked_sub(1)?;
        // The mask changes nothing; it spares the check of an index that is never too large.
        let place = top % CACHE_PAGES;
        self.len = top;
        self.descs[place].set_page(self.allocated);
        Some(self.pages[place])
    }

    /// Takes a page back; false when it has no place here: the cache is full,
    /// or the page is not a single one allocated from the cache's zone. Then
    /// nothing has changed, and the zone knows what to do or what is wrong.
    /// `descs` describe all pages of the machine, by page frame number.
    #[inline]
    pub fn put(&mut self, descs: &'a [PageDesc], pfn: Pfn) -> bool {
        let (Some(slot), Some(desc)) = (self.pages.get_mut(self.len), descs.get(pfn.0 as usize)) else {
            return false;
        };
        let is_ours = desc.turn_page(self.allocated, self.cached);
        if is_ours {
            *slot = pfn;
            self.descs[self.len % CACHE_PAGES] = desc;
            // Below the capacity: the slot was there.
            self.len = self.len.wrapping_add(1);
        }
        is_ours
    }

    /// Takes up to `pages.len()` pages out, those given back longest ago first,
    /// for the zone: to it they are allocated. Returns how many.
    pub fn drain(&mut self, pages: &mut [Pfn]) -> usize {
        let count = self.len.min(pages.len());
        pages[..count].copy_from_slice(&self.pages[..count]);
        self.descs[..count].iter().for_each(|desc| desc.set_page(self.allocated));
        self.pages.copy_within(count..self.len, 0);
        self.descs.copy_within(count..self.len, 0);
        self.len -= count;
        count
    }
}
