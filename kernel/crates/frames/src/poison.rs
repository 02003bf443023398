//! Poisoned pages: free pages with a pattern that shows a write after free.
//!
//! A bit for each page, apart from its descriptor, says whether it carries the
//! pattern. Pages that were never used, and pre-zeroed pages, are free without it;
//! the bit tells a page that was overwritten from end to end from those.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::pfn::Pfn;

/// The pattern. It is not a canonical address: a use as a pointer faults.
pub const POISON: u64 = 0xa5a5_5a5a_dead_beef;

const WORD_BITS: u64 = u64::BITS as u64;

/// The set of poisoned pages.
///
/// A page's bit belongs to the owner of the page: it is set before the page is
/// freed and cleared after it is allocated. The allocator's lock orders the two.
#[derive(Debug)]
pub struct PoisonMap<'a> {
    bits: &'a [AtomicU64],
}

impl<'a> PoisonMap<'a> {
    /// Returns the number of words that a map of the pages below `end` needs.
    #[must_use]
    pub const fn words_for(end: Pfn) -> usize {
        end.0.div_ceil(WORD_BITS) as usize
    }

    /// Returns a map in `bits`, all 0, of pages from 0 on. Pages beyond it count as
    /// not poisoned.
    #[must_use]
    pub const fn new(bits: &'a [AtomicU64]) -> Self {
        Self { bits }
    }

    /// Marks `len_pages` pages from `first` on as poisoned.
    pub fn mark(&self, first: Pfn, len_pages: u64) {
        for page in first.0..first.0.saturating_add(len_pages) {
            if let Some(word) = self.bits.get((page / WORD_BITS) as usize) {
                // Relaxed: the allocator's lock lies between this and `take`. Other bits in the word belong to other
                // owners.
                word.fetch_or(1 << (page % WORD_BITS), Ordering::Relaxed);
            }
        }
    }

    /// Returns whether the page was marked, and clears the mark.
    #[must_use]
    pub fn take(&self, page: Pfn) -> bool {
        let bit = 1 << (page.0 % WORD_BITS);
        // Relaxed: as in `mark`.
        let word = self.bits.get((page.0 / WORD_BITS) as usize);
        word.is_some_and(|word| word.fetch_and(!bit, Ordering::Relaxed) & bit != 0)
    }
}

/// What a write to a poisoned page has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The first byte that differs, by its offset in the page.
    pub offset: u64,
    /// The word that holds it, as found.
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

/// Checks that a poisoned page still holds the pattern in every word.
///
/// # Errors
/// Describes the words that differ.
pub fn check_page(words: &[AtomicU64]) -> Result<(), Damage> {
    // Relaxed: the allocator's lock orders all writes of owners; other writes break the rules.
    let differing = || {
        let words = words.iter().map(|word| word.load(Ordering::Relaxed)).enumerate();
        words.filter(|(_, word)| *word != POISON)
    };
    let Some((index, found)) = differing().next() else { return Ok(()) };
    let byte = (found ^ POISON).trailing_zeros() / u8::BITS;
    let offset = (index * size_of::<u64>()) as u64 + u64::from(byte);
    Err(Damage { offset, found, words: differing().count() as u64 })
}
