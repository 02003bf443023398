//! The kernel heap, behind one lock: a first-fit list of holes, and before it what was freed, by size class. For what
//! is small and rare - thread records, tables, names - never on the way of a job or an
//! interrupt (invariant 7).
//!
//! The list is in order of address: to give a block back is to go past every hole below. With two thousand threads
//! that end, it was 10 000 instructions for each, under the lock and with interrupts off. A block that has a class
//! therefore goes into the list only when memory is short.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;

use linked_list_allocator::Heap;
use sizeclass::{CLASSES, SizeClass};

use super::early::EarlyMemory;
use crate::arch::lock_class::LockClass;
use crate::arch::paging::{PAGE_BYTES, phys_to_virt};
use crate::arch::spin_lock::IrqSpinLock;

const LEAST_BYTES: u64 = 2 << 20;
const MOST_BYTES: u64 = 32 << 20;
/// The heap's share of memory, between least and most.
const SHARE_OF_MEMORY: u64 = 64;
/// Blocks that are put among the holes under one hold of the lock.
const RETURN_BATCH: usize = 32;

struct KernelHeap(IrqSpinLock<Blocks>);

#[global_allocator]
static HEAP: KernelHeap = KernelHeap(IrqSpinLock::of(LockClass::HEAP, Blocks::new()));

/// Gives the heap its memory. `None` when there is not enough.
pub fn init(early: &mut EarlyMemory) -> Option<()> {
    let share = early.map.total_usable_bytes() / SHARE_OF_MEMORY;
    let len_bytes = share.clamp(LEAST_BYTES, MOST_BYTES) & !(PAGE_BYTES - 1);
    let start = early.alloc(len_bytes, PAGE_BYTES)?;
    // SAFETY: the range was just handed out to us for good (invariant 12) and is mapped (invariant 11).
    unsafe { HEAP.0.lock().holes.init(phys_to_virt(start) as *mut u8, len_bytes as usize) };
    Some(())
}

/// Bytes in use and bytes free.
pub fn usage() -> (usize, usize) {
    let blocks = HEAP.0.lock();
    (blocks.holes.used() - blocks.free_list_bytes, blocks.holes.free() + blocks.free_list_bytes)
}

/// A block that is kept for a request of its class: the next one's address is in it.
struct FreeBlock {
    next: Option<NonNull<FreeBlock>>,
}

/// The heap's memory.
struct Blocks {
    holes: Heap,
    /// By class, the one that was freed last first. Each came out of `holes` by its class's layout, and nobody has it.
    free_lists: [Option<NonNull<FreeBlock>>; CLASSES],
    free_list_bytes: usize,
}

// SAFETY: the pointers are to memory that belongs to the heap, wherever it is used from; the lock is around all of it.
unsafe impl Send for Blocks {}

impl Blocks {
    const fn new() -> Self {
        Self { holes: Heap::empty(), free_lists: [None; CLASSES], free_list_bytes: 0 }
    }

    fn alloc(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        let class = SizeClass::of(layout);
        if let Some(block) = class.and_then(|class| self.pop_free(class)) {
            return Some(block);
        }
        self.holes.allocate_first_fit(class.map_or(layout, SizeClass::layout)).ok()
    }

    /// Memory is short: puts some of what is kept among the holes, the largest blocks first; whether there was any.
    #[cold]
    fn return_some_to_holes(&mut self) -> bool {
        let largest = SizeClass::all().rev().find(|class| self.free_lists[class.index()].is_some());
        let Some(class) = largest else { return false };
        for _ in 0..RETURN_BATCH {
            let Some(block) = self.pop_free(class) else { break };
            // SAFETY: it came out of `holes` by this layout, and nobody has it since it was kept.
            unsafe { self.holes.deallocate(block, class.layout()) };
        }
        true
    }

    /// # Safety
    /// `block` came from [`alloc`](Self::alloc) with this layout, and nobody uses it any more.
    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        let Some(class) = SizeClass::of(layout) else {
            // SAFETY: passed on; what has no class came out of `holes` by this layout.
            return unsafe { self.holes.deallocate(block, layout) };
        };
        let block = block.cast::<FreeBlock>();
        // SAFETY:
        // 1. The block is the caller's to give up, and the heap's from here on.
        // 2. A block of the smallest class is larger than this, and aligned to more.
        unsafe { block.write(FreeBlock { next: self.free_lists[class.index()] }) };
        self.free_lists[class.index()] = Some(block);
        self.free_list_bytes += class.len_bytes();
    }

    fn pop_free(&mut self, class: SizeClass) -> Option<NonNull<u8>> {
        let block = self.free_lists[class.index()]?;
        // SAFETY: `dealloc` wrote it there, and nobody has had the block since.
        self.free_lists[class.index()] = unsafe { block.read() }.next;
        self.free_list_bytes -= class.len_bytes();
        Some(block.cast())
    }
}

// A block of any class holds what is written into it while it is kept.
const _: () = assert!(size_of::<FreeBlock>() <= 16 && align_of::<FreeBlock>() <= 16);

// SAFETY: the blocks handed out are disjoint, as large and aligned as was asked for, and the heap's own: the list of holes
// hands out such, for the layout or its class's, which is no smaller; the lock serialises it.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        loop {
            let mut blocks = self.0.lock();
            if let Some(block) = blocks.alloc(layout) {
                return block.as_ptr();
            }
            // Each block goes past all holes below it: a few at a time, with a pause in which interrupts come.
            if !blocks.return_some_to_holes() {
                return core::ptr::null_mut();
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller got `block` from `alloc` with this layout.
            unsafe { self.0.lock().dealloc(block, layout) };
        }
    }
}
