//! Stacks of allocated blocks, linked through their descriptors. A stack needs no
//! memory and leaves the contents of its blocks unchanged.

use core::sync::atomic::{
    AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

use frames::Pfn;

use super::mem_map;
use crate::arch::lock_class::LockClass;
use crate::arch::spin_lock::IrqSpinLock;

/// The end of the stack. Page 0 is never on a stack: the allocator never has it.
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
    /// Returns an empty stack.
    pub const fn new() -> Self {
        Self { top: IrqSpinLock::of(LockClass::PAGE_STACK, BOTTOM), len: AtomicU64::new(0) }
    }

    /// Returns the number of blocks on the stack.
    pub fn len(&self) -> u64 {
        self.len.load(SeqCst)
    }

    /// Pushes an allocated block.
    pub fn push(&self, block: Pfn) {
        self.push_all(&[block]);
    }

    /// Pushes allocated blocks with the lock taken once. The first becomes the
    /// topmost.
    pub fn push_all(&self, blocks: &[Pfn]) {
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return };
        // The blocks are ours until they are on the stack: linking them needs no lock. Relaxed, here and below: the next
        // holder of the lock sees what was stored before the lock was released.
        for pair in blocks.windows(2) {
            link_of(pair[0]).store(pair[1].0, Relaxed);
        }
        let last_link = link_of(*last);
        let mut top = self.top.lock();
        last_link.store(*top, Relaxed);
        *top = first.0;
        self.len.fetch_add(blocks.len() as u64, SeqCst);
    }

    /// Pops the topmost block.
    pub fn pop(&self) -> Option<Pfn> {
        let mut block = [Pfn(BOTTOM)];
        (self.pop_some(&mut block) == 1).then_some(block[0])
    }

    /// Pops blocks until `blocks` is full or none is left, with the lock taken once.
    /// Returns their number.
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
            // The owner's word of a newly allocated block is 0.
            link.store(0, Relaxed);
            count += 1;
        }
        self.len.fetch_sub(count as u64, SeqCst);
        count
    }
}

/// Returns the link of a block to the next one below: its owner's word.
fn link_of(block: Pfn) -> &'static AtomicU64 {
    let word = mem_map::desc(block).and_then(|desc| desc.owner_word());
    word.expect("a block on a stack is allocated")
}
