//! Free pages that carry a pattern: a write to one shows.
//!
//! Which pages carry it is noted apart from their descriptors, one bit each:
//! pages that were never used, or cleared ahead of time, are free without it, and
//! a page that was overwritten from end to end must not pass for one of those.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::pfn::Pfn;

/// What poisoned pages are full of. As an address it is not canonical: using it as
/// one faults.
pub const POISON: u64 = 0xa5a5_5a5a_dead_beef;

const WORD_BITS: u64 = u64::BITS as u64;

/// Which pages are poisoned.
///
/// A page's bit belongs to who holds the page: it is set before the page is
/// freed and taken after it was allocated, and the allocator's lock orders the two.
#[derive(Debug)]
pub struct PoisonMap<'a> {
    bits: &'a [AtomicU64],
}

impl<'a> PoisonMap<'a> {
    /// Words that a map of the pages below `end` needs.
    #[must_use]
    pub const fn words_for(end: Pfn) -> usize {
        end.0.div_ceil(WORD_BITS) as usize
    }

    /// A map in `bits`, all 0, of pages from 0 on. Pages beyond count as not poisoned.
    #[must_use]
    pub const fn new(bits: &'a [AtomicU64]) -> Self {
        Self { bits }
    }

    /// Notes that `len_pages` pages from `first` on are poisoned.
    pub fn mark(&self, first: Pfn, len_pages: u64) {
        for page in first.0..first.0.saturating_add(len_pages) {
            if let Some(word) = self.bits.get((page / WORD_BITS) as usize) {
                // Relaxed: the allocator's lock lies between this and `take`; neighbours in the word are others'.
                word.fetch_or(1 << (page % WORD_BITS), Ordering::Relaxed);
            }
        }
    }

    /// Whether the page was noted; it is not from here on.
    #[must_use]
    pub fn take(&self, page: Pfn) -> bool {
        let bit = 1 << (page.0 % WORD_BITS);
        // Relaxed: as in `mark`.
        let word = self.bits.get((page.0 / WORD_BITS) as usize);
        word.is_some_and(|word| word.fetch_and(!bit, Ordering::Relaxed) & bit != 0)
    }
}

/// A poisoned page that somebody has written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The first byte that differs, by its offset in the page.
    pub offset: u64,
    /// The word that holds it.
    pub found: u64,
    /// Words that differ.
    pub words: u64,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, found, words } = self;
        write!(
            f,
            "from offset {offset:#x} on, {words} words, the first now {found:#018x}, should be {POISON:#018x}"
        )
    }
}

/// Checks that a poisoned page is as it was left.
///
/// # Errors
/// What is different.
pub fn check_page(words: &[AtomicU64]) -> Result<(), Damage> {
    // Relaxed: whoever writes here does so against the rules; the allocator's lock orders everybody else.
    let differing = || {
        let words = words.iter().map(|word| word.load(Ordering::Relaxed)).enumerate();
        words.filter(|(_, word)| *word != POISON)
    };
    let Some((index, found)) = differing().next() else { return Ok(()) };
    let byte = (found ^ POISON).trailing_zeros() / u8::BITS;
    let offset = (index * size_of::<u64>()) as u64 + u64::from(byte);
    Err(Damage { offset, found, words: differing().count() as u64 })
}
