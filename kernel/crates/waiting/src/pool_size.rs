//! The number of pages that a pool has and should have, in one word. A returned page leaves the pool exactly when there
//! are more pages than wanted, however many threads return pages or change the wanted number concurrently.

use crate::sync::{AtomicU64, SeqCst};

const WANTED_SHIFT: u32 = 32;
const TOTAL_MASK: u64 = (1 << WANTED_SHIFT) - 1;

/// The size of a pool: its total in the low half of the word, the wanted number in the high half.
#[derive(Debug)]
pub struct PoolSize(AtomicU64);

impl PoolSize {
    /// Creates the size of an empty pool that should stay empty.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Creates the size of an empty pool that should stay empty.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Returns the number of pages in the pool, free or in use.
    pub fn total(&self) -> u64 {
        self.0.load(SeqCst) & TOTAL_MASK
    }

    /// Returns the number of pages that the pool should have.
    pub fn wanted(&self) -> u64 {
        self.0.load(SeqCst) >> WANTED_SHIFT
    }

    /// Sets the number of pages that the pool should have, at most 2^32 - 1.
    pub fn set_wanted(&self, wanted: u64) {
        let wanted = wanted.min(TOTAL_MASK);
        self.update(|total, _| Some((total, wanted)));
    }

    /// Adds `pages` to the total.
    pub fn add(&self, pages: u64) {
        self.update(|total, wanted| Some((total + pages, wanted)));
    }

    /// Subtracts up to `most` pages from the total, however many are wanted. Returns how many.
    pub fn remove(&self, most: u64) -> u64 {
        let mut removed = 0;
        self.update(|total, wanted| {
            removed = most.min(total);
            Some((total - removed, wanted))
        });
        removed
    }

    /// Subtracts up to `most` surplus pages from the total. Returns how many. The caller owns them: it frees them or
    /// [adds](Self::add) them again.
    pub fn shed(&self, most: u64) -> u64 {
        let mut shed = 0;
        self.update(|total, wanted| {
            shed = most.min(total.saturating_sub(wanted));
            (shed > 0).then_some((total - shed, wanted))
        });
        shed
    }

    fn update(&self, mut change: impl FnMut(u64, u64) -> Option<(u64, u64)>) {
        // An unchanged word is no error: there was nothing to shed.
        let _ = self.0.fetch_update(SeqCst, SeqCst, |word| {
            let (total, wanted) = change(word & TOTAL_MASK, word >> WANTED_SHIFT)?;
            Some(wanted << WANTED_SHIFT | total)
        });
    }
}

#[cfg(not(loom))]
impl Default for PoolSize {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn pages_are_removed_whether_wanted_or_not_and_shed_if_surplus() {
        let size = PoolSize::new();
        size.set_wanted(3);
        size.add(5);
        assert_eq!((size.total(), size.wanted()), (5, 3));
        assert_eq!((size.shed(1), size.shed(9), size.shed(9)), (1, 1, 0), "two were surplus");
        assert_eq!((size.remove(2), size.total()), (2, 1), "wanted ones too");
        assert_eq!((size.remove(9), size.remove(9), size.total()), (1, 0, 0), "no more than there are");
        size.set_wanted(u64::MAX);
        assert_eq!((size.wanted(), size.total()), (u64::from(u32::MAX), 0));
    }
}
