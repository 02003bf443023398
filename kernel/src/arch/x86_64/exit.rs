//! The machine's off switch, for verdicts and for real machines.

use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

use protocol::exit::{PORT as DEBUG_EXIT_PORT, Verdict};
use x86_64::instructions::port::Port;

use super::cpu;

/// PM1a control port in the low half, `SLP_TYPa` above it; 0: unknown.
static ACPI_POWER_OFF: AtomicU32 = AtomicU32::new(0);

/// `SLP_EN` of the PM1 control register.
const SLEEP_ENABLE: u16 = 1 << 13;
/// Where `SLP_TYP` sits in the PM1 control register.
const SLEEP_TYPE_SHIFT: u16 = 10;

/// Tells how this machine is switched off: the PM1a control port and the sleep
/// type of S5, from the FADT and the DSDT.
pub fn set_acpi_power_off(pm1a_control_port: u16, s5_sleep_type: u8) {
    ACPI_POWER_OFF.store(u32::from(pm1a_control_port) | u32::from(s5_sleep_type & 7) << 16, SeqCst);
}

/// Ends the machine with a verdict: through the debug exit device where there
/// is one, else by ACPI power-off; a machine with neither stops this CPU.
/// What the serial ports still hold is lost: the caller drains them first.
pub fn power_off(verdict: Verdict) -> ! {
    x86_64::instructions::interrupts::disable();
    // SAFETY: port 0xf4 is the debug exit device of this project's machines; on PCs without it nothing decodes
    // it (invariant 16).
    unsafe { Port::new(DEBUG_EXIT_PORT).write(verdict.code()) };

    let known = ACPI_POWER_OFF.load(SeqCst);
    if known != 0 {
        let (port, sleep_type) = (known as u16, (known >> 16) as u16);
        // SAFETY: the FADT names this port as the PM1a control register, which only this function writes
        // (invariant 16); the machine is meant to go off.
        unsafe { Port::new(port).write(sleep_type << SLEEP_TYPE_SHIFT | SLEEP_ENABLE) };
    }
    cpu::halt_forever()
}
