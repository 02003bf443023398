//! The power button and other events of ACPI's system control interrupt: `docs/power.md`.
//!
//! The button ends the shell in order. Any other run continues to its end, where the machine powers off anyway. All other
//! events are logged, and not handled.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::arch::percpu::{self, CpuId};
use crate::arch::vector;
use crate::console::warning;
use crate::platform::sci::{self, NoEvents, PendingEvents};

/// Whether the power button was pressed.
static IS_PRESSED: AtomicBool = AtomicBool::new(false);
/// Whether the sleep button was pressed, and logged.
static IS_SLEEP_BUTTON_KNOWN: AtomicBool = AtomicBool::new(false);
/// Whether the button does not interrupt, so that a waiting reader has to call [`look`].
static IS_POLLED: AtomicBool = AtomicBool::new(false);
/// Whether the button ends the run.
static ENDS_RUN: AtomicBool = AtomicBool::new(false);

/// Enables the machine's events. Called once, when threads run.
pub fn start() {
    match sci::prepare() {
        Ok(()) => {}
        Err(NoEvents::NoHardware(why)) => return log::debug!("power button: none is known, {why}"),
        Err(NoEvents::NotInAcpiMode) => {
            return warning(format_args!(
                "power button: the firmware does not switch to acpi mode; it is not used"
            ));
        }
    }
    if !sci::has_power_button() {
        log::debug!("power button: it is no fixed hardware, and needs the firmware's methods");
    }
    let boot_cpu = CpuId::new(0).map(|cpu| percpu::get(cpu).apic_id());
    let apic_id = boot_cpu.and_then(|id| u8::try_from(id).ok());
    let routed = apic_id.ok_or("the boot cpu's apic id is more than an i/o apic can address");
    if let Err(why) = routed.and_then(|apic_id| sci::route(vector::SCI, apic_id)) {
        IS_POLLED.store(true, SeqCst);
        log::info!("power button: its interrupt: {why}; the shell looks for it, other runs do not notice it");
    }
    sci::enable();
}

/// Handles the system control interrupt, with interrupts off.
pub fn interrupt() {
    handle(&sci::take(true));
}

/// Returns whether [`look`] has to be called to notice the button.
pub fn is_polled() -> bool {
    IS_POLLED.load(SeqCst)
}

/// Handles pending events that do not interrupt. Called by one thread.
pub fn look() {
    handle(&sci::take(false));
}

/// Returns whether the button was pressed.
pub fn is_pressed() -> bool {
    IS_PRESSED.load(SeqCst)
}

/// Makes the button end the run from now on.
pub fn end_run_when_pressed() {
    ENDS_RUN.store(true, SeqCst);
}

fn handle(pending: &PendingEvents) {
    if pending.power_button && !IS_PRESSED.swap(true, SeqCst) {
        let then = if ENDS_RUN.load(SeqCst) { "the shell ends" } else { "the run goes on to its end" };
        log::info!("power button pressed: {then}, then the machine goes off");
    }
    if pending.sleep_button && !IS_SLEEP_BUTTON_KNOWN.swap(true, SeqCst) {
        log::info!("sleep button pressed: nothing handles it");
    }
    for (event, bits) in (0..).step_by(8).zip(pending.gpes) {
        for bit in (0..8).filter(|bit| bits & 1 << bit != 0) {
            log::info!(
                "general-purpose event {} of the firmware, as when a cpu or memory is plugged in: nothing handles it",
                event + bit
            );
        }
    }
    if pending.is_masked {
        IS_POLLED.store(true, SeqCst);
        warning(format_args!("acpi: the system control interrupt does not end; it is masked"));
    }
}
