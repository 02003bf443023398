//! Debug builds: what is freed is filled with a pattern, and looked at again
//! when it is given out. Who writes to memory that is not theirs any more is
//! found out then, by frame and offset. The pattern and the account of which
//! pages carry it are [`frames::poison`].

use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;

use frames::poison::{PoisonMap, check_page};
use frames::{Pfn, order_pages};
use spin::Once;

use super::{pages, zero};
use crate::console::warning;

/// Pages that carry the pattern.
static POISONED: Once<PoisonMap<'static>> = Once::new();

/// Makes room to note pages below `end`. Without, nothing is poisoned.
pub fn init(end: Pfn) {
    let words = PoisonMap::words_for(end);
    let mut bits: Vec<AtomicU64> = Vec::new();
    if bits.try_reserve_exact(words).is_err() {
        return warning(format_args!(
            "no memory to note which pages are poisoned; writes after free go unseen"
        ));
    }
    bits.resize_with(words, || AtomicU64::new(0));
    POISONED.call_once(|| PoisonMap::new(bits.leak()));
}

/// Poisons the block at `first`, which is about to be freed.
///
/// # Safety
/// The block is the caller's alone (invariant 12).
pub unsafe fn fill(first: Pfn, order: u8) {
    if let Some(poisoned) = POISONED.get() {
        // SAFETY: passed on.
        unsafe { zero::poison_frames(first, order_pages(order)) };
        poisoned.mark(first, order_pages(order));
    }
}

/// Checks the block at `first`, which was just taken from the allocator, and
/// forgets that it was poisoned.
///
/// # Panics
/// When it was written to since it was freed.
#[track_caller]
pub fn check(first: Pfn, order: u8) {
    let Some(poisoned) = POISONED.get() else { return };
    for page in (0..order_pages(order)).map(|index| first + index) {
        if poisoned.take(page)
            && let Err(damage) = check_page(words_of(page))
        {
            panic!("invariant 12: page {page} was written to after it was freed: {damage}");
        }
    }
}

fn words_of(page: Pfn) -> &'static [AtomicU64] {
    // SAFETY: all memory of the page allocator is in the physical map for ever (invariant 11), page-aligned; as atomics
    // the words may be looked at whoever else writes them.
    unsafe { core::slice::from_raw_parts(pages::virt(page).cast(), (frames::PAGE_SIZE / 8) as usize) }
}
