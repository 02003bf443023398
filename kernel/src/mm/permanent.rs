//! Page frames that the kernel keeps for good once it has taken them: those of stacks and of page tables.
//!
//! Any thread that is the first to need a worker, or a window of address space, makes some. Who compares what is free
//! before and after therefore adds what is kept.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use frames::{Pfn, order_pages};

use super::{pages, stats};

/// Times that somebody began to take or to give up some, and times that this was counted.
static BEGUN: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);
static PAGES: AtomicU64 = AtomicU64::new(0);

/// Runs `change`, which takes or gives up some and counts it.
fn counted<R>(change: impl FnOnce() -> R) -> R {
    BEGUN.fetch_add(1, SeqCst);
    let result = change();
    ENDED.fetch_add(1, SeqCst);
    result
}

/// Takes 2^`order` page frames, of the reserve too.
pub fn alloc(order: u8) -> Option<Pfn> {
    counted(|| {
        let block = pages::alloc_reserved(order)?;
        PAGES.fetch_add(order_pages(order), SeqCst);
        Some(block)
    })
}

/// Gives back what nothing came of.
pub fn undo_alloc(block: Pfn, order: u8) {
    counted(|| {
        pages::free(block, order);
        PAGES.fetch_sub(order_pages(order), SeqCst);
    });
}

/// A page frame for a page table, by physical address.
pub fn alloc_table() -> Option<u64> {
    Some(alloc(0)?.address())
}

/// Page frames that are kept.
pub fn pages() -> u64 {
    PAGES.load(SeqCst)
}

/// Page frames that nobody holds or that are kept, from one moment; `None` while somebody takes some or gives them up.
pub fn free_or_permanent_pages() -> Option<u64> {
    let ended = ENDED.load(SeqCst);
    let sum = stats::free_pages() + pages();
    // No more have begun than had ended before: nobody was at it at any time between.
    (BEGUN.load(SeqCst) == ended).then_some(sum)
}
