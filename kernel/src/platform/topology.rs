//! Reads the firmware's tables: ACPI, or the MP tables where there is no MADT. The crate `firmware` finds, checks and reads
//! them on bytes, where it is tested.

use firmware::cpus::ApicMode;
use firmware::memmap::MemoryMap;
use firmware::topology::{BootCpu, Severity, Topology};
use params::registry::SMP_MAX_CPUS;

use super::memory::FirmwareMemory;
use crate::arch::cpu;
use crate::console::warning;

/// Reads the tables that the loader's root pointer `rsdp`, or a search, leads to, and logs what is odd. Without usable
/// tables the machine has one CPU.
pub fn read(rsdp: Option<u64>, map: &MemoryMap) -> Topology {
    let mode = if cpu::features().x2apic { ApicMode::X2Apic } else { ApicMode::XApic };
    let boot_cpu = BootCpu { apic_id: cpu::apic_id(), mode, max_cpus: SMP_MAX_CPUS.get() as usize };
    Topology::read(FirmwareMemory { map }, rsdp, map, boot_cpu, &mut |finding| match finding.severity() {
        Severity::Warning => warning(format_args!("{finding}")),
        Severity::Info => log::info!("{finding}"),
        Severity::Debug => log::debug!("{finding}"),
    })
}
