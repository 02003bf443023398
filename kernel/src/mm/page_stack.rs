//! Blocks of page frames kept at hand, linked through their descriptors: a stack
//! that needs no memory of its own and leaves the blocks' contents alone.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use frames::Pfn;

use super::pages;
use crate::arch::irq::IrqLock;
use crate::arch::lock_class::LockClass;

/// Page 0 is never kept: it is never given to the allocator.
const BOTTOM: u64 = 0;

/// A stack of allocated blocks, by their first page. The stack owns them
/// (invariant 12).
#[repr(align(128))]
pub struct PageStack {
    /// The topmost block's page frame number.
    top: IrqLock<u64>,
    /// Changed under the lock.
    len: AtomicU64,
}

impl PageStack {
    /// An empty stack.
    pub const fn new() -> Self {
        Self { top: IrqLock::of(LockClass::PAGE_STACK, BOTTOM), len: AtomicU64::new(0) }
    }

    /// Blocks on the stack.
    pub fn len(&self) -> u64 {
        self.len.load(SeqCst)
    }

    /// Puts an allocated block on top.
    pub fn push(&self, block: Pfn) {
        let link = link_of(block);
        let mut top = self.top.lock();
        link.store(*top, SeqCst);
        *top = block.0;
        self.len.fetch_add(1, SeqCst);
    }

    /// Takes the topmost block.
    pub fn pop(&self) -> Option<Pfn> {
        let mut top = self.top.lock();
        if *top == BOTTOM {
            return None;
        }
        let block = Pfn(*top);
        *top = link_of(block).swap(0, SeqCst);
        self.len.fetch_sub(1, SeqCst);
        Some(block)
    }
}

/// Where a block's link to the one below is.
fn link_of(block: Pfn) -> &'static AtomicU64 {
    let word = pages::desc(block).and_then(|desc| desc.owner_word());
    word.expect("a block that is kept is an allocated one")
}
