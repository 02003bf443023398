//! The kernel heap: a first-fit list behind one lock. For what is small and
//! rare - thread records, tables, names - never on the way of a job or an
//! interrupt (invariant 7).

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;

use linked_list_allocator::Heap;

use super::early::EarlyMemory;
use crate::arch::irq::IrqLock;
use crate::arch::lock_class::LockClass;
use crate::arch::paging::{PAGE_BYTES, phys_to_virt};

const LEAST_BYTES: u64 = 2 << 20;
const MOST_BYTES: u64 = 32 << 20;
/// The heap's share of memory, between least and most.
const SHARE_OF_MEMORY: u64 = 64;

struct KernelHeap(IrqLock<Heap>);

#[global_allocator]
static HEAP: KernelHeap = KernelHeap(IrqLock::of(LockClass::HEAP, Heap::empty()));

/// Gives the heap its memory. `None` when there is not enough.
pub fn init(early: &mut EarlyMemory) -> Option<()> {
    let share = early.map.total_usable_bytes() / SHARE_OF_MEMORY;
    let len_bytes = share.clamp(LEAST_BYTES, MOST_BYTES) & !(PAGE_BYTES - 1);
    let start = early.alloc(len_bytes, PAGE_BYTES)?;
    // SAFETY: the range was just handed out to us for good (invariant 12) and is mapped (invariant 11).
    unsafe { HEAP.0.lock().init(phys_to_virt(start) as *mut u8, len_bytes as usize) };
    Some(())
}

/// Bytes in use and bytes free.
pub fn usage() -> (usize, usize) {
    let heap = HEAP.0.lock();
    (heap.used(), heap.free())
}

// SAFETY: the list allocator hands out disjoint, aligned blocks of memory that is its own; the lock serialises it.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = self.0.lock().allocate_first_fit(layout);
        block.map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller got `block` from `alloc` with this layout.
            unsafe { self.0.lock().deallocate(block, layout) };
        }
    }
}
