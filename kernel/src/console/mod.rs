//! Console: the log for people on the first serial port and on the screen ([`screen`]), records for programs on the second
//! port, and input from the first ([`input`]).

pub mod input;
mod line;
mod logger;
mod output;
mod ports;
pub mod records;
pub mod screen;
pub mod serial;
mod wire;

pub use line::LineBuf;
pub use logger::set_level_from_parameters;
pub use output::drain;
pub use ports::LINE_BYTES;
pub use records::report_lost;

use core::fmt;

use display::ink::Ink;

use crate::arch::handover;
use params::cmdline;

/// Sets up both ports and the `log` facade. Needs no memory, per-CPU data or time base, so it works from the first
/// instruction on.
pub fn init() {
    ports::init();
    logger::init();
}

/// Applies the boot command line to the parameters. An unknown name or bad value is a warning and changes nothing.
pub fn apply_command_line() {
    let line = handover::get().cmdline;
    if !line.bytes.is_empty() {
        log::info!("command line: {line}");
    }
    cmdline::apply(line, |problem| warning(format_args!("{problem}")));
    set_level_from_parameters();
}

/// Reports a problem that the kernel survives, in the log and as a record.
pub fn warning(what: fmt::Arguments<'_>) {
    log::warn!("{what}");
    records::warning(what);
}

/// Writes one line to the log port without a log prefix: for tables and test results.
pub fn print_line(text: fmt::Arguments<'_>) {
    let mut line = LineBuf::<768>::new();
    let _ = fmt::write(&mut line, text);
    output::write_line(line.as_str(), Ink::Text);
}

/// Takes the ports and the screen over from any holder. Sends what is queued as far as the ports move, and draws it.
///
/// # Safety
/// Only for a CPU that ends the machine: every other CPU is stopped for good,
/// and this one never returns to what it was doing.
pub unsafe fn seize() {
    // SAFETY: the caller's promise, passed on.
    unsafe { output::seize() }
}
