//! Events behind the system control interrupt (SCI): the machine's buttons and general-purpose events.
//!
//! Only events that the firmware says can happen are enabled. A general-purpose event has no handler, so it is disabled when
//! it occurs: its level would interrupt for ever.

use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

use params::registry::FAULT_SCI_STORM;

use super::fixed_hardware::{self, EventSources};
use super::io_apics;

/// Bits of PM1 status and enable registers.
const POWER_BUTTON: u32 = 1 << 8;
const SLEEP_BUTTON: u32 = 1 << 9;
/// As above: the highest bit of the PM timer changed. For fault injection.
const TIMER: u32 = 1 << 0;

/// Interrupts in a row without an event, after which the line is masked: another device asserts it.
const MOST_UNEXPLAINED: u32 = 100;

static UNEXPLAINED: AtomicU32 = AtomicU32::new(0);

/// Events since the last [`take`].
#[derive(Debug, Clone, Copy, Default)]
pub struct PendingEvents {
    /// The power button was pressed.
    pub power_button: bool,
    /// The sleep button was pressed.
    pub sleep_button: bool,
    /// General-purpose events, a bit each; now disabled.
    pub gpes: [u8; 32],
    /// The line was masked because it interrupts without end.
    pub is_masked: bool,
}

/// Why the machine reports no events.
#[derive(Debug, Clone, Copy)]
pub enum NoEvents {
    /// There is no fixed hardware with events.
    NoHardware(&'static str),
    /// There is fixed hardware, but it does not enter ACPI mode.
    NotInAcpiMode,
}

/// Puts the machine into ACPI mode, with no event enabled and none pending. Called before [`route`]: an early level would
/// count as a storm, or be missed.
///
/// # Errors
/// When the machine reports no events.
pub fn prepare() -> Result<(), NoEvents> {
    let sources = fixed_hardware::event_sources();
    let why = if sources.is_some_and(|sources| sources.is_hardware_reduced) {
        "acpi is hardware-reduced"
    } else {
        "there are no PM1 events"
    };
    let sources =
        sources.filter(|sources| sources.pm1.iter().any(Option::is_some)).ok_or(NoEvents::NoHardware(why))?;
    if !sources.mode.switch_on() {
        return Err(NoEvents::NotInAcpiMode);
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

/// Enables all events that can happen. Called after [`prepare`].
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

/// Returns whether the power button is among the events.
pub fn has_power_button() -> bool {
    fixed_hardware::event_sources().is_some_and(|sources| sources.has_power_button)
}

/// Routes the SCI to the CPU with this APIC id, on `vector`.
///
/// # Errors
/// When there is no route.
pub fn route(vector: u8, apic_id: u8) -> Result<(), &'static str> {
    let sources = fixed_hardware::event_sources().ok_or("there is no FADT")?;
    io_apics::open(sources.sci.ok_or("no way for it is known")?, vector, apic_id)
}

/// Takes the pending events and clears them. `is_interrupt` says that the SCI is the caller. At most one caller at a time.
pub fn take(is_interrupt: bool) -> PendingEvents {
    let mut pending = PendingEvents::default();
    let Some(sources) = fixed_hardware::event_sources() else { return pending };
    let mut is_found = false;
    for events in sources.pm1.iter().flatten() {
        let status = events.status.read() & buttons(sources);
        if status != 0 {
            events.status.write(status);
            pending.power_button |= status & POWER_BUTTON != 0;
            pending.sleep_button |= status & SLEEP_BUTTON != 0;
            is_found = true;
        }
    }
    for (events, pending) in sources.gpes.iter().zip(&mut pending.gpes) {
        let Some(events) = events else { continue };
        let enabled = events.enable.read();
        let status = events.status.read() & enabled;
        if status != 0 {
            events.enable.write(enabled & !status);
            events.status.write(status);
            *pending = status as u8;
            is_found = true;
        }
    }
    let mut all = sources.pm1.iter().chain(&sources.gpes).flatten();
    // An event that cannot be cleared does not count as found: it would interrupt for ever.
    let is_over = is_found && all.all(|events| events.status.read() & events.enable.read() == 0);
    if is_over || !is_interrupt {
        UNEXPLAINED.store(0, SeqCst);
    } else if UNEXPLAINED.fetch_add(1, SeqCst) + 1 == MOST_UNEXPLAINED
        && let Some(route) = sources.sci
    {
        io_apics::mask(route.io_apic, route.pin);
        pending.is_masked = true;
    }
    pending
}

/// Returns the bits of the buttons that are fixed hardware.
fn buttons(sources: &EventSources) -> u32 {
    let power = if sources.has_power_button { POWER_BUTTON } else { 0 };
    let sleep = if sources.has_sleep_button { SLEEP_BUTTON } else { 0 };
    power | sleep
}
