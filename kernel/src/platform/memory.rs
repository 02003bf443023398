//! Physical memory, as firmware tables are read from it.

use firmware::memmap::MemoryMap;
use firmware::reach::{self, PhysicalMemory};

use crate::arch::{image, paging};

const _: () = assert!(reach::LIMIT <= paging::BOOT_MAP_BYTES);

/// The physical memory that firmware tables may be in, read-only.
#[derive(Clone, Copy)]
pub struct FirmwareMemory<'a> {
    pub map: &'a MemoryMap,
}

impl<'a> PhysicalMemory<'a> for FirmwareMemory<'a> {
    fn bytes(self, address: u64, len_bytes: u64) -> Option<&'a [u8]> {
        let range = address..address.checked_add(len_bytes)?;
        let image = image::physical();
        let is_image = range.start < image.end && image.start < range.end;
        if is_image || !reach::may_hold_tables(self.map, &range) {
            return None;
        }
        // SAFETY:
        // 1. The range is below 4 GiB, so the boot map maps it (invariant 13), and non-zero.
        // 2. It is outside the image and outside chipset registers, so nothing that the kernel writes. Tables are read
        //    once, alone, before any page frame is handed out (invariant 17), and nothing refers to them afterwards.
        Some(unsafe {
            core::slice::from_raw_parts(paging::phys_to_virt(address) as *const u8, len_bytes as usize)
        })
    }
}
