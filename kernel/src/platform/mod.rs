//! What the firmware tells, as one typed [`Topology`]; nothing of it is
//! trusted. The worst that broken tables can do is a warning and a smaller
//! machine.

mod acpi;
mod clock;
pub mod fixed_hardware;
pub mod io_apics;
pub mod nodes;
pub mod sci;

use acpi::Problem;

pub use clock::start_clock;

use bootloader_api::BootInfo;
use bootloader_api::info::{MemoryRegion, MemoryRegionKind};
use firmware::cpus::CpuList;
use firmware::isa_irq::Route;
use firmware::memmap::{Kind, MemoryMap, Region};
use firmware::nodes::Nodes;
use spin::Once;

use crate::arch::{cpu, paging};
use crate::console::warning;

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
    /// The ACPI PM timer: its port, and whether it counts 32 bits.
    pub pm_timer: Option<(u16, bool)>,
    /// Physical address of the HPET's registers.
    pub hpet: Option<u64>,
    /// Memory nodes: which CPUs and which memory are near each other.
    pub nodes: Nodes,
}

/// Reads the firmware's memory map and repairs it.
pub fn memory_map(boot_info: &BootInfo) -> MemoryMap {
    // What the physical map has no room for does not exist.
    let bits = cpu::features().phys_addr_bits.min(paging::PHYS_MAP_BYTES.ilog2() as u8);
    let (map, report) = MemoryMap::sanitise(boot_info.memory_regions.iter().map(region), bits);
    // Ends within a page are usual, an order nobody promises; the rest is a lie of some kind.
    if report.overlapping + report.inverted + report.clipped + report.dropped + report.fused > 0 {
        warning(format_args!("the firmware's {report}"));
    } else {
        log::debug!("{report}");
    }
    map
}

fn region(region: &MemoryRegion) -> Region {
    // Types of the e820 interface, and of UEFI.
    let kind = match region.kind {
        MemoryRegionKind::Usable => Kind::Usable,
        MemoryRegionKind::UnknownBios(3) | MemoryRegionKind::UnknownUefi(9) => Kind::AcpiReclaimable,
        MemoryRegionKind::UnknownBios(4) | MemoryRegionKind::UnknownUefi(10) => Kind::AcpiNvs,
        MemoryRegionKind::UnknownBios(5) | MemoryRegionKind::UnknownUefi(8) => Kind::Bad,
        _ => Kind::Reserved,
    };
    Region { start: region.start, end: region.end, kind }
}

/// Reads the ACPI tables. Without usable ones the machine has one CPU.
pub fn topology(boot_info: &BootInfo, map: &MemoryMap) -> Topology {
    let boot_cpu = cpu::apic_id();
    match acpi::read(boot_info.rsdp_addr.into_option(), map, boot_cpu) {
        Ok(topology) => {
            if let Some(registers) = topology.hpet {
                HPET.call_once(|| registers);
            }
            topology
        }
        Err(problem) => {
            warning(format_args!("acpi: {problem}; going on with one CPU"));
            let (cpus, _) = CpuList::collect([], boot_cpu, 1);
            Topology { cpus, pm_timer: None, hpet: None, nodes: Nodes::single() }
        }
    }
}
