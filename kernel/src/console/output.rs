//! Lines of the log, for all places where it goes.

use display::ink::Ink;

use super::{screen, serial};

/// Writes one line to the log port and to the screen.
pub fn write_line(line: &str, ink: Ink) {
    serial::write_log_line(line);
    screen::write_line(line, ink);
}

/// Draws what waits for the screen, and waits until both ports have sent everything, or are stuck. Called before power-off.
pub fn drain() {
    screen::draw_all();
    serial::drain();
}

/// As [`crate::console::seize`].
///
/// # Safety
/// As there.
pub unsafe fn seize() {
    // SAFETY: the caller's promise, passed on.
    unsafe {
        serial::seize();
        screen::seize();
    }
}
