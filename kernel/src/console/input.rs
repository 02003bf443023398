//! What is typed: bytes that come in at the log port.

use uart::port::{ON_DATA, ON_TRANSMITTER_FREE};

use super::ports::LOG_PORT;

/// Begins to keep what comes in; false when there is no port.
pub fn start() -> bool {
    let port = &mut *LOG_PORT.lock();
    port.is_read = true;
    port.wire.uart.is_some()
}

/// Has the port interrupt once for nothing, to see whether that works.
pub fn ask_for_interrupt() {
    if let Some(uart) = &mut LOG_PORT.lock().wire.uart {
        uart.enable(ON_TRANSMITTER_FREE);
    }
}

/// Has the port interrupt for what comes in, and for nothing else.
pub fn interrupt_for_input() {
    if let Some(uart) = &mut LOG_PORT.lock().wire.uart {
        uart.disable(ON_TRANSMITTER_FREE);
        uart.enable(ON_DATA);
    }
}

/// Has the port interrupt for nothing.
pub fn interrupt_for_nothing() {
    if let Some(uart) = &mut LOG_PORT.lock().wire.uart {
        uart.disable(ON_TRANSMITTER_FREE | ON_DATA);
    }
}

/// The port has interrupted: takes what came. Interrupts are off.
pub fn interrupt() {
    let port = &mut *LOG_PORT.lock();
    port.receive();
    let uart = port.wire.uart.as_mut();
    if let Some(uart) = uart.filter(|uart| uart.enabled() & ON_TRANSMITTER_FREE != 0) {
        uart.disable(ON_TRANSMITTER_FREE);
    }
}

/// Whether there is input to be taken.
pub fn is_waiting() -> bool {
    !LOG_PORT.lock().input.is_empty()
}

/// Moves input into `buffer`; returns how much there was. `is_interrupting`: the port is to interrupt for more.
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

/// Times that input was lost, since the last call.
pub fn take_overruns() -> u64 {
    core::mem::take(&mut LOG_PORT.lock().overruns)
}
