//! Ends the machine: by the verdict of a run, by power-off, or by a reset. See `docs/power.md`.
//!
//! This code does not allocate, and takes no locks except those of the serial ports. So a panic can end the machine, too.
//! [`install`] sets the registers once, at boot.

use params::registry::POWER_RESET;
use protocol::exit::{PORT as DEBUG_EXIT_PORT, Verdict};
use spin::Once;
use x86_64::VirtAddr;
use x86_64::instructions::port::Port;
use x86_64::instructions::tables::lidt;
use x86_64::structures::DescriptorTablePointer;

use super::acpi_registers::{AcpiMode, Events, Register, wait_for};
use super::cpu;
use crate::console;

/// Bits of a PM1 control register: the sleep type, and the bit that starts the sleep.
const PM1_SLEEP_TYPE_SHIFT: u32 = 10;
const PM1_SLEEP_TYPE: u32 = 0b111 << PM1_SLEEP_TYPE_SHIFT;
const PM1_SLEEP_ENABLE: u32 = 1 << 13;
/// Bits of a PM1 status register that can be cleared.
const PM1_ALL_STATUS: u32 = 0xc731;
/// Bits of the sleep control register of machines without fixed hardware.
const SLEEP_TYPE_SHIFT: u32 = 2;
const SLEEP_ENABLE: u32 = 1 << 5;
/// Bit of the sleep status register: the machine woke up. Writing the bit clears it.
const WAKE_STATUS: u32 = 1 << 7;

/// Time limit of a power-off. Hardware needs milliseconds; a busy host may take longer to react.
const OFF_TIMEOUT_NS: u64 = 1_000_000_000;
/// Time limit of a reset.
const RESET_TIMEOUT_NS: u64 = 200_000_000;

/// Command port of the keyboard controller, and the command that pulls the reset line.
const KEYBOARD_COMMAND: u16 = 0x64;
const KEYBOARD_RESET: u8 = 0xfe;
/// Bit of the status, which the same port returns: the controller has not taken the last command yet.
const KEYBOARD_IS_BUSY: u8 = 1 << 1;
const KEYBOARD_TIMEOUT_NS: u64 = 50_000_000;

/// Most event registers: PM1a, PM1b, and 256 general-purpose events.
pub const MAX_EVENTS: usize = 2 + 32;

/// The ways to power off and reset the machine, from the firmware's tables.
pub struct Ways {
    /// ACPI mode, with the control registers PM1a and PM1b. Machines without fixed hardware have neither.
    pub mode: AcpiMode,
    /// Events that could wake the machine as soon as it is off.
    pub events: [Option<Events>; MAX_EVENTS],
    /// The sleep types of "off" for PM1a and PM1b. The first is also for `sleep_control`.
    pub sleep_types: Option<(u8, u8)>,
    /// Sleep control register of machines without fixed hardware.
    pub sleep_control: Option<Register>,
    /// Sleep status register of machines without fixed hardware.
    pub sleep_status: Option<Register>,
    /// The reset register, and the value that resets.
    pub reset: Option<(Register, u8)>,
}

/// First the ways that need no mapping, then all of them.
static WAYS: [Once<Ways>; 2] = [const { Once::new() }; 2];

/// Sets the ways to power off this machine. Called at most twice; the later call counts.
pub fn install(ways: Ways) {
    if WAYS[0].get().is_none() {
        WAYS[0].call_once(|| ways);
    } else {
        WAYS[1].call_once(|| ways);
    }
}

/// Writes the verdict to the debug exit device, which ends the machine if it has the device.
pub fn give_verdict(verdict: Verdict) {
    // SAFETY: port 0xf4 is the debug exit device of this project's virtual machines, and PCs do not decode it
    // (invariant 16).
    unsafe { Port::new(DEBUG_EXIT_PORT).write(verdict.code()) };
}

/// Ends the machine with a verdict: by the debug exit device if there is one, else by ACPI, else by a reset. A machine
/// that none of them ends stays on, and the log says so.
pub fn power_off(verdict: Verdict) -> ! {
    x86_64::instructions::interrupts::disable();
    console::drain();
    give_verdict(verdict);

    let ways = WAYS.iter().rev().find_map(Once::get);
    let was_tried = ways.is_some_and(Ways::power_off);
    let why = if was_tried { "power-off did not work" } else { "no way to power off is known" };
    if !POWER_RESET.get() {
        log_and_drain(format_args!("{why}; the machine stays on"));
        cpu::halt_forever()
    }
    reset(ways, why)
}

impl Ways {
    /// Tries each way to power off. Returns whether there was any.
    fn power_off(&self) -> bool {
        let Some(sleep_types) = self.sleep_types else { return false };
        let by_pm1 = self.mode.controls.iter().any(Option::is_some);
        if by_pm1 {
            self.power_off_by_pm1(sleep_types);
            wait_for(OFF_TIMEOUT_NS, || false);
        }
        if let Some(control) = self.sleep_control {
            if let Some(status) = self.sleep_status {
                status.write(WAKE_STATUS);
            }
            control.write(u32::from(sleep_types.0) << SLEEP_TYPE_SHIFT | SLEEP_ENABLE);
            wait_for(OFF_TIMEOUT_NS, || false);
        }
        by_pm1 || self.sleep_control.is_some()
    }

    fn power_off_by_pm1(&self, sleep_types: (u8, u8)) {
        // Some firmware takes writes of the registers only in ACPI mode. If the switch fails, the writes may still work.
        self.mode.switch_on();
        for (index, events) in self.events.iter().enumerate() {
            let Some(events) = events else { continue };
            events.enable.write(0);
            events.status.write(if index < 2 { PM1_ALL_STATUS } else { 0xff });
        }
        let [a, b] = self.mode.controls;
        let controls = [(a, sleep_types.0), (b, sleep_types.1)];
        // First the type in both registers, then the start: some chipsets latch the type with a separate write.
        for start in [0, PM1_SLEEP_ENABLE] {
            for (control, sleep_type) in controls {
                let Some(control) = control else { continue };
                let kept = control.read() & !(PM1_SLEEP_TYPE | PM1_SLEEP_ENABLE);
                control.write(kept | u32::from(sleep_type) << PM1_SLEEP_TYPE_SHIFT | start);
            }
        }
    }
}

/// Resets the machine, which could not be powered off. `why` is the start of the lines in the log.
fn reset(ways: Option<&Ways>, why: &str) -> ! {
    if let Some((register, value)) = ways.and_then(|ways| ways.reset) {
        log_and_drain(format_args!("{why}; resetting by the reset register"));
        register.write(value.into());
        wait_for(RESET_TIMEOUT_NS, || false);
    }
    log_and_drain(format_args!("{why}; resetting by the keyboard controller"));
    reset_by_keyboard_controller();
    log_and_drain(format_args!(
        "{why}; resetting by a triple fault; where nothing resets then, the machine stays on"
    ));
    triple_fault()
}

fn reset_by_keyboard_controller() {
    let mut port = Port::<u8>::new(KEYBOARD_COMMAND);
    let read = || {
        // SAFETY: reading the status of the keyboard controller has no side effect. Without a controller, all bits are set.
        unsafe { Port::<u8>::new(KEYBOARD_COMMAND).read() }
    };
    wait_for(KEYBOARD_TIMEOUT_NS, || read() & KEYBOARD_IS_BUSY == 0);
    // SAFETY: no other driver uses the keyboard controller (invariant 16), and the reset is intended. A controller that
    // stays busy ignores the command, and the caller tries the next way.
    unsafe { port.write(KEYBOARD_RESET) };
    wait_for(RESET_TIMEOUT_NS, || false);
}

/// Shuts the CPU down by a triple fault, which resets PCs.
fn triple_fault() -> ! {
    let nothing = DescriptorTablePointer { limit: 0, base: VirtAddr::zero() };
    // SAFETY: no interrupt or exception needs the table any more. The exception below shuts the CPU down.
    unsafe {
        lidt(&nothing);
        core::arch::asm!("ud2", options(noreturn, nostack));
    }
}

/// Logs a line, and waits until the serial ports have sent it.
fn log_and_drain(what: core::fmt::Arguments<'_>) {
    log::warn!("{what}");
    console::drain();
}
