//! Physical memory from which firmware tables are read.

use firmware::memmap::MemoryMap;
use firmware::reach::{self, PhysicalMemory};

use crate::arch::{image, paging};

const _: () = assert!(reach::LIMIT <= paging::BOOT_MAP_BYTES);

/// Read-only view of the physical memory that may hold firmware tables.
#[derive(Clone, Copy)]
pub struct FirmwareMemory<'a> {
    pub map: &'a MemoryMap,
}

impl<'a> PhysicalMemory<'a> for FirmwareMemory<'a> {
    fn bytes(self, address: u64, len_bytes: u64) -> Option<&'a [u8]> {
        let range = address..address.checked_add(len_bytes)?;
        if !reach::may_hold_tables(self.map, &range) || image::holds_physical(&range) {
            return None;
        }
        // SAFETY:
        // 1. The range is non-zero and below 4 GiB, so the boot map maps it (invariant 13).
        // 2. The range is outside the image and chipset registers, so the kernel does not write it. Tables are read while
        //    the boot CPU is alone and before any page frame is allocated (invariant 17). No reference outlives that.
        Some(unsafe {
            core::slice::from_raw_parts(paging::phys_to_virt(address) as *const u8, len_bytes as usize)
        })
    }
}
