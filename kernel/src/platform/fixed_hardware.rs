//! Registers of ACPI's fixed hardware: for power-off, and for the power button and other events. The crate `firmware` reads
//! the tables.

use firmware::aml::GpeSet;
use firmware::fadt::EventBlock;
use firmware::fixed_hardware::FixedHardware;
use firmware::isa_irq::Route;
use firmware::registers::{Register as FadtRegister, Space};
use spin::Once;

use crate::arch::acpi_registers::{AcpiMode, Events, Place, Register};
use crate::arch::exit::{self, Ways};
use crate::arch::{cpu, paging};

/// Registers behind the system control interrupt (SCI), and its route.
pub struct EventSources {
    /// Registers that switch ACPI mode on.
    pub mode: AcpiMode,
    /// Event registers PM1a and PM1b.
    pub pm1: [Option<Events>; 2],
    /// General-purpose events, eight each.
    pub gpes: [Option<Events>; 32],
    /// Events that the firmware has a method for: those that can happen.
    pub wanted_gpes: GpeSet,
    /// Whether the power button is fixed hardware.
    pub has_power_button: bool,
    /// Whether the sleep button is fixed hardware.
    pub has_sleep_button: bool,
    /// Whether the machine has no fixed hardware.
    pub is_hardware_reduced: bool,
    /// Route of the SCI, if the firmware names one.
    pub sci: Option<Route>,
}

static SOURCES: Once<EventSources> = Once::new();

/// Installs the registers that need no mapping, so that a panic from now on can power off.
pub fn install(hardware: &FixedHardware) {
    exit::install(ways(hardware, &mut port));
}

/// Maps the registers that are in memory, and installs all. `map_device` maps the page of a register.
pub fn map(hardware: &FixedHardware, mut map_device: impl FnMut(u64) -> Option<u64>) {
    // Registers of one device share a page.
    let mut last_page = None;
    let mut map_page = |page: u64| match last_page {
        Some((known, virt)) if known == page => Some(virt),
        _ => {
            let virt = map_device(page)?;
            last_page = Some((page, virt));
            Some(virt)
        }
    };
    let mut register = |described: FadtRegister| match described.space {
        Space::Memory => memory(described, &mut map_page),
        _ => port(described),
    };
    exit::install(ways(hardware, &mut register));
    SOURCES.call_once(|| sources(hardware, &mut register));
}

/// Returns the registers behind the SCI; `None` without a FADT.
pub fn event_sources() -> Option<&'static EventSources> {
    SOURCES.get()
}

fn ways(hardware: &FixedHardware, register: &mut dyn FnMut(FadtRegister) -> Option<Register>) -> Ways {
    let fadt = &hardware.fadt;
    let sources = sources(hardware, register);
    let mut all = [None; exit::MAX_EVENTS];
    let events = sources.pm1.into_iter().chain(sources.gpes);
    all.iter_mut().zip(events).for_each(|(slot, events)| *slot = events);
    Ways {
        mode: sources.mode,
        events: all,
        sleep_types: hardware.sleep_types,
        sleep_control: fadt.sleep_control.and_then(&mut *register),
        sleep_status: fadt.sleep_status.and_then(&mut *register),
        reset: fadt.reset.and_then(|(described, value)| Some((register(described)?, value))),
    }
}

fn sources(
    hardware: &FixedHardware,
    register: &mut dyn FnMut(FadtRegister) -> Option<Register>,
) -> EventSources {
    let fadt = &hardware.fadt;
    let command = fadt
        .smi
        .and_then(|smi| Some((register(FadtRegister::new(Space::Port, smi.port.into(), 1))?, smi.enable)));
    let mode = AcpiMode { controls: fadt.pm1_controls.map(|described| register(described?)), command };
    let mut events =
        |block: EventBlock| Some(Events { status: register(block.status)?, enable: register(block.enable)? });
    let pm1 = fadt.pm1_events.map(|block| events(block?));
    let mut gpes = [None; 32];
    if let Some(block) = fadt.gpe0 {
        for (index, slot) in (0..block.bytes).zip(&mut gpes) {
            *slot = events(block.pair(index));
        }
    }
    EventSources {
        mode,
        pm1,
        gpes,
        wanted_gpes: hardware.gpes,
        has_power_button: fadt.has_power_button,
        has_sleep_button: fadt.has_sleep_button,
        is_hardware_reduced: fadt.is_hardware_reduced,
        sci: hardware.sci,
    }
}

/// Returns a register that needs no mapping; `None` if it is in memory.
fn port(described: FadtRegister) -> Option<Register> {
    let place = match described.space {
        Space::Memory => return None,
        Space::Port => Place::Port(described.address as u16),
        Space::PciConfig => {
            let (device, function, offset) = described.pci_config();
            Place::pci_config(device as u8, function as u8, offset as u8)
        }
    };
    // SAFETY:
    // 1. The FADT names the register, and `firmware::fadt::parse` found that it can be there.
    // 2. `arch::exit`, `platform::sci` and no other code use registers that are made here (invariant 16).
    Some(unsafe { Register::new(place, described.bytes, described.access_bytes) })
}

/// Returns a register in memory; `map_page` maps its page.
fn memory(described: FadtRegister, map_page: &mut dyn FnMut(u64) -> Option<u64>) -> Option<Register> {
    let page_mask = paging::PAGE_BYTES - 1;
    if described.address >> cpu::features().phys_addr_bits != 0 {
        return None;
    }
    let virt = map_page(described.address & !page_mask)? + (described.address & page_mask);
    // SAFETY:
    // 1. The FADT names the register. `firmware::fadt::parse` found it aligned, in one page, and outside of memory.
    // 2. The page was mapped as a device's, for ever.
    // 3. The users are those of `port` (invariant 16).
    Some(unsafe { Register::new(Place::Memory(virt), described.bytes, described.access_bytes) })
}
