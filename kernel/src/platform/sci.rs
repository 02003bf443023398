//! What the system control interrupt (SCI) tells: the buttons of the machine, and general-purpose events.
//!
//! Only what the firmware says can happen is enabled. An event that nothing handles is disabled when it comes: it is a
//! level, and would interrupt for ever.

use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

use params::registry::FAULT_SCI_STORM;

use super::fixed_hardware::{self, EventSources};
use super::io_apics;

/// In PM1 status and enable registers.
const POWER_BUTTON: u32 = 1 << 8;
const SLEEP_BUTTON: u32 = 1 << 9;
/// In the same: the highest bit of the PM timer changed. For fault injection.
const TIMER: u32 = 1 << 0;

/// Interrupts in a row that no event explains, after which the line is masked: another device holds it.
const MOST_UNEXPLAINED: u32 = 100;

static UNEXPLAINED: AtomicU32 = AtomicU32::new(0);

/// What happened since the last look.
#[derive(Debug, Clone, Copy, Default)]
pub struct Happened {
    /// The power button was pressed.
    pub power_button: bool,
    /// The sleep button was pressed.
    pub sleep_button: bool,
    /// General-purpose events, a bit each; they are disabled from now on.
    pub gpes: [u8; 32],
    /// The line was masked: it interrupts without end.
    pub is_masked: bool,
}

/// Why the machine does not tell.
#[derive(Debug, Clone, Copy)]
pub enum Silent {
    /// There is no fixed hardware that could.
    NoHardware(&'static str),
    /// There is, but it is not in ACPI mode.
    NotInAcpiMode,
}

/// Puts the machine into ACPI mode, with no event enabled and none pending. Before [`route`], as a level that is there
/// already would be taken for a storm, or not be seen.
///
/// # Errors
/// Why it tells of no event.
pub fn prepare() -> Result<(), Silent> {
    let sources = fixed_hardware::event_sources();
    let why = if sources.is_some_and(|sources| sources.is_hardware_reduced) {
        "acpi is hardware-reduced"
    } else {
        "there are no PM1 events"
    };
    let sources =
        sources.filter(|sources| sources.pm1.iter().any(Option::is_some)).ok_or(Silent::NoHardware(why))?;
    if !sources.mode.switch_on() {
        return Err(Silent::NotInAcpiMode);
    }
    for events in sources.pm1.iter().flatten() {
        events.enable.write(0);
        events.status.write(buttons(sources));
    }
    for events in sources.gpes.iter().flatten() {
        events.enable.write(0);
        events.status.write(0xff);
    }
    Ok(())
}

/// Has the machine tell of all events that can happen. After [`prepare`].
pub fn enable() {
    let Some(sources) = fixed_hardware::event_sources() else { return };
    let fault = if FAULT_SCI_STORM.get() { TIMER } else { 0 };
    for events in sources.pm1.iter().flatten() {
        events.enable.write(buttons(sources) | fault);
    }
    for (index, events) in (0..).zip(&sources.gpes) {
        let Some(events) = events else { continue };
        events.enable.write(sources.wanted_gpes.byte(index).into());
    }
}

/// Whether the power button is among what the machine tells of.
pub fn has_power_button() -> bool {
    fixed_hardware::event_sources().is_some_and(|sources| sources.has_power_button)
}

/// Has the SCI interrupt the CPU with this APIC id on `vector`.
///
/// # Errors
/// Why it cannot.
pub fn route(vector: u8, apic_id: u8) -> Result<(), &'static str> {
    let sources = fixed_hardware::event_sources().ok_or("there is no FADT")?;
    io_apics::open(sources.sci.ok_or("no way for it is known")?, vector, apic_id)
}

/// Finds out what happened, and lets it happen again. `is_interrupt`: the SCI asks. At most one caller at a time.
pub fn take(is_interrupt: bool) -> Happened {
    let mut happened = Happened::default();
    let Some(sources) = fixed_hardware::event_sources() else { return happened };
    let mut is_found = false;
    for events in sources.pm1.iter().flatten() {
        let status = events.status.read() & buttons(sources);
        if status != 0 {
            events.status.write(status);
            happened.power_button |= status & POWER_BUTTON != 0;
            happened.sleep_button |= status & SLEEP_BUTTON != 0;
            is_found = true;
        }
    }
    for (events, happened) in sources.gpes.iter().zip(&mut happened.gpes) {
        let Some(events) = events else { continue };
        let enabled = events.enable.read();
        let status = events.status.read() & enabled;
        if status != 0 {
            events.enable.write(enabled & !status);
            events.status.write(status);
            *happened = status as u8;
            is_found = true;
        }
    }
    let mut all = sources.pm1.iter().chain(&sources.gpes).flatten();
    // An event that cannot be cleared explains nothing: it would interrupt for ever.
    let is_over = is_found && all.all(|events| events.status.read() & events.enable.read() == 0);
    if is_over || !is_interrupt {
        UNEXPLAINED.store(0, SeqCst);
    } else if UNEXPLAINED.fetch_add(1, SeqCst) + 1 == MOST_UNEXPLAINED
        && let Some(route) = sources.sci
    {
        io_apics::mask(route.io_apic, route.pin);
        happened.is_masked = true;
    }
    happened
}

/// The buttons that are fixed hardware.
fn buttons(sources: &EventSources) -> u32 {
    let power = if sources.has_power_button { POWER_BUTTON } else { 0 };
    let sleep = if sources.has_sleep_button { SLEEP_BUTTON } else { 0 };
    power | sleep
}
