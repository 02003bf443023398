//! The machine's off switch, for verdicts and for real machines: `docs/power.md`.
//!
//! Nothing here allocates or takes a lock but those of the serial ports, so that a panic can end the machine too.
//! Registers are described once, at boot ([`install`]).

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

/// In a PM1 control register: the sleep type's place, and the bit that starts the sleep.
const PM1_SLEEP_TYPE_SHIFT: u32 = 10;
const PM1_SLEEP_TYPE: u32 = 0b111 << PM1_SLEEP_TYPE_SHIFT;
const PM1_SLEEP_ENABLE: u32 = 1 << 13;
/// In a PM1 status register: all that can be cleared.
const PM1_ALL_STATUS: u32 = 0xc731;
/// In the sleep control register of machines without fixed hardware.
const SLEEP_TYPE_SHIFT: u32 = 2;
const SLEEP_ENABLE: u32 = 1 << 5;
/// In the sleep status register: the machine woke up; cleared by writing it.
const WAKE_STATUS: u32 = 1 << 7;

/// How long a machine may take to go off. Hardware needs milliseconds, a busy host a moment to notice.
const OFF_TIMEOUT_NS: u64 = 1_000_000_000;
/// How long a machine may take to reset.
const RESET_TIMEOUT_NS: u64 = 200_000_000;

/// Command port of the keyboard controller, and its command that pulls the reset line.
const KEYBOARD_COMMAND: u16 = 0x64;
const KEYBOARD_RESET: u8 = 0xfe;
/// In its status, read at the same port: it has not taken the last command yet.
const KEYBOARD_IS_BUSY: u8 = 1 << 1;
const KEYBOARD_TIMEOUT_NS: u64 = 50_000_000;

/// Most event registers: PM1a, PM1b, and 256 general-purpose events.
pub const MAX_EVENTS: usize = 2 + 32;

/// How a machine is switched off and reset, as its firmware tells.
pub struct Ways {
    /// Control registers PM1a and PM1b; both absent on machines without fixed hardware.
    pub mode: AcpiMode,
    /// What could wake the machine as soon as it is off.
    pub events: [Option<Events>; MAX_EVENTS],
    /// The sleep types of "off" for PM1a and PM1b; the first one is for `sleep_control` too.
    pub sleep_types: Option<(u8, u8)>,
    /// Sleep control and sleep status of machines without fixed hardware.
    pub sleep_control: Option<Register>,
    /// As above.
    pub sleep_status: Option<Register>,
    /// The reset register, and the value that resets.
    pub reset: Option<(Register, u8)>,
}

/// The ways that need no mapping, and then all of them.
static WAYS: [Once<Ways>; 2] = [const { Once::new() }; 2];

/// Tells how this machine is switched off. Twice at most: the later description counts.
pub fn install(ways: Ways) {
    if WAYS[0].get().is_none() {
        WAYS[0].call_once(|| ways);
    } else {
        WAYS[1].call_once(|| ways);
    }
}

/// Gives the verdict to the debug exit device, which ends the machine where there is one.
pub fn give_verdict(verdict: Verdict) {
    // SAFETY: port 0xf4 is the debug exit device of this project's machines; on PCs without it nothing decodes
    // it (invariant 16).
    unsafe { Port::new(DEBUG_EXIT_PORT).write(verdict.code()) };
}

/// Ends the machine with a verdict: through the debug exit device where there is one, else by ACPI, else by a reset.
/// A machine that none of that ends stays on, and says so.
pub fn power_off(verdict: Verdict) -> ! {
    x86_64::instructions::interrupts::disable();
    console::drain();
    give_verdict(verdict);

    let ways = WAYS.iter().rev().find_map(Once::get);
    let was_tried = ways.is_some_and(Ways::power_off);
    let why = if was_tried { "power-off did not work" } else { "no way to power off is known" };
    if !POWER_RESET.get() {
        say(format_args!("{why}; the machine stays on"));
        cpu::halt_forever()
    }
    reset(ways, why)
}

impl Ways {
    /// Tries each way to power off; whether there was one.
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
        // Some firmware takes the registers' writes in ACPI mode alone. Where it does not switch, the writes are still
        // the best there is.
        self.mode.switch_on();
        for (index, events) in self.events.iter().enumerate() {
            let Some(events) = events else { continue };
            events.enable.write(0);
            events.status.write(if index < 2 { PM1_ALL_STATUS } else { 0xff });
        }
        let [a, b] = self.mode.controls;
        let controls = [(a, sleep_types.0), (b, sleep_types.1)];
        // First the type everywhere, then the go: some chipsets latch the type with a write of its own.
        for go in [0, PM1_SLEEP_ENABLE] {
            for (control, sleep_type) in controls {
                let Some(control) = control else { continue };
                let kept = control.read() & !(PM1_SLEEP_TYPE | PM1_SLEEP_ENABLE);
                control.write(kept | u32::from(sleep_type) << PM1_SLEEP_TYPE_SHIFT | go);
            }
        }
    }
}

/// Resets the machine, as it cannot be powered off. `why` begins the line that says so.
fn reset(ways: Option<&Ways>, why: &str) -> ! {
    if let Some((register, value)) = ways.and_then(|ways| ways.reset) {
        say(format_args!("{why}; resetting by the reset register"));
        register.write(value.into());
        wait_for(RESET_TIMEOUT_NS, || false);
    }
    say(format_args!("{why}; resetting by the keyboard controller"));
    reset_by_keyboard_controller();
    say(format_args!("{why}; resetting by a triple fault; where nothing resets then, the machine stays on"));
    triple_fault()
}

fn reset_by_keyboard_controller() {
    let mut port = Port::<u8>::new(KEYBOARD_COMMAND);
    let read = || {
        // SAFETY: reading the status of the keyboard controller changes nothing; where there is none all bits are set.
        unsafe { Port::<u8>::new(KEYBOARD_COMMAND).read() }
    };
    wait_for(KEYBOARD_TIMEOUT_NS, || read() & KEYBOARD_IS_BUSY == 0);
    // SAFETY: nothing else drives the keyboard controller (invariant 16); the machine is to be reset. One that is busy
    // for ever takes no command, and the next way follows.
    unsafe { port.write(KEYBOARD_RESET) };
    wait_for(RESET_TIMEOUT_NS, || false);
}

/// Makes the CPU shut down, which resets PCs.
fn triple_fault() -> ! {
    let nothing = DescriptorTablePointer { limit: 0, base: VirtAddr::zero() };
    // SAFETY: no interrupt or exception is to be taken any more: the next one, just below, shuts the CPU down.
    unsafe {
        lidt(&nothing);
        core::arch::asm!("ud2", options(noreturn, nostack));
    }
}

fn say(what: core::fmt::Arguments<'_>) {
    log::warn!("{what}");
    console::drain();
}
