//! The kernel's one address space.

use core::ops::Range;

use crate::arch::lock_class::LockClass;
use crate::arch::paging::{DEVICES_BASE, MapError, PAGE_BYTES, PageTables, Rights};
use crate::arch::spin_lock::IrqSpinLock;

static TABLES: IrqSpinLock<Option<PageTables>> = IrqSpinLock::of(LockClass::PAGE_TABLES, None);
static NEXT_DEVICE_PAGE: IrqSpinLock<u64> = IrqSpinLock::of(LockClass::DEVICE_PAGES, DEVICES_BASE);

/// Stores the tables that this CPU runs on.
pub fn adopt(tables: PageTables) {
    *TABLES.lock() = Some(tables);
}

/// Runs `work` with the tables locked.
///
/// # Panics
/// Before [`adopt`]: a kernel bug.
pub fn with_tables<R>(work: impl FnOnce(&mut PageTables) -> R) -> R {
    work(TABLES.lock().as_mut().expect("the address space is used before it exists"))
}

/// Maps the page of device registers that holds `phys`, uncached; `alloc` returns
/// page frames for tables. Returns the virtual address of `phys`. Device mappings
/// are permanent.
pub fn map_device(phys: u64, alloc: &mut dyn FnMut() -> Option<u64>) -> Option<u64> {
    let mut next = NEXT_DEVICE_PAGE.lock();
    let virt = *next;
    let page = phys & !(PAGE_BYTES - 1);
    with_tables(|tables| tables.map(virt, page, PAGE_BYTES, Rights::Device, alloc)).ok()?;
    *next += PAGE_BYTES;
    Some(virt + (phys - page))
}

/// Maps video memory, so that the CPU may combine writes; `alloc` returns page frames for tables. Returns the virtual
/// address of `phys.start`. The mapping is permanent.
pub fn map_video(phys: &Range<u64>, alloc: &mut dyn FnMut() -> Option<u64>) -> Result<u64, MapError> {
    /// Size of the larger pages that every CPU has. The mapping uses them where it can.
    const LARGE_PAGE_BYTES: u64 = 2 << 20;
    let start = phys.start & !(PAGE_BYTES - 1);
    let len_bytes = phys.end.next_multiple_of(PAGE_BYTES).saturating_sub(start);
    let mut next = NEXT_DEVICE_PAGE.lock();
    let virt = next.next_multiple_of(LARGE_PAGE_BYTES) + start % LARGE_PAGE_BYTES;
    // Also after a failure, which leaves a part mapped.
    *next = virt + len_bytes;
    with_tables(|tables| tables.map(virt, start, len_bytes, Rights::Video, alloc))?;
    Ok(virt + (phys.start - start))
}
