//! What the firmware tells, as one typed [`Topology`]; nothing of it is
//! trusted. The worst that broken tables can do is a warning and a smaller
//! machine.

mod acpi;
mod clock;
pub mod fixed_hardware;
pub mod io_apics;
mod memory;
pub mod nodes;
pub mod sci;

pub use clock::start_clock;

use bootloader_api::BootInfo;
use bootloader_api::info::{MemoryRegion, MemoryRegionKind};
use firmware::cpus::CpuList;
use firmware::isa_irq::{Interrupts, Route, Signal};
use firmware::memmap::{Kind, MapReport, MemoryMap, Region};
use firmware::nodes::Nodes;
use spin::Once;

use crate::arch::{BootCell, apic, cpu, paging, pvh};
use crate::console::warning;

/// ISA interrupt of COM1.
const COM1_IRQ: u8 = 4;

/// How the first serial port's interrupt arrives, for later.
static SERIAL_ROUTE: Once<Route> = Once::new();

/// How the first serial port's interrupt arrives, if the firmware tells.
pub fn serial_route() -> Option<Route> {
    SERIAL_ROUTE.get().copied()
}

/// Physical address of the HPET's registers, for later.
static HPET: Once<u64> = Once::new();

/// Physical address of the HPET's registers, if there is one.
pub fn hpet() -> Option<u64> {
    HPET.get().copied()
}

/// The machine.
pub struct Topology {
    /// CPUs by APIC id; the boot CPU first.
    pub cpus: CpuList,
    /// The I/O APICs, and where interrupts arrive.
    pub interrupts: Interrupts,
    /// The ACPI PM timer: its port, and whether it counts 32 bits.
    pub pm_timer: Option<(u16, bool)>,
    /// Physical address of the HPET's registers.
    pub hpet: Option<u64>,
    /// Memory nodes: which CPUs and which memory are near each other.
    pub nodes: Nodes,
}

/// Reads the firmware's memory map and repairs it.
///
/// # Safety
/// Once, on the boot CPU, while it is alone (invariant 17).
pub unsafe fn memory_map(boot_info: &BootInfo) -> &'static MemoryMap {
    /// Too large for the boot stack.
    static MAP: BootCell<MemoryMap> = BootCell::new(MemoryMap::EMPTY);
    // SAFETY: once and alone, by the caller's promise.
    let map = unsafe { MAP.take() };
    // What the physical map has no room for does not exist.
    let bits = cpu::features().phys_addr_bits.min(paging::PHYS_MAP_BYTES.ilog2() as u8);
    let pvh::LoaderMap { unreadable, condensed } = pvh::loader_map();
    if unreadable > 0 {
        warning(format_args!(
            "{unreadable} entries of the loader's memory map cannot be read, above 4 GiB or too many; what they say is not known"
        ));
    }
    let report = map.fill(boot_info.memory_regions.iter().map(region), bits);
    let report = condensed.map_or(report, |condensed| condensed.then(report));
    if is_odd(&report) {
        warning(format_args!("the firmware's {report}"));
    } else {
        log::debug!("{report}");
    }
    // The registers hide whatever memory is there.
    let local_apic = apic::xapic_physical_base();
    if map.withhold(local_apic..local_apic + paging::PAGE_BYTES) > 0 {
        warning(format_args!(
            "the firmware lists memory at {local_apic:#x}, where the local apic's registers are; not used"
        ));
    }
    map
}

/// Whether a map is worth a warning. Ends within a page are usual, an order
/// nobody promises; the rest is a lie of some kind, or a loss.
fn is_odd(report: &MapReport) -> bool {
    report.overlapping + report.inverted + report.clipped + report.dropped + report.fused > 0
}

fn region(region: &MemoryRegion) -> Region {
    // Types of the e820 interface, and of UEFI.
    let kind = match region.kind {
        MemoryRegionKind::Usable => Kind::Usable,
        MemoryRegionKind::UnknownBios(number) => Kind::from_e820(number),
        MemoryRegionKind::UnknownUefi(9) => Kind::AcpiReclaimable,
        MemoryRegionKind::UnknownUefi(10) => Kind::AcpiNvs,
        MemoryRegionKind::UnknownUefi(8) => Kind::Bad,
        _ => Kind::Reserved,
    };
    Region { start: region.start, end: region.end, kind }
}

/// Reads the firmware's tables. Without usable ones the machine has one CPU.
pub fn topology(boot_info: &BootInfo, map: &MemoryMap) -> Topology {
    let topology = acpi::read(boot_info.rsdp_addr.into_option(), map);
    match topology.interrupts.route_irq(COM1_IRQ, Signal::ISA) {
        Ok(route) => {
            SERIAL_ROUTE.call_once(|| route);
        }
        // Only a reader of the port minds its absence, and warns.
        Err(error) => log::debug!("interrupt of com1: {error}"),
    }
    io_apics::note(&topology.interrupts);
    if let Some(registers) = topology.hpet {
        HPET.call_once(|| registers);
    }
    topology
}
