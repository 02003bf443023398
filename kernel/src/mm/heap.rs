//! The kernel heap: a first-fit list of holes, with free lists by size class in front of it, under one lock. It serves
//! small and rare allocations: thread records, tables, names. Jobs and interrupts do not use it (invariant 7).
//!
//! The list of holes is in order of address: a deallocation walks past every hole below. When two thousand threads ended,
//! that took 10 000 instructions for each, under the lock and with interrupts off. A block that has a size class
//! therefore goes to its free list, and to the holes only when memory is short.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;

use linked_list_allocator::Heap;
use sizeclass::{CLASSES, SizeClass};

use super::early::EarlyMemory;
use crate::arch::chaos::{self, Point};
use crate::arch::lock_class::LockClass;
use crate::arch::paging::{PAGE_BYTES, phys_to_virt};
use crate::arch::spin_lock::IrqSpinLock;

const LEAST_BYTES: u64 = 2 << 20;
const MOST_BYTES: u64 = 32 << 20;
/// Memory bytes per byte of heap, between the two limits.
const SHARE_OF_MEMORY: u64 = 64;
/// Blocks that return to the holes with the lock taken once.
const RETURN_BATCH: usize = 32;

struct KernelHeap(IrqSpinLock<Blocks>);

#[global_allocator]
static HEAP: KernelHeap = KernelHeap(IrqSpinLock::of(LockClass::HEAP, Blocks::new()));

/// Allocates the heap's memory; `None` when there is not enough.
pub fn init(early: &mut EarlyMemory) -> Option<()> {
    let share = early.map.total_usable_bytes() / SHARE_OF_MEMORY;
    let len_bytes = share.clamp(LEAST_BYTES, MOST_BYTES) & !(PAGE_BYTES - 1);
    let start = early.alloc(len_bytes, PAGE_BYTES)?;
    // SAFETY: the range was just allocated for good (invariant 12) and is mapped (invariant 11).
    unsafe { HEAP.0.lock().holes.init(phys_to_virt(start) as *mut u8, len_bytes as usize) };
    Some(())
}

/// Returns bytes in use and bytes free.
pub fn usage() -> (usize, usize) {
    let blocks = HEAP.0.lock();
    (blocks.holes.used() - blocks.free_list_bytes, blocks.holes.free() + blocks.free_list_bytes)
}

/// The contents of a block on a free list.
struct FreeBlock {
    next: Option<NonNull<FreeBlock>>,
}

/// The heap's memory.
struct Blocks {
    holes: Heap,
    /// By class, the block freed last first. Each came out of `holes` by its class's layout and is not allocated.
    free_lists: [Option<NonNull<FreeBlock>>; CLASSES],
    free_list_bytes: usize,
}

// SAFETY: the pointers are to memory that belongs to the heap, on any CPU; the lock is around all of it.
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

    /// Returns some blocks from the free lists to the holes, the largest first. Returns whether there were any.
    #[cold]
    fn return_some_to_holes(&mut self) -> bool {
        let largest = SizeClass::all().rev().find(|class| self.free_lists[class.index()].is_some());
        let Some(class) = largest else { return false };
        for _ in 0..RETURN_BATCH {
            let Some(block) = self.pop_free(class) else { break };
            // SAFETY: the block came out of `holes` by this layout, and was on a free list: it has no owner.
            unsafe { self.holes.deallocate(block, class.layout()) };
        }
        true
    }

    /// # Safety
    /// `block` came from [`alloc`](Self::alloc) with this layout, and is not used any more.
    unsafe fn dealloc(&mut self, block: NonNull<u8>, layout: Layout) {
        let Some(class) = SizeClass::of(layout) else {
            // SAFETY: by the caller's promise; a block without a class came out of `holes` by this layout.
            return unsafe { self.holes.deallocate(block, layout) };
        };
        let block = block.cast::<FreeBlock>();
        // SAFETY:
        // 1. The caller gives the block up: it is the heap's from here on.
        // 2. A block of the smallest class is as large as a `FreeBlock`, and as aligned.
        unsafe { block.write(FreeBlock { next: self.free_lists[class.index()] }) };
        self.free_lists[class.index()] = Some(block);
        self.free_list_bytes += class.len_bytes();
    }

    fn pop_free(&mut self, class: SizeClass) -> Option<NonNull<u8>> {
        let block = self.free_lists[class.index()]?;
        // SAFETY: `dealloc` wrote it there, and the block has had no owner since.
        self.free_lists[class.index()] = unsafe { block.read() }.next;
        self.free_list_bytes -= class.len_bytes();
        Some(block.cast())
    }
}

// A block of any class can hold a `FreeBlock`.
const _: () = assert!(size_of::<FreeBlock>() <= 16 && align_of::<FreeBlock>() <= 16);

// SAFETY:
// 1. Allocated blocks are disjoint, and large and aligned enough for the layout: `holes` returns such blocks for the
//    layout, or for its class's layout, which is no smaller and no less aligned.
// 2. They lie in memory that belongs to the heap.
// 3. The lock serialises all calls.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        chaos::point(Point::Alloc);
        loop {
            let mut blocks = self.0.lock();
            if let Some(block) = blocks.alloc(layout) {
                return block.as_ptr();
            }
            // Each block is moved past all holes below it: a few at a time, with interrupts on between.
            if !blocks.return_some_to_holes() {
                return core::ptr::null_mut();
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        chaos::point(Point::Free);
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller got `block` from `alloc` with this layout.
            unsafe { self.0.lock().dealloc(block, layout) };
        }
    }
}
