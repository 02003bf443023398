//! The page allocator: one zone, one lock.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use frames::{FreeError, Pfn, Span, Zone};
use params::registry::FAULT_ALLOC;
use spin::Once;

use crate::arch::irq::IrqLock;
use crate::arch::paging::phys_to_virt;

static ZONE: Once<IrqLock<Zone<'static>>> = Once::new();
/// Page allocations by jobs so far, for fault injection.
static JOB_ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// Brings the allocator into being, with nothing free yet.
pub fn init(span: Span<'static>) {
    ZONE.call_once(|| IrqLock::new(Zone::from_span(span)));
}

/// The one zone.
///
/// # Panics
/// Before [`init`]: a bug of ours.
pub fn zone() -> &'static IrqLock<Zone<'static>> {
    ZONE.get().expect("the page allocator is used before it exists")
}

/// Takes 2^`order` page frames, aligned to their size.
pub fn alloc(order: u8) -> Option<Pfn> {
    zone().lock().alloc(order)
}

/// As [`alloc`], for jobs: `fault.alloc` may make it fail.
pub fn alloc_for_job(order: u8) -> Option<Pfn> {
    let number = JOB_ALLOCATIONS.fetch_add(1, SeqCst) + 1;
    if FAULT_ALLOC.get() == Some(number) {
        return None;
    }
    alloc(order)
}

/// Has `fault.alloc` count from here.
pub fn restart_fault_count() {
    JOB_ALLOCATIONS.store(0, SeqCst);
}

/// Gives page frames back.
///
/// # Panics
/// When they were not allocated: whoever frees them twice may be writing to
/// somebody else's memory already.
pub fn free(pfn: Pfn, order: u8) {
    if let Err(error) = try_free(pfn, order) {
        panic!("freeing 2^{order} pages at {:#x}: {error}", pfn.address());
    }
}

/// As [`free`], for tests of misuse.
pub fn try_free(pfn: Pfn, order: u8) -> Result<(), FreeError> {
    zone().lock().free(pfn, order)
}

/// A page frame for a page table, by physical address.
pub fn alloc_table() -> Option<u64> {
    Some(alloc(0)?.address())
}

/// Number of free page frames.
pub fn free_pages() -> u64 {
    zone().lock().free_pages()
}

/// Where the frame is in the physical map.
pub fn virt(pfn: Pfn) -> *mut u8 {
    phys_to_virt(pfn.address()) as *mut u8
}
