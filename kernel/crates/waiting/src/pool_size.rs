//! How many pages a pool has and should have, as one word: a page that is given
//! back leaves the pool exactly when there are more than are wanted, however
//! many threads give pages back or change what is wanted at the same time.

use crate::sync::{AtomicU64, SeqCst};

const WANTED_SHIFT: u32 = 32;
const TOTAL_MASK: u64 = (1 << WANTED_SHIFT) - 1;

/// The size of a pool: its total in the low half of the word, what is wanted in the
/// high half.
#[derive(Debug)]
pub struct PoolSize(AtomicU64);

impl PoolSize {
    /// An empty pool, of which nothing is wanted.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// An empty pool, of which nothing is wanted.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Pages in the pool, free or in use.
    pub fn total(&self) -> u64 {
        self.0.load(SeqCst) & TOTAL_MASK
    }

    /// Pages that the pool should have.
    pub fn wanted(&self) -> u64 {
        self.0.load(SeqCst) >> WANTED_SHIFT
    }

    /// Sets how many pages the pool should have, 2^32 - 1 at most.
    pub fn set_wanted(&self, wanted: u64) {
        let wanted = wanted.min(TOTAL_MASK);
        self.update(|total, _| Some((total, wanted)));
    }

    /// Counts `pages` more in the pool.
    pub fn add(&self, pages: u64) {
        self.update(|total, wanted| Some((total + pages, wanted)));
    }

    /// Counts up to `most` pages less, however many are wanted; returns how many.
    pub fn remove(&self, most: u64) -> u64 {
        let mut removed = 0;
        self.update(|total, wanted| {
            removed = most.min(total);
            Some((total - removed, wanted))
        });
        removed
    }

    /// Counts up to `most` pages less, as far as there are more than are wanted;
    /// returns how many. They are the caller's, to leave the pool or to be
    /// [added](Self::add) again.
    pub fn shed(&self, most: u64) -> u64 {
        let mut shed = 0;
        self.update(|total, wanted| {
            shed = most.min(total.saturating_sub(wanted));
            (shed > 0).then_some((total - shed, wanted))
        });
        shed
    }

    fn update(&self, mut change: impl FnMut(u64, u64) -> Option<(u64, u64)>) {
        // No change is no error: there was nothing to shed.
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
