//! The parts of the kernel image in memory, from the symbols of the linker script, and the physical memory of its pages.
//!
//! Loaders place the image in one piece or page by page, so every entry publishes the address of each page.

use core::ops::Range;

use spin::Once;

use super::boot_cell::BootCell;
use super::paging::PAGE_BYTES;
use super::rights::Rights;

unsafe extern "C" {
    static __text_start: u8;
    static __text_end: u8;
    static __rodata_start: u8;
    static __rodata_end: u8;
    static __data_start: u8;
    static __data_end: u8;
}

/// Most pages of the image: 16 MiB. The linker script asserts it.
pub const MAX_PAGES: usize = 4096;

/// Physical addresses of the image's pages, in the order of their virtual addresses.
static PAGES: Once<Pages> = Once::new();

struct Pages {
    addresses: &'static [u64],
    /// From the lowest page to the end of the highest.
    bounds: Range<u64>,
}

/// Returns the parts of the kernel image by virtual address, with their rights. They follow each other without gaps.
pub fn parts() -> [(Range<u64>, Rights); 3] {
    let (text, text_end) = ((&raw const __text_start) as u64, (&raw const __text_end) as u64);
    let (rodata, rodata_end) = ((&raw const __rodata_start) as u64, (&raw const __rodata_end) as u64);
    let (data, data_end) = ((&raw const __data_start) as u64, (&raw const __data_end) as u64);
    [(text..text_end, Rights::Code), (rodata..rodata_end, Rights::ReadOnly), (data..data_end, Rights::Data)]
}

/// Returns all of the image by virtual address.
pub fn whole() -> Range<u64> {
    let [(text, _), _, (data, _)] = parts();
    text.start..data.end
}

/// Publishes where the pages of the image are: `physical_of` returns the physical address of a page.
pub(super) fn publish(physical_of: impl Fn(u64) -> u64) {
    static ADDRESSES: BootCell<[u64; MAX_PAGES]> = BootCell::new([0; MAX_PAGES]);
    PAGES.call_once(|| {
        // SAFETY: `call_once` runs this once. Entries call it with interrupts off, while the boot CPU is alone (invariant 17).
        let addresses = unsafe { ADDRESSES.take() };
        let (mut lowest, mut end) = (u64::MAX, 0);
        let mut count = 0;
        for (virt, address) in whole().step_by(PAGE_BYTES as usize).zip(addresses.iter_mut()) {
            *address = physical_of(virt);
            (lowest, end) = (lowest.min(*address), end.max(*address + PAGE_BYTES));
            count += 1;
        }
        Pages { addresses: &addresses[..count], bounds: lowest..end }
    });
}

fn pages() -> &'static Pages {
    PAGES.get().expect("every entry publishes the image's pages first")
}

/// Returns the physical address of the image's page at `virt`.
///
/// # Panics
/// Outside of the image: a kernel bug.
pub fn physical_of(virt: u64) -> u64 {
    pages().addresses[((virt - whole().start) / PAGE_BYTES) as usize]
}

/// Returns the physical memory of a part of the image, as runs of pages, in the order of their virtual addresses.
fn runs(virt: Range<u64>) -> impl Iterator<Item = Range<u64>> + Clone {
    let mut pages = virt.step_by(PAGE_BYTES as usize).map(physical_of).peekable();
    core::iter::from_fn(move || {
        let start = pages.next()?;
        let mut end = start + PAGE_BYTES;
        while pages.next_if_eq(&end).is_some() {
            end += PAGE_BYTES;
        }
        Some(start..end)
    })
}

/// Returns the physical memory of the image, as runs of pages.
pub fn physical_runs() -> impl Iterator<Item = Range<u64>> + Clone {
    runs(whole())
}

/// Returns the physical memory of code and constants, as runs of pages.
pub fn constant_runs() -> impl Iterator<Item = Range<u64>> + Clone {
    let [.., (data, _)] = parts();
    runs(whole().start..data.start)
}

/// Whether a page of the image lies in this physical memory.
pub fn holds_physical(range: &Range<u64>) -> bool {
    let meets = |other: &Range<u64>| range.start < other.end && other.start < range.end;
    let Pages { addresses, bounds } = pages();
    meets(bounds) && addresses.iter().any(|address| meets(&(*address..address + PAGE_BYTES)))
}
