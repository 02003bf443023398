//! Poisoning, in debug builds: a freed block is filled with a pattern, which is
//! checked when the block is allocated again. A write after free is so found by
//! frame and offset. [`frames::poison`] has the pattern, and the map of the
//! pages that carry it.

use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;

use frames::poison::{PoisonMap, check_page};
use frames::{PageState, Pfn, order_pages};
use spin::Once;

use super::{mem_map, zero};
use crate::console::warning;

/// Pages that carry the pattern.
static POISONED: Once<PoisonMap<'static>> = Once::new();

/// Makes the map of pages below `end`. Without it, nothing is poisoned.
pub fn init(end: Pfn) {
    if !cfg!(debug_assertions) {
        return;
    }
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

/// Fills the block at `block` with the pattern before it is freed. Does nothing
/// unless an allocated block of `order` begins there.
///
/// # Safety
/// If an allocated block of `order` begins at `block`, it is the caller's alone (invariant 12).
#[inline(always)]
pub unsafe fn poison_block(block: Pfn, order: u8) {
    if !cfg!(debug_assertions) {
        return;
    }
    let is_allocated =
        mem_map::desc(block).is_some_and(|desc| desc.state() == PageState::AllocatedHead { order });
    if let Some(poisoned) = POISONED.get().filter(|_| is_allocated) {
        // SAFETY: an allocated block of this order begins there; it is the caller's alone, by the caller's promise.
        unsafe { zero::poison_frames(block, order_pages(order)) };
        poisoned.mark(block, order_pages(order));
    }
}

/// Checks the pattern in the block at `block`, which was just allocated; the
/// block no longer counts as poisoned.
///
/// # Panics
/// When the block was written to after it was freed.
#[inline(always)]
#[cfg_attr(debug_assertions, track_caller)]
pub fn check_poison(block: Pfn, order: u8) {
    if !cfg!(debug_assertions) {
        return;
    }
    let Some(poisoned) = POISONED.get() else { return };
    for page in (0..order_pages(order)).map(|index| block + index) {
        if poisoned.take(page)
            && let Err(damage) = check_page(words_of(page))
        {
            panic!("invariant 12: page {page} was written to after it was freed: {damage}");
        }
    }
}

fn words_of(page: Pfn) -> &'static [AtomicU64] {
    // SAFETY:
    // 1. All memory of the page allocator is in the physical map for ever (invariant 11), page-aligned.
    // 2. Atomics may be read while others write them.
    unsafe { core::slice::from_raw_parts(mem_map::virt(page).cast(), (frames::PAGE_SIZE / 8) as usize) }
}
