//! Input: bytes that arrive at the log port.

use uart::port::{ON_DATA, ON_TRANSMITTER_FREE};

use super::ports::LOG_PORT;

/// Begins to keep input. Returns whether there is a port.
pub fn start() -> bool {
    let port = &mut *LOG_PORT.lock();
    port.is_read = true;
    port.wire.uart.is_some()
}

/// Makes the port interrupt at once, to test whether its interrupt arrives.
pub fn ask_for_interrupt() {
    let wire = &mut LOG_PORT.lock().wire;
    let is_between_lines = wire.out.is_empty();
    let Some(uart) = &mut wire.uart else { return };
    if is_between_lines {
        uart.provoke_interrupt();
    } else {
        // The bytes that wait to be sent have the effect of the carriage return.
        uart.enable(ON_TRANSMITTER_FREE);
    }
}

/// Enables the port's interrupt for input alone.
pub fn interrupt_for_input() {
    if let Some(uart) = &mut LOG_PORT.lock().wire.uart {
        uart.disable(ON_TRANSMITTER_FREE);
        uart.enable(ON_DATA);
    }
}

/// Disables the port's interrupts.
pub fn disable_interrupts() {
    if let Some(uart) = &mut LOG_PORT.lock().wire.uart {
        uart.disable(ON_TRANSMITTER_FREE | ON_DATA);
    }
}

/// Handles the port's interrupt, with interrupts off: takes input, and ends a test interrupt.
pub fn interrupt() {
    let port = &mut *LOG_PORT.lock();
    port.receive();
    let uart = port.wire.uart.as_mut();
    if let Some(uart) = uart.filter(|uart| uart.enabled() & ON_TRANSMITTER_FREE != 0) {
        uart.disable(ON_TRANSMITTER_FREE);
    }
}

/// Returns whether input is waiting.
pub fn is_waiting() -> bool {
    !LOG_PORT.lock().input.is_empty()
}

/// Moves input into `buffer`; returns the number of bytes. `is_interrupting` says whether the port's interrupt is in use:
/// if so, it is enabled again after the input buffer was full.
pub fn take(buffer: &mut [u8], is_interrupting: bool) -> usize {
    let port = &mut *LOG_PORT.lock();
    port.receive();
    let was_full = port.input.is_full();
    let taken = port.input.take_into(buffer);
    if let Some(uart) = port.wire.uart.as_mut().filter(|_| was_full && is_interrupting) {
        uart.enable(ON_DATA);
    }
    taken
}

/// Returns the number of overruns since the last call.
pub fn take_overruns() -> u64 {
    core::mem::take(&mut LOG_PORT.lock().overruns)
}
