//! ACPI's fixed hardware, by the FADT and the tables it leads to: how the machine goes off, and how it tells of its power
//! button and other events.

use firmware::aml::GpeSet;
use firmware::fadt::EventBlock;
use firmware::fixed_hardware::FixedHardware;
use firmware::isa_irq::Route;
use firmware::registers::{Register as Told, Space};
use spin::Once;

use crate::arch::acpi_registers::{AcpiMode, Events, Place, Register};
use crate::arch::exit::{self, Ways};
use crate::arch::{cpu, paging};

/// Where the SCI comes from, and how it arrives.
pub struct EventSources {
    /// How ACPI mode is switched on.
    pub mode: AcpiMode,
    /// Event registers PM1a and PM1b.
    pub pm1: [Option<Events>; 2],
    /// General-purpose events, eight each.
    pub gpes: [Option<Events>; 32],
    /// Those that can happen.
    pub wanted_gpes: GpeSet,
    /// Whether the power button is fixed hardware, and the sleep button.
    pub has_power_button: bool,
    /// As above.
    pub has_sleep_button: bool,
    /// Whether the machine has no fixed hardware.
    pub is_hardware_reduced: bool,
    /// How the SCI arrives, if the firmware tells.
    pub sci: Option<Route>,
}

static SOURCES: Once<EventSources> = Once::new();

/// Installs the registers of `told` that need no mapping, so that a panic from now on can power off.
pub fn install(told: &FixedHardware) {
    exit::install(ways(told, &mut |told| port(told)));
}

/// Maps the registers of `told` that are in memory, and installs all. `map_device` maps the page of a register.
pub fn map(told: &FixedHardware, mut map_device: impl FnMut(u64) -> Option<u64>) {
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
    let mut register = |told: Told| match told.space {
        Space::Memory => memory(told, &mut map_page),
        _ => port(told),
    };
    exit::install(ways(told, &mut register));
    SOURCES.call_once(|| sources(told, &mut register));
}

/// Where the SCI comes from; `None` without a FADT.
pub fn event_sources() -> Option<&'static EventSources> {
    SOURCES.get()
}

fn ways(told: &FixedHardware, register: &mut dyn FnMut(Told) -> Option<Register>) -> Ways {
    let fadt = &told.fadt;
    let sources = sources(told, register);
    let mut all = [None; exit::MAX_EVENTS];
    let events = sources.pm1.into_iter().chain(sources.gpes);
    all.iter_mut().zip(events).for_each(|(slot, events)| *slot = events);
    Ways {
        mode: sources.mode,
        events: all,
        sleep_types: told.sleep_types,
        sleep_control: fadt.sleep_control.and_then(&mut *register),
        sleep_status: fadt.sleep_status.and_then(&mut *register),
        reset: fadt.reset.and_then(|(told, value)| Some((register(told)?, value))),
    }
}

fn sources(told: &FixedHardware, register: &mut dyn FnMut(Told) -> Option<Register>) -> EventSources {
    let fadt = &told.fadt;
    let command =
        fadt.smi.and_then(|smi| Some((register(Told::new(Space::Port, smi.port.into(), 1))?, smi.enable)));
    let mode = AcpiMode { controls: fadt.pm1_controls.map(|told| register(told?)), command };
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
        wanted_gpes: told.gpes,
        has_power_button: fadt.has_power_button,
        has_sleep_button: fadt.has_sleep_button,
        is_hardware_reduced: fadt.is_hardware_reduced,
        sci: told.sci,
    }
}

/// A register that needs no mapping.
fn port(told: Told) -> Option<Register> {
    let place = match told.space {
        Space::Memory => return None,
        Space::Port => Place::Port(told.address as u16),
        Space::PciConfig => {
            let (device, function, offset) = told.pci_config();
            Place::pci_config(device as u8, function as u8, offset as u8)
        }
    };
    // SAFETY: the FADT names the register, `fadt::parse` found that it can be there; `arch::exit`, `platform::sci`
    // and nothing else use registers that are made here (invariant 16).
    Some(unsafe { Register::new(place, told.bytes, told.access_bytes) })
}

/// A register in memory; `map_page` maps pages.
fn memory(told: Told, map_page: &mut dyn FnMut(u64) -> Option<u64>) -> Option<Register> {
    let page_mask = paging::PAGE_BYTES - 1;
    if told.address >> cpu::features().phys_addr_bits != 0 {
        return None;
    }
    let virt = map_page(told.address & !page_mask)? + (told.address & page_mask);
    // SAFETY: as for `port`; `fadt::parse` found it aligned, in one page, and outside of memory, and the page was mapped
    // as a device's, for ever.
    Some(unsafe { Register::new(Place::Memory(virt), told.bytes, told.access_bytes) })
}
