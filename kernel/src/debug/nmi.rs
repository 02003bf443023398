//! The handler of the non-maskable interrupt. An NMI comes from a CPU that ends the machine, from the watchdog's timer,
//! or from failing hardware.

use super::panic;
use super::takeover::{self, Reporter};
use super::watchdog::nmi_probe;
use crate::arch::trap_frame::TrapFrame;

/// Handles an NMI.
pub fn handle(frame: &TrapFrame) {
    match takeover::reporter() {
        None if nmi_probe::nmi(frame) => {}
        None => panic::fatal_exception(frame),
        // The report matters more than any NMI.
        Some(Reporter::ThisCpu) => {}
        Some(Reporter::OtherCpu) => takeover::stop_this_cpu(frame.rip, frame.rbp),
    }
}
