//! The parts of the kernel image in memory, from the symbols of the linker script.

use core::ops::Range;

use super::rights::Rights;

unsafe extern "C" {
    static __boot_start: u8;
    static __text_start: u8;
    static __text_end: u8;
    static __rodata_start: u8;
    static __rodata_end: u8;
    static __data_start: u8;
    static __data_end: u8;
    static __image_end_phys: u8;
}

/// Returns the parts of the kernel image by virtual address, with their rights.
pub fn parts() -> [(Range<u64>, Rights); 3] {
    let (text, text_end) = ((&raw const __text_start) as u64, (&raw const __text_end) as u64);
    let (rodata, rodata_end) = ((&raw const __rodata_start) as u64, (&raw const __rodata_end) as u64);
    let (data, data_end) = ((&raw const __data_start) as u64, (&raw const __data_end) as u64);
    [(text..text_end, Rights::Code), (rodata..rodata_end, Rights::ReadOnly), (data..data_end, Rights::Data)]
}

/// Returns the physical memory of the kernel image.
pub fn physical() -> Range<u64> {
    (&raw const __boot_start) as u64..(&raw const __image_end_phys) as u64
}

/// Returns the part of [`physical`] that holds code and constants, without the data at its end.
pub fn physical_constants() -> Range<u64> {
    let image = physical();
    let [.., (data, _)] = parts();
    image.start..image.end - (data.end - data.start)
}
