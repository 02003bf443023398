//! The handovers of two virtual machine monitors that load the kernel by its PVH note, as their sources lay them out.
//!
//! Only the registers differ: the stand-in's machine has other hardware behind them. `docs/microvm.md` says what remains
//! untested.

use super::mp;
use super::start_info::{Kind, range};
use super::tables::{self, Fadt, Fields, local_apic, local_x2apic};
use super::{Handover, MEMORY_MIB, Root, State};

const MIB: u64 = 1 << 20;
const IO_APIC: u32 = 0xfec0_0000;

/// Port of Cloud Hypervisor's register for sleep and reset, on the stand-in's machine. It is 0x600 there, which is the
/// power management block here.
pub const SLEEP_PORT: u16 = 0x700;

/// Returns the handover of Cloud Hypervisor with two CPUs, and room for two more.
///
/// The root pointer is at 0xa0000, which is in no entry of the map, and the tables follow it without gaps. CPUs have
/// entries of 32 bits; two of them can only be plugged in later. The hardware is reduced: one register for sleep and
/// reset, a PM timer whose old length field is 0, no PIT, no HPET.
pub fn cloud_hypervisor() -> Handover {
    const AT: u64 = 0xa_0000;
    const CONFIGURATION_SPACE: u64 = 0xe800_0000;
    let mut handover = Handover::of_q35();
    handover.open_screen_memory();
    handover.map = vec![
        range(0, AT, Kind::Usable),
        range(MIB, (MEMORY_MIB - 1) * MIB, Kind::Usable),
        range(CONFIGURATION_SPACE, 256 * MIB, Kind::Reserved),
    ];
    handover.root = Some(Root { at: Some(AT), ..sound_root() });
    // After the pointer.
    (handover.tables_at, handover.align) = (AT + 36, 1);
    handover.madt_flags = 0;
    handover.madt = vec![
        local_x2apic(0, 3),
        local_x2apic(1, 3),
        local_x2apic(2, 2),
        local_x2apic(3, 2),
        tables::io_apic(0, IO_APIC, 0),
        tables::interrupt_override(0, 4, 4, 0),
    ];
    handover.fadt = Fadt {
        flags: tables::HARDWARE_REDUCED | tables::RESET_REGISTER | tables::TIMER_32_BITS,
        sleep_control: SLEEP_PORT,
        reset: (SLEEP_PORT, 1),
        ..reduced_hardware()
    };
    handover.dsdt = tables::S5_OF_ONE;
    handover.has_hpet = false;
    handover.more.push(tables::mcfg(CONFIGURATION_SPACE));
    handover
}

/// Returns the handover of Firecracker with two CPUs.
///
/// The start info does not name the root pointer. It is at 0xe0000, in no entry of the map; MP and ACPI tables are in a
/// reserved range below it, without gaps. The map is not sorted. The hardware is reduced, without any register: no PM
/// timer, no way to power off, no HPET.
pub fn firecracker() -> Handover {
    const SYSTEM_AT: u64 = 0x9_fc00;
    const ROOT_AT: u64 = 0xe_0000;
    const CONFIGURATION_SPACE: u64 = 0xeec0_0000;
    let mut handover = Handover::of_q35();
    handover.open_screen_memory();
    handover.open_bios_memory();
    handover.map = vec![
        range(0, SYSTEM_AT, Kind::Usable),
        range(SYSTEM_AT, ROOT_AT - SYSTEM_AT, Kind::Reserved),
        range(CONFIGURATION_SPACE, 256 * MIB, Kind::Reserved),
        range(MIB, (MEMORY_MIB - 1) * MIB, Kind::Usable),
    ];
    let mut entries = vec![mp::processor(0, 3), mp::processor(1, 1), mp::isa_bus(), mp::io_apic(3, IO_APIC)];
    entries.extend((0..16).map(|irq| mp::isa_interrupt(irq, 3, irq)));
    let blobs = mp::blobs(SYSTEM_AT, mp::table(&entries));
    let [_, table] = &blobs;
    (handover.tables_at, handover.align) = (table.at + table.bytes.len() as u64, 1);
    handover.blobs.extend(blobs);
    handover.root = Some(Root { at: Some(ROOT_AT), is_named: false, ..sound_root() });
    handover.madt_flags = 0;
    handover.madt = vec![tables::io_apic(0, IO_APIC, 0), local_apic(0, 1), local_apic(1, 1)];
    // Both buttons are no fixed hardware.
    handover.fadt = Fadt { flags: tables::HARDWARE_REDUCED | 0b11 << 4, timer: 0, ..reduced_hardware() };
    handover.dsdt = &[];
    handover.has_hpet = false;
    handover
}

/// A pointer of revision 2 to an XSDT.
fn sound_root() -> Root {
    Root { revision: 2, xsdt: State::Sound, rsdt: State::Absent, has_nulls: false, at: None, is_named: true }
}

fn reduced_hardware() -> Fadt {
    Fadt { fields: Fields::Wide, lengths: [0; 3], flags: tables::HARDWARE_REDUCED, pm1a: 0, ..Fadt::Q35 }
}
