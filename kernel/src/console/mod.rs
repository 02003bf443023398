//! What the kernel says: a log for people on the first serial port, records
//! for programs on the second. What is said to it waits in
//! the first ([`serial`]).

mod line;
mod logger;
pub mod records;
pub mod serial;

pub use line::LineBuf;
pub use logger::set_level_from_parameters;
pub use serial::drain;

use core::fmt;

use crate::arch::pvh;
use params::cmdline;

/// Brings up both ports and the `log` facade. Works from the first
/// instruction on: needs no memory, no per-CPU data, no time base.
pub fn init() {
    serial::init();
    logger::init();
}

/// Applies the boot command line to the parameters; what it does not
/// understand becomes a warning and changes nothing.
pub fn apply_command_line() {
    let line = pvh::cmdline();
    if !line.bytes.is_empty() {
        log::info!("command line: {line}");
    }
    cmdline::apply(line, |problem| warning(format_args!("{problem}")));
    set_level_from_parameters();
}

/// Tells people and programs of something that is wrong but survivable.
pub fn warning(what: fmt::Arguments<'_>) {
    log::warn!("{what}");
    records::warning(what);
}

/// Writes one whole line to the log port as it is, without a log prefix: for
/// tables and test results.
pub fn print_line(text: fmt::Arguments<'_>) {
    let mut line = LineBuf::<768>::new();
    let _ = fmt::write(&mut line, text);
    serial::write_log_line(line.as_str());
}

/// Frees the ports from whoever holds them.
///
/// # Safety
/// Only for a CPU that ends the machine: every other CPU is stopped for good,
/// and this one never returns to what it was doing.
pub unsafe fn seize() {
    // SAFETY: passed on.
    unsafe { serial::seize() }
}
