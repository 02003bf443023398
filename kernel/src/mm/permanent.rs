//! Permanent pages: those of stacks, page tables and the table of file pages, which are never freed.
//!
//! Any thread may trigger a permanent allocation: the first that needs a worker, or a window of address space. Leak
//! checks therefore compare free + permanent pages.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use frames::{Pfn, order_pages};

use super::{pages, stats};

/// Changes that have begun, and changes that have ended with their count.
static BEGUN: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);
static PAGES: AtomicU64 = AtomicU64::new(0);

/// Runs `change`, which allocates or frees permanent pages and counts them.
fn counted<R>(change: impl FnOnce() -> R) -> R {
    BEGUN.fetch_add(1, SeqCst);
    let result = change();
    ENDED.fetch_add(1, SeqCst);
    result
}

/// Allocates 2^`order` permanent page frames, from the reserve too.
pub fn alloc(order: u8) -> Option<Pfn> {
    counted(|| {
        let block = pages::alloc_reserved(order)?;
        PAGES.fetch_add(order_pages(order), SeqCst);
        Some(block)
    })
}

/// Allocates as [`alloc`], not from the reserve.
pub fn alloc_spare(order: u8) -> Option<Pfn> {
    counted(|| {
        let block = pages::alloc(order)?;
        PAGES.fetch_add(order_pages(order), SeqCst);
        Some(block)
    })
}

/// Frees a block from [`alloc`] that was not used after all.
pub fn undo_alloc(block: Pfn, order: u8) {
    counted(|| {
        pages::free(block, order);
        PAGES.fetch_sub(order_pages(order), SeqCst);
    });
}

/// Allocates a page frame for a page table; returns its physical address.
pub fn alloc_table() -> Option<u64> {
    Some(alloc(0)?.address())
}

/// Returns the number of permanent page frames.
pub fn pages() -> u64 {
    PAGES.load(SeqCst)
}

/// Returns the number of free and permanent page frames, from one moment; `None` while a permanent allocation is under
/// way.
pub fn free_or_permanent_pages() -> Option<u64> {
    let ended = ENDED.load(SeqCst);
    let sum = stats::free_pages() + pages();
    // All changes that have begun had ended before the counts were read: none was under way meanwhile.
    (BEGUN.load(SeqCst) == ended).then_some(sum)
}
