//! ACPI tables, walked by the `acpi` crate after every table was checked.
//!
//! The crate trusts what it reads: a table entry of length 0 makes its
//! iterator run for ever, a wild pointer faults. So first all tables are
//! checked as byte slices (`firmware::acpi`), and the crate's handler answers a
//! request for memory that is not the firmware's with a page of zeros.

use core::fmt;
use core::pin::Pin;
use core::ptr::NonNull;

use acpi::sdt::hpet::HpetTable;
use acpi::sdt::madt::{Madt, MadtEntry};
use acpi::{AcpiTables, Handler, PciAddress, PhysicalMapping};
use firmware::acpi::{TableError, check_madt, check_rsdp, check_sdt};
use firmware::affinity::{Slit, Srat};
use firmware::cpus::{CpuList, MadtCpu};
use firmware::io_apics::Lines;
use firmware::isa_irq::{self, IoApic, Override};
use firmware::memmap::MemoryMap;
use firmware::nodes::Nodes;
use params::registry::SMP_MAX_CPUS;

use super::{SERIAL_ROUTE, Topology, fixed_hardware, io_apics};
use crate::arch::paging;
use crate::console::warning;

/// Where PC firmware may keep the root pointer and small tables although the
/// memory map does not mention the area.
const BIOS_AREA: core::ops::Range<u64> = 0xe_0000..0x10_0000;
/// Longer tables than this are not believed.
const MAX_TABLE_BYTES: u64 = 1 << 20;
const RSDP_BYTES: u64 = 36;

/// Why the tables cannot be used.
pub enum Problem {
    /// Neither the loader nor a search found a root pointer.
    NoRootPointer,
    /// A table's address is outside the firmware's memory.
    OutOfReach {
        /// Which.
        table: &'static str,
        /// Its physical address.
        address: u64,
    },
    /// A table is damaged.
    Damaged {
        /// Which.
        table: &'static str,
        /// How.
        error: TableError,
    },
    /// A table that is needed is not there.
    Missing(&'static str),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRootPointer => write!(f, "no root pointer found"),
            Self::OutOfReach { table, address } => {
                write!(f, "the {table} at {address:#x} is outside the firmware's memory")
            }
            Self::Damaged { table, error } => write!(f, "{table}: {error}"),
            Self::Missing(table) => write!(f, "there is no {table}"),
        }
    }
}

/// Reads the tables that the loader's `rsdp` (or a search) leads to.
pub fn read(rsdp: Option<u64>, map: &MemoryMap, boot_apic_id: u32) -> Result<Topology, Problem> {
    let memory = FirmwareMemory { map };
    let rsdp = rsdp.or_else(|| search_rsdp(memory)).ok_or(Problem::NoRootPointer)?;
    check_roots(memory, rsdp)?;
    // SAFETY: the root pointer and the root table it leads to were just checked to be whole and in reach; the
    // handler answers every other request with memory that may be read.
    let tables = unsafe { AcpiTables::from_rsdp(memory, rsdp as usize) }
        .map_err(|_| Problem::Missing("root pointer that the acpi crate takes"))?;

    // First: a machine whose list of CPUs is damaged goes off all the same.
    let pm_timer = read_fixed_hardware(memory, &tables);
    let cpus = read_cpus(memory, &tables, boot_apic_id)?;
    let hpet = checked::<HpetTable>(memory, &tables, "HPET").map(|table| table.get().base_address.address);
    let nodes = read_nodes(memory, &tables, &cpus);
    Ok(Topology { cpus, pm_timer, hpet: hpet.filter(|address| *address != 0), nodes })
}

fn search_rsdp(memory: FirmwareMemory<'_>) -> Option<u64> {
    BIOS_AREA
        .step_by(16)
        .find(|address| memory.bytes(*address, RSDP_BYTES).is_some_and(|bytes| check_rsdp(bytes).is_ok()))
}

fn check_roots(memory: FirmwareMemory<'_>, rsdp: u64) -> Result<(), Problem> {
    let bytes =
        memory.bytes(rsdp, RSDP_BYTES).ok_or(Problem::OutOfReach { table: "root pointer", address: rsdp })?;
    let info = check_rsdp(bytes).map_err(|error| Problem::Damaged { table: "root pointer", error })?;
    let (table, address, signature) = match info.revision {
        0 => ("RSDT", u64::from(info.rsdt), *b"RSDT"),
        // What is missing reads as address 0, which is out of reach.
        _ => ("XSDT", info.xsdt.unwrap_or(0), *b"XSDT"),
    };
    let bytes = memory.bytes_from(address).ok_or(Problem::OutOfReach { table, address })?;
    check_sdt(bytes, Some(signature)).map_err(|error| Problem::Damaged { table, error })?;
    Ok(())
}

/// The table `T`, if there is one and it is whole; a damaged one is warned of.
fn checked<'a, T: acpi::AcpiTable>(
    memory: FirmwareMemory<'a>,
    tables: &AcpiTables<FirmwareMemory<'a>>,
    name: &'static str,
) -> Option<PhysicalMapping<FirmwareMemory<'a>, T>> {
    let table = tables.find_table::<T>()?;
    match memory.bytes_from(table.physical_start as u64).map(|bytes| check_sdt(bytes, None)) {
        Some(Ok(_)) => Some(table),
        Some(Err(error)) => {
            warning(format_args!("acpi: {}; it is not used", Problem::Damaged { table: name, error }));
            None
        }
        None => None,
    }
}

fn read_cpus(
    memory: FirmwareMemory<'_>,
    tables: &AcpiTables<FirmwareMemory<'_>>,
    boot_apic_id: u32,
) -> Result<CpuList, Problem> {
    let madt = tables.find_table::<Madt>().ok_or(Problem::Missing("MADT"))?;
    let address = madt.physical_start as u64;
    let bytes = memory.bytes_from(address).ok_or(Problem::OutOfReach { table: "MADT", address })?;
    check_madt(bytes).map_err(|error| Problem::Damaged { table: "MADT", error })?;

    const ENABLED: u32 = 1 << 0;
    const ONLINE_CAPABLE: u32 = 1 << 1;
    let cpu = |apic_id: u32, flags: u32, x2apic| MadtCpu {
        apic_id,
        enabled: flags & ENABLED != 0,
        online_capable: flags & ONLINE_CAPABLE != 0,
        x2apic,
    };
    let entries = madt.get();
    let cpus = entries.entries().filter_map(|entry| match entry {
        MadtEntry::LocalApic(entry) => Some(cpu(entry.apic_id.into(), entry.flags, false)),
        MadtEntry::LocalX2Apic(entry) => Some(cpu(entry.x2apic_id, entry.flags, true)),
        _ => None,
    });
    let (list, report) = CpuList::collect(cpus, boot_apic_id, SMP_MAX_CPUS.get() as usize);
    if report.is_suspicious() {
        warning(format_args!("acpi: the MADT's list of cpus is odd: {report}"));
    }
    log::debug!("madt: {report}");
    read_serial_route(entries, memory.map);
    Ok(list)
}

/// ISA interrupt of COM1.
const COM1_IRQ: u8 = 4;

/// Finds out how the first serial port's interrupt arrives. Only who wants to read from the port minds its absence, so
/// that is the one to warn.
fn read_serial_route(madt: Pin<&Madt>, map: &MemoryMap) {
    let io_apics = madt.entries().filter_map(|entry| match entry {
        MadtEntry::IoApic(entry) => {
            Some(IoApic { address: entry.io_apic_address, first_gsi: entry.global_system_interrupt_base })
        }
        _ => None,
    });
    let overrides = madt.entries().filter_map(|entry| match entry {
        MadtEntry::InterruptSourceOverride(entry) => Some(Override {
            bus: entry.bus,
            irq: entry.irq,
            gsi: entry.global_system_interrupt,
            flags: entry.flags,
        }),
        _ => None,
    });
    match isa_irq::route(COM1_IRQ, io_apics, overrides, map) {
        Ok(route) => {
            SERIAL_ROUTE.call_once(|| route);
        }
        Err(error) => log::debug!("acpi: interrupt of com1: {error}"),
    }
}

/// Reads SRAT and SLIT. Without a sound SRAT the machine is one node; without a
/// sound SLIT all nodes are equally far apart.
fn read_nodes(memory: FirmwareMemory<'_>, tables: &AcpiTables<FirmwareMemory<'_>>, cpus: &CpuList) -> Nodes {
    // The acpi crate reads these two wrongly: it only finds them.
    let find = |signature: &str| {
        let header = tables.table_headers().find(|(_, header)| header.signature.as_str() == signature)?;
        memory.bytes_from(header.0 as u64)
    };
    let unless_damaged = |table, problem: TableError, what_instead| {
        let problem = Problem::Damaged { table, error: problem };
        warning(format_args!("acpi: {problem}; {what_instead}"));
    };
    let srat = find("SRAT").map(Srat::parse);
    let Some(Ok(srat)) = srat else {
        if let Some(Err(error)) = srat {
            unless_damaged("SRAT", error, "taking all memory for one node");
        }
        return Nodes::single();
    };
    let slit = match find("SLIT").map(Slit::parse) {
        Some(Err(error)) => {
            unless_damaged("SLIT", error, "taking all nodes for equally far apart");
            None
        }
        Some(Ok(slit)) => Some(slit),
        None => None,
    };
    let (nodes, report) = Nodes::collect(srat, slit, memory.map, cpus);
    if report.is_suspicious() {
        warning(format_args!("acpi: the SRAT is odd: {report}"));
    }
    nodes
}

/// Reads what the FADT, the DSDT and the SSDTs tell of the fixed hardware, and the MADT of interrupt lines: how to
/// switch the machine off, its events, and the PM timer. Neither is needed, so what is missing is left out.
fn read_fixed_hardware(
    memory: FirmwareMemory<'_>,
    tables: &AcpiTables<FirmwareMemory<'_>>,
) -> Option<(u16, bool)> {
    let all = |signature: &'static str| {
        let headers =
            tables.table_headers().filter(move |(_, header)| header.signature.as_str() == signature);
        headers.filter_map(move |(address, _)| memory.bytes_from(address as u64))
    };
    let lines = all("APIC").next().and_then(|bytes| Lines::parse(bytes).ok());
    if let Some(lines) = lines {
        io_apics::note(lines, memory.map);
    }
    let fadt = all("FACP").next()?;
    fixed_hardware::read(fadt, lines, memory.map, |address| memory.bytes_from(address), || all("SSDT"))
}

/// The parts of physical memory that firmware tables may be in, read-only.
#[derive(Clone, Copy)]
struct FirmwareMemory<'a> {
    map: &'a MemoryMap,
}

impl<'a> FirmwareMemory<'a> {
    /// The `len_bytes` at `address`, if all are in reach.
    fn bytes(self, address: u64, len_bytes: u64) -> Option<&'static [u8]> {
        let end = address.checked_add(len_bytes)?;
        let regions = self.map.regions().iter().map(|region| region.start..region.end);
        // Tables are in memory that the map lists, of whatever kind; none reaches over a border.
        let is_known = regions.chain([BIOS_AREA]).any(|known| known.start <= address && end <= known.end);
        if address == 0 || end > paging::BOOT_MAP_BYTES || !is_known {
            return None;
        }
        // SAFETY:
        // 1. The range is below 4 GiB, so the boot map maps it (invariant 13), and non-zero.
        // 2. It is memory that the firmware's map lists; nobody writes it while tables are read: this runs once,
        //    alone, before any page frame is handed out.
        Some(unsafe {
            core::slice::from_raw_parts(paging::phys_to_virt(address) as *const u8, len_bytes as usize)
        })
    }

    /// All bytes from `address` to the end of its region, at most
    /// [`MAX_TABLE_BYTES`].
    fn bytes_from(self, address: u64) -> Option<&'static [u8]> {
        let region = self.map.regions().iter().find(|region| (region.start..region.end).contains(&address));
        let end = match region {
            Some(region) => region.end.min(paging::BOOT_MAP_BYTES),
            None if BIOS_AREA.contains(&address) => BIOS_AREA.end,
            None => return None,
        };
        self.bytes(address, end.checked_sub(address)?.min(MAX_TABLE_BYTES))
    }
}

/// What a request out of reach gets: no table has this signature.
#[repr(C, align(4096))]
struct Zeros([u8; 4096]);

static ZEROS: Zeros = Zeros([0; 4096]);

impl Handler for FirmwareMemory<'_> {
    unsafe fn map_physical_region<T>(
        &self,
        physical_address: usize,
        size: usize,
    ) -> PhysicalMapping<Self, T> {
        const { assert!(size_of::<T>() <= size_of::<Zeros>()) };
        let wanted = size.max(size_of::<T>()) as u64;
        let (start, len) = match self.bytes(physical_address as u64, wanted) {
            Some(bytes) => (bytes.as_ptr(), size),
            None => (ZEROS.0.as_ptr(), size_of::<T>()),
        };
        PhysicalMapping {
            physical_start: physical_address,
            virtual_start: NonNull::new(start.cast_mut().cast()).expect("slices are not null"),
            region_length: len,
            mapped_length: len,
            handler: *self,
        }
    }

    fn unmap_physical_region<T>(_region: &PhysicalMapping<Self, T>) {}

    // The static tables need no device access and no time; what asks for it anyway reads zeros and writes nothing.
    fn read_u8(&self, _address: usize) -> u8 {
        0
    }
    fn read_u16(&self, _address: usize) -> u16 {
        0
    }
    fn read_u32(&self, _address: usize) -> u32 {
        0
    }
    fn read_u64(&self, _address: usize) -> u64 {
        0
    }
    fn write_u8(&self, _address: usize, _value: u8) {}
    fn write_u16(&self, _address: usize, _value: u16) {}
    fn write_u32(&self, _address: usize, _value: u32) {}
    fn write_u64(&self, _address: usize, _value: u64) {}
    fn read_io_u8(&self, _port: u16) -> u8 {
        0
    }
    fn read_io_u16(&self, _port: u16) -> u16 {
        0
    }
    fn read_io_u32(&self, _port: u16) -> u32 {
        0
    }
    fn write_io_u8(&self, _port: u16, _value: u8) {}
    fn write_io_u16(&self, _port: u16, _value: u16) {}
    fn write_io_u32(&self, _port: u16, _value: u32) {}
    fn read_pci_u8(&self, _address: PciAddress, _offset: u16) -> u8 {
        0
    }
    fn read_pci_u16(&self, _address: PciAddress, _offset: u16) -> u16 {
        0
    }
    fn read_pci_u32(&self, _address: PciAddress, _offset: u16) -> u32 {
        0
    }
    fn write_pci_u8(&self, _address: PciAddress, _offset: u16, _value: u8) {}
    fn write_pci_u16(&self, _address: PciAddress, _offset: u16, _value: u16) {}
    fn write_pci_u32(&self, _address: PciAddress, _offset: u16, _value: u32) {}
    fn nanos_since_boot(&self) -> u64 {
        crate::arch::tsc::now_ns()
    }
    fn stall(&self, _microseconds: u64) {}
    fn sleep(&self, _milliseconds: u64) {}
}
