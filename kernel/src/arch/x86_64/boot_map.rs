//! The boot map: the page tables between an entry and the kernel's own tables.
//!
//! It maps the first 4 GiB of physical memory at the base of the physical map, and the image at its virtual address, all of
//! it writable. The entry code for 32-bit loaders fills the tables in `boot.s`. It maps the same 4 GiB at address 0 too, for
//! itself.

use super::image;
use super::paging::{BOOT_MAP_BYTES, PAGE_BYTES, PHYS_MAP_BASE};

const ENTRIES: usize = 512;
const PRESENT_WRITABLE: u64 = 0b11;
const HUGE_PAGE: u64 = 1 << 7;
const BYTES_2M: u64 = 2 << 20;
/// The image is linked at this address plus its address in memory, if it is loaded in one piece.
const KERNEL_OFFSET: u64 = 0xffff_ffff_8000_0000;

type Table = [u64; ENTRIES];

/// The tables. All but the last two fields are the same for every entry.
#[repr(C, align(4096))]
struct BootTables {
    pml4: Table,
    pdpt_physical: Table,
    pdpt_image: Table,
    /// For the 4 GiB of physical memory. The first also maps an image in one piece.
    directories: [Table; 4],
    /// For an image that is loaded page by page.
    image_directory: Table,
    image_tables: [Table; image::MAX_PAGES / ENTRIES + 1],
}

static mut BOOT_TABLES: BootTables = BootTables {
    pml4: [0; ENTRIES],
    pdpt_physical: [0; ENTRIES],
    pdpt_image: [0; ENTRIES],
    directories: [[0; ENTRIES]; 4],
    image_directory: [0; ENTRIES],
    image_tables: [[0; ENTRIES]; image::MAX_PAGES / ENTRIES + 1],
};

core::arch::global_asm!(
    ".global boot_pml4, boot_pdpt_physical, boot_pdpt_image, boot_page_directories",
    ".set boot_pml4, {tables} + {pml4}",
    ".set boot_pdpt_physical, {tables} + {physical}",
    ".set boot_pdpt_image, {tables} + {image}",
    ".set boot_page_directories, {tables} + {directories}",
    tables = sym BOOT_TABLES,
    pml4 = const core::mem::offset_of!(BootTables, pml4),
    physical = const core::mem::offset_of!(BootTables, pdpt_physical),
    image = const core::mem::offset_of!(BootTables, pdpt_image),
    directories = const core::mem::offset_of!(BootTables, directories),
);

/// Returns the physical address of the image's page at `virt`, for an image that was loaded in one piece at the addresses of
/// the ELF file's program headers.
pub(super) fn loaded_whole(virt: u64) -> u64 {
    virt - KERNEL_OFFSET
}

fn index(virt: u64, level: u32) -> usize {
    (virt >> (12 + 9 * level)) as usize % ENTRIES
}

/// Builds the boot map for an image whose pages are anywhere, as `image` has published them. Returns the physical address of
/// its root.
///
/// # Safety
/// Called once, by the entry, while the boot CPU is alone (invariant 17). No page table in use is one of the boot map.
pub(super) unsafe fn build() -> u64 {
    let tables = &raw mut BOOT_TABLES;
    // SAFETY: the caller promises that no other code and no CPU reads the tables.
    let tables = unsafe { &mut *tables };
    let entry_for = |table: &Table| physical_of(table.as_ptr() as u64) | PRESENT_WRITABLE;
    for (number, entry) in tables.directories.as_flattened_mut().iter_mut().enumerate() {
        *entry = (number as u64 * BYTES_2M) | PRESENT_WRITABLE | HUGE_PAGE;
    }
    for (number, directory) in tables.directories.iter().enumerate() {
        tables.pdpt_physical[number] = entry_for(directory);
    }
    let image = image::whole();
    for virt in image.clone().step_by(PAGE_BYTES as usize) {
        let table = &mut tables.image_tables[(virt / BYTES_2M - image.start / BYTES_2M) as usize];
        table[index(virt, 0)] = image::physical_of(virt) | PRESENT_WRITABLE;
        tables.image_directory[index(virt, 1)] = entry_for(table);
    }
    tables.pdpt_image[index(image.start, 2)] = entry_for(&tables.image_directory);
    tables.pml4[index(PHYS_MAP_BASE, 3)] = entry_for(&tables.pdpt_physical);
    tables.pml4[index(image.start, 3)] = entry_for(&tables.pdpt_image);
    physical_of(tables.pml4.as_ptr() as u64)
}

/// Returns the physical address of a table of the image.
fn physical_of(virt: u64) -> u64 {
    image::physical_of(virt) + virt % PAGE_BYTES
}

const _: () = assert!(BOOT_MAP_BYTES == 4 * ENTRIES as u64 * BYTES_2M);
