//! Huge pages: sizes, and reservations of a number of pages.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use frames::{PAGE_SIZE, Pfn, order_pages};

use super::{pages, zero};

/// A size of huge pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HugeSize {
    /// 2 MiB.
    Size2M,
    /// 1 GiB.
    Size1G,
}

impl HugeSize {
    /// Returns the page allocator's order of such a page.
    pub fn order(self) -> u8 {
        match self {
            Self::Size2M => 9,
            Self::Size1G => 18,
        }
    }

    /// Returns the bytes of such a page.
    pub fn bytes(self) -> u64 {
        order_pages(self.order()) * PAGE_SIZE
    }
}

impl fmt::Display for HugeSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size2M => "2 MiB",
            Self::Size1G => "1 GiB",
        })
    }
}

/// No free block was large enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoHugePage;

/// An empty slot.
const NONE: u64 = u64::MAX;

/// A table of huge pages, one in each filled slot. Dropped, it frees them all.
pub struct Reservation {
    size: HugeSize,
    /// Page frame numbers; [`NONE`] until filled.
    slots: Vec<AtomicU64>,
}

impl Reservation {
    /// Returns a table of `count` empty slots; `None` when there is no memory for
    /// it.
    pub fn with_slots(size: HugeSize, count: u64) -> Option<Self> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(count as usize).ok()?;
        slots.extend((0..count).map(|_| AtomicU64::new(NONE)));
        Some(Self { size, slots })
    }

    /// Returns the size of its pages.
    pub fn size(&self) -> HugeSize {
        self.size
    }

    /// Returns the number of pages held.
    pub fn held(&self) -> u64 {
        self.slots.iter().filter(|slot| slot.load(SeqCst) != NONE).count() as u64
    }

    /// Returns the number of slots, filled or not.
    pub fn len(&self) -> u64 {
        self.slots.len() as u64
    }

    /// Allocates a page, clears it and puts it into slot `index`. Threads may fill
    /// different slots at once.
    pub fn fill(&self, index: u64) -> Result<(), NoHugePage> {
        let page = pages::alloc_for_job(self.size.order()).ok_or(NoHugePage)?;
        // SAFETY: the page was just allocated (invariant 12).
        unsafe { zero::zero_frames(page, order_pages(self.size.order())) };
        let before = self.slots[index as usize].swap(page.0, SeqCst);
        assert_eq!(before, NONE, "slot {index} was filled twice");
        Ok(())
    }

    /// Frees the page in slot `index`, if it holds one.
    pub fn release(&self, index: u64) {
        let page = self.slots[index as usize].swap(NONE, SeqCst);
        if page != NONE {
            pages::free(Pfn(page), self.size.order());
        }
    }

    /// Returns the page in slot `index`.
    pub fn page(&self, index: u64) -> Option<Pfn> {
        let page = self.slots[index as usize].load(SeqCst);
        (page != NONE).then_some(Pfn(page))
    }

    /// Returns whether all pages are aligned and no two overlap.
    pub fn is_disjoint(&self) -> bool {
        let mut all: Vec<u64> = self.slots.iter().map(|slot| slot.load(SeqCst)).collect();
        all.retain(|page| *page != NONE);
        all.sort_unstable();
        let step = order_pages(self.size.order());
        all.windows(2).all(|pair| pair[1] - pair[0] >= step) && all.iter().all(|page| page % step == 0)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        for index in 0..self.len() {
            self.release(index);
        }
    }
}

impl fmt::Display for NoHugePage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no free block is large enough")
    }
}
