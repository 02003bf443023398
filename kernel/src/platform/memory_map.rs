//! The firmware's memory map.

use bootloader_api::BootInfo;
use firmware::memmap::MemoryMap;

use crate::arch::handover::{self, MapReading};
use crate::arch::{BootCell, apic, cpu, paging};
use crate::console::warning;

/// Reads the firmware's memory map and repairs it.
///
/// # Safety
/// Once, on the boot CPU, while it is alone (invariant 17).
pub unsafe fn read(boot_info: &BootInfo) -> &'static MemoryMap {
    /// Too large for the boot stack.
    static MAP: BootCell<MemoryMap> = BootCell::new(MemoryMap::EMPTY);
    // SAFETY: called once and while alone, by the caller's promise (invariant 17).
    let map = unsafe { MAP.take() };
    // Memory beyond the physical map is not used.
    let bits = cpu::features().phys_addr_bits.min(paging::PHYS_MAP_BYTES.ilog2() as u8);
    let MapReading { unreadable, condensed } = handover::get().map;
    if unreadable > 0 {
        warning(format_args!(
            "{unreadable} entries of the loader's memory map cannot be read, above 4 GiB or too many; what they say is not known"
        ));
    }
    let report = map.fill(boot_info.memory_regions.iter().map(handover::region), bits);
    let report = condensed.map_or(report, |condensed| condensed.then(report));
    if report.is_suspicious() {
        warning(format_args!("the firmware's {report}"));
    } else {
        log::debug!("{report}");
    }
    // Registers hide any memory at their address.
    let local_apic = apic::xapic_physical_base();
    if map.withhold(local_apic..local_apic + paging::PAGE_BYTES) > 0 {
        warning(format_args!(
            "the firmware lists memory at {local_apic:#x}, where the local apic's registers are; not used"
        ));
    }
    map
}
