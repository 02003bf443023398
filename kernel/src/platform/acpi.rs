//! The machine as the ACPI tables tell it, or the MP tables where there is no
//! MADT.
//!
//! Finding the tables, checking and reading them is `firmware`'s, on bytes,
//! where it is tested. What is of fixed layout the `acpi` crate describes.

use core::fmt::Display;

use acpi::AcpiTable;
use acpi::sdt::hpet::HpetTable;
use firmware::affinity::{Slit, Srat};
use firmware::cpus::{ApicMode, CpuList, MadtCpu};
use firmware::isa_irq::Interrupts;
use firmware::madt::Madt;
use firmware::memmap::MemoryMap;
use firmware::mp::MpTables;
use firmware::nodes::Nodes;
use firmware::registers::may_be_at;
use firmware::root::{Problem, RootReport, TableName, Tables, read_table};
use params::registry::SMP_MAX_CPUS;

use super::memory::FirmwareMemory;
use super::{Topology, fixed_hardware};
use crate::arch::cpu;
use crate::console::warning;

const MADT: [u8; 4] = *b"APIC";

/// Reads the tables that the loader's root pointer, or a search, leads to.
/// Damaged tables cost what they would have told.
pub fn read(rsdp: Option<u64>, map: &MemoryMap) -> Topology {
    let memory = FirmwareMemory { map };
    let tables = Tables::find(memory, rsdp).map(|(tables, report)| {
        warn_of(&tables, report);
        tables
    });
    let madt = tables.and_then(|tables| find_madt(&tables));
    let (cpus, interrupts) = match madt {
        Ok(madt) => {
            let interrupts = Interrupts::collect(madt.io_apics(), madt.overrides(), map);
            (collect_cpus(madt.cpus(), "MADT's"), interrupts)
        }
        Err(problem) => read_mp_tables(memory, problem),
    };
    let misplaced = interrupts.misplaced().count();
    if let Some(io_apic) = interrupts.misplaced().next() {
        warning(format_args!(
            "the registers of {misplaced} i/o apics cannot be where the firmware says, {:#x} the first; not used",
            io_apic.address
        ));
    }
    if interrupts.left_out() > 0 {
        warning(format_args!("{} i/o apics and overrides are too many and not used", interrupts.left_out()));
    }
    let mut topology = Topology { cpus, interrupts, pm_timer: None, hpet: None, nodes: Nodes::single() };
    if let Ok(tables) = tables {
        topology.pm_timer = read_fixed_hardware(memory, &tables, &topology.interrupts);
        topology.hpet = read_hpet(&tables, map);
        topology.nodes = read_nodes(&tables, map, &topology.cpus);
    }
    topology
}

/// Warns of what is wrong on the way to the tables.
fn warn_of(tables: &Tables<'_, FirmwareMemory<'_>>, report: RootReport) {
    if let Some(problem) = report.named {
        warning(format_args!("acpi: {problem}; using a root pointer that was searched for"));
    }
    if let Some(problem) = report.xsdt {
        warning(format_args!("acpi: {problem}; using the RSDT"));
    }
    if let Some(problem) = tables.unreachable() {
        warning(format_args!("acpi: {problem}"));
    }
}

/// A table of the `acpi` crate that any bytes of its size are a value of.
///
/// # Safety
/// The type is packed and made of integers.
unsafe trait Plain: AcpiTable {}
// SAFETY: `repr(C, packed)`; the header, integers, and an address made of integers.
unsafe impl Plain for HpetTable {}

/// Views a checked table as a `T`; `None` if it is too short.
fn typed<T: Plain>(table: &[u8]) -> Option<&T> {
    const { assert!(align_of::<T>() == 1) };
    let bytes = table.get(..size_of::<T>())?;
    // SAFETY: as many bytes as a `T` has, which needs no alignment and may be any bytes (`Plain`).
    Some(unsafe { &*bytes.as_ptr().cast::<T>() })
}

fn find_madt<'a>(tables: &Tables<'a, FirmwareMemory<'a>>) -> Result<Madt<'a>, Problem> {
    let table = TableName::Signature(MADT);
    Madt::parse(tables.find_table(MADT)?).map_err(|error| Problem::Damaged { table, error })
}

/// Reads the MP tables, as `problem` keeps the MADT from being used. Machines
/// without ACPI are in order; one CPU on any machine is worth a line.
fn read_mp_tables(memory: FirmwareMemory<'_>, problem: Problem) -> (CpuList, Interrupts) {
    match MpTables::find(memory) {
        Ok(tables) => {
            let cpus = collect_cpus(tables.cpus(), "mp tables'");
            let named = cpus.found();
            if matches!(problem, Problem::NoRootPointer | Problem::Missing(_)) {
                // Why there may be fewer than are plugged in.
                let few = if named == 1 { "; such tables may name only the first of a package" } else { "" };
                log::info!("acpi: {problem}; using the mp tables, which name {named} cpu(s){few}");
            } else {
                warning(format_args!("acpi: {problem}; using the mp tables, which name {named} cpu(s)"));
            }
            (cpus, Interrupts::collect(tables.io_apics(), tables.overrides(), memory.map))
        }
        Err(error) => {
            warning(format_args!("acpi: {problem}; mp tables: {error}; going on with one CPU"));
            let (cpus, _) = CpuList::collect([], cpu::apic_id(), apic_mode(), 1);
            (cpus, Interrupts::NONE)
        }
    }
}

fn apic_mode() -> ApicMode {
    if cpu::features().x2apic { ApicMode::X2Apic } else { ApicMode::XApic }
}

fn collect_cpus(cpus: impl Iterator<Item = MadtCpu>, whose: impl Display) -> CpuList {
    let (list, report) = CpuList::collect(cpus, cpu::apic_id(), apic_mode(), SMP_MAX_CPUS.get() as usize);
    if report.is_suspicious() {
        warning(format_args!("acpi: the {whose} list of cpus is odd: {report}"));
    }
    if report.over_limit > 0 {
        warning(format_args!(
            "{} of {} cpus used: this kernel has room for no more",
            report.listed, report.found
        ));
    }
    log::debug!("{report}");
    list
}

/// Finds the HPET's registers.
fn read_hpet(tables: &Tables<'_, FirmwareMemory<'_>>, map: &MemoryMap) -> Option<u64> {
    const REGISTERS_BYTES: u64 = 0x400;
    const REGISTERS_ALIGN: u64 = 8;
    const MEMORY_SPACE: u8 = 0;
    let table: &HpetTable = typed(optional(tables, *b"HPET", NOT_USED)?)?;
    let (space, address) = (table.base_address.address_space, table.base_address.address);
    if space != MEMORY_SPACE || !may_be_at(address, REGISTERS_BYTES, REGISTERS_ALIGN, map) {
        warning(format_args!(
            "acpi: the hpet's registers cannot be at {address:#x} of address space {space}; it is not used"
        ));
        return None;
    }
    Some(address)
}

const NOT_USED: &str = "it is not used";

/// The first sound table with this signature; a damaged one is warned of, with what is done `instead`.
fn optional<'a>(
    tables: &Tables<'a, FirmwareMemory<'a>>,
    signature: [u8; 4],
    instead: &str,
) -> Option<&'a [u8]> {
    match tables.find_table(signature) {
        Ok(table) => Some(table),
        Err(Problem::Missing(_)) => None,
        Err(problem) => {
            warning(format_args!("acpi: {problem}; {instead}"));
            None
        }
    }
}

/// Reads SRAT and SLIT. Without a sound SRAT the machine is one node; without a
/// sound SLIT all nodes are equally far apart.
fn read_nodes(tables: &Tables<'_, FirmwareMemory<'_>>, map: &MemoryMap, cpus: &CpuList) -> Nodes {
    const ONE_NODE: &str = "taking all memory for one node";
    const EQUALLY_FAR: &str = "taking all nodes for equally far apart";
    let damaged = |signature, error, instead| {
        let problem = Problem::Damaged { table: TableName::Signature(signature), error };
        warning(format_args!("acpi: {problem}; {instead}"));
    };
    let Some(srat) = optional(tables, *b"SRAT", ONE_NODE) else { return Nodes::single() };
    let srat = match Srat::parse(srat) {
        Ok(srat) => srat,
        Err(error) => {
            damaged(*b"SRAT", error, ONE_NODE);
            return Nodes::single();
        }
    };
    let slit = optional(tables, *b"SLIT", EQUALLY_FAR).map(Slit::parse);
    let slit = slit.and_then(|slit| slit.map_err(|error| damaged(*b"SLIT", error, EQUALLY_FAR)).ok());
    let (nodes, report) = Nodes::collect(srat, slit, map, cpus);
    if report.is_suspicious() {
        warning(format_args!("acpi: the SRAT is odd: {report}"));
    }
    nodes
}

/// Reads what the FADT, the DSDT and the SSDTs tell of the fixed hardware: how to switch the machine off, its events,
/// and the PM timer. None is needed, so what is missing is left out.
fn read_fixed_hardware(
    memory: FirmwareMemory<'_>,
    tables: &Tables<'_, FirmwareMemory<'_>>,
    interrupts: &Interrupts,
) -> Option<(u16, bool)> {
    let fadt = optional(tables, *b"FACP", NOT_USED)?;
    let table_at = |address| read_table(memory, address, *b"DSDT").ok();
    fixed_hardware::read(fadt, interrupts, memory.map, table_at, || tables.all(*b"SSDT"))
}
