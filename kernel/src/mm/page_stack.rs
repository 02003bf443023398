//! Blocks of page frames kept at hand, linked through their descriptors: a stack
//! that needs no memory of its own and leaves the blocks' contents alone.

use core::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

use frames::Pfn;

use super::mem_map;
use crate::arch::lock_class::LockClass;
use crate::arch::spin_lock::IrqSpinLock;

/// Page 0 is never kept: it is never given to the allocator.
const BOTTOM: u64 = 0;

/// A stack of allocated blocks, by their first page. The stack owns them
/// (invariant 12).
#[repr(align(128))]
pub struct PageStack {
    /// The topmost block's page frame number.
    top: IrqSpinLock<u64>,
    /// Changed under the lock.
    len: AtomicU64,
}

impl PageStack {
    /// An empty stack.
    pub const fn new() -> Self {
        Self { top: IrqSpinLock::of(LockClass::PAGE_STACK, BOTTOM), len: AtomicU64::new(0) }
    }

    /// Blocks on the stack.
    pub fn len(&self) -> u64 {
        self.len.load(SeqCst)
    }

    /// Puts an allocated block on top.
    pub fn push(&self, block: Pfn) {
        self.push_all(&[block]);
    }

    /// Puts allocated blocks on top, under one hold of the lock; the first will
    /// be the topmost.
    pub fn push_all(&self, blocks: &[Pfn]) {
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return };
        // Ours until they are on the stack: no lock is needed to link them. Relaxed, here and below: whoever holds the
        // lock next sees what was stored before it was opened.
        for pair in blocks.windows(2) {
            link_of(pair[0]).store(pair[1].0, Relaxed);
        }
        let last_link = link_of(*last);
        let mut top = self.top.lock();
        last_link.store(*top, Relaxed);
        *top = first.0;
        self.len.fetch_add(blocks.len() as u64, SeqCst);
    }

    /// Takes the topmost block.
    pub fn pop(&self) -> Option<Pfn> {
        let mut block = [Pfn(BOTTOM)];
        (self.pop_some(&mut block) == 1).then_some(block[0])
    }

    /// Takes blocks from the top until `blocks` is full or none is left, under
    /// one hold of the lock; returns how many.
    pub fn pop_some(&self, blocks: &mut [Pfn]) -> usize {
        let mut top = self.top.lock();
        let mut count = 0;
        for block in blocks {
            if *top == BOTTOM {
                break;
            }
            *block = Pfn(*top);
            let link = link_of(*block);
            *top = link.load(Relaxed);
            // As whoever has a newly allocated block finds it.
            link.store(0, Relaxed);
            count += 1;
        }
        self.len.fetch_sub(count as u64, SeqCst);
        count
    }
}

/// Where a block's link to the one below is.
fn link_of(block: Pfn) -> &'static AtomicU64 {
    let word = mem_map::desc(block).and_then(|desc| desc.owner_word());
    word.expect("a block that is kept is an allocated one")
}
