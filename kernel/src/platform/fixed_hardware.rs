//! ACPI's fixed hardware, by the FADT and the tables it leads to: how the machine goes off, and how it tells of its power
//! button and other events.

use firmware::fadt::{self, EventBlock, Fadt, GpeSet, Register as Told, Space};
use firmware::isa_irq::{Interrupts, Route};
use firmware::memmap::MemoryMap;
use firmware::root::{Problem, TableName};
use spin::Once;

use crate::arch::acpi_registers::{AcpiMode, Events, Place, Register};
use crate::arch::exit::{self, Ways};
use crate::arch::{cpu, paging};
use crate::console::warning;

/// What the tables say.
struct FixedHardware {
    fadt: Fadt,
    sleep_types: Option<(u8, u8)>,
    /// General-purpose events that the firmware has a method for.
    gpes: GpeSet,
    /// How the SCI arrives.
    sci: Option<Route>,
}

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
    /// How the SCI arrives, if the firmware tells.
    pub sci: Option<Route>,
}

static TOLD: Once<FixedHardware> = Once::new();
static SOURCES: Once<EventSources> = Once::new();

/// Reads the FADT, the DSDT it names by way of `table_at`, and `ssdts`; `interrupts` say how the SCI arrives. Returns the PM timer's
/// port and whether it counts 32 bits. What is missing or makes no sense is left out.
pub(super) fn read<'a, S: Iterator<Item = &'a [u8]>>(
    fadt: &[u8],
    interrupts: &Interrupts,
    map: &MemoryMap,
    table_at: impl Fn(u64) -> Option<&'a [u8]>,
    ssdts: impl Fn() -> S,
) -> Option<(u16, bool)> {
    let (fadt, refused) = match fadt::parse(fadt, map) {
        Ok(parsed) => parsed,
        Err(error) => {
            let problem = Problem::Damaged { table: TableName::Signature(*b"FACP"), error };
            warning(format_args!("acpi: {problem}; it is not used"));
            return None;
        }
    };
    if !refused.is_empty() {
        warning(format_args!("acpi: fields of the FADT make no sense and are not used: {refused}"));
    }
    // The first address that leads to a sound table: the other one may be of another age.
    let mut dsdts = fadt.dsdt.iter().flatten().filter_map(|address| table_at(*address));
    let dsdt = dsdts.find(|bytes| firmware::acpi::check_sdt(bytes, Some(*b"DSDT")).is_ok());
    let blocks = || dsdt.into_iter().chain(ssdts());
    let sleep_types = fadt::sleep_types(blocks());
    if sleep_types.is_none() {
        log::debug!("acpi: neither DSDT nor SSDTs tell how the machine is powered off");
    }
    let sci = fadt.sci.and_then(|sci| {
        let route = interrupts.route_sci(sci);
        route.inspect_err(|error| log::debug!("acpi: interrupt {sci} (sci): {error}")).ok()
    });
    let told = TOLD.call_once(|| FixedHardware { fadt, sleep_types, gpes: fadt::gpe_methods(blocks()), sci });
    // A panic from now on can use what needs no mapping.
    exit::install(told.ways(&mut |told| port(told)));
    let timer = fadt.pm_timer?;
    if timer.register.space != Space::Port {
        log::debug!("acpi: the PM timer at {:#x} is no I/O port's; it is not used", timer.register.address);
        return None;
    }
    Some((timer.register.address as u16, timer.is_32_bit))
}

/// Maps the registers that are in memory, and tells what uses them. `map_device` maps the page of a register.
pub fn map(mut map_device: impl FnMut(u64) -> Option<u64>) {
    let Some(told) = TOLD.get() else { return };
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
    exit::install(told.ways(&mut register));
    SOURCES.call_once(|| told.sources(&mut register));
}

/// Where the SCI comes from; `None` without a FADT.
pub fn event_sources() -> Option<&'static EventSources> {
    SOURCES.get()
}

/// Whether the machine has no fixed hardware.
pub fn is_hardware_reduced() -> bool {
    TOLD.get().is_some_and(|told| told.fadt.is_hardware_reduced)
}

impl FixedHardware {
    fn ways(&self, register: &mut dyn FnMut(Told) -> Option<Register>) -> Ways {
        let fadt = &self.fadt;
        let sources = self.sources(register);
        let mut all = [None; exit::MAX_EVENTS];
        let events = sources.pm1.into_iter().chain(sources.gpes);
        all.iter_mut().zip(events).for_each(|(slot, events)| *slot = events);
        Ways {
            mode: sources.mode,
            events: all,
            sleep_types: self.sleep_types,
            sleep_control: fadt.sleep_control.and_then(&mut *register),
            sleep_status: fadt.sleep_status.and_then(&mut *register),
            reset: fadt.reset.and_then(|(told, value)| Some((register(told)?, value))),
        }
    }

    fn sources(&self, register: &mut dyn FnMut(Told) -> Option<Register>) -> EventSources {
        let fadt = &self.fadt;
        let command = fadt
            .smi
            .and_then(|smi| Some((register(Told::new(Space::Port, smi.port.into(), 1))?, smi.enable)));
        let mode = AcpiMode { controls: fadt.pm1_controls.map(|told| register(told?)), command };
        let mut events = |block: EventBlock| {
            Some(Events { status: register(block.status)?, enable: register(block.enable)? })
        };
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
            wanted_gpes: self.gpes,
            has_power_button: fadt.has_power_button,
            has_sleep_button: fadt.has_sleep_button,
            sci: self.sci,
        }
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
