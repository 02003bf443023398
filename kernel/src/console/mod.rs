//! What the kernel says: a log for people on the first serial port, records
//! for programs on the second. What is said to it waits in
//! the first ([`input`]).

pub mod input;
mod line;
mod logger;
mod ports;
pub mod records;
pub mod serial;
mod wire;

pub use line::LineBuf;
pub use logger::set_level_from_parameters;
pub use ports::LINE_BYTES;
pub use serial::drain;

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::arch::pvh;
use params::cmdline;

/// Brings up both ports and the `log` facade. Works from the first
/// instruction on: needs no memory, no per-CPU data, no time base.
pub fn init() {
    ports::init();
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

/// Lines and records that were lost, as far as the other port tells of them.
static TOLD: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// Tells on each port what was lost on the other one: a port that has lost something tells so itself, once it moves, but it
/// may never.
pub fn tell_lost() {
    let new = |port: usize, lost: u64| lost - TOLD[port].swap(lost, SeqCst).min(lost);
    let [lines, written] = serial::lost();
    let (lines, written) = (new(0, lines), new(1, written));
    if lines > 0 {
        records::warning(format_args!("console: {lines} lines lost: the log port did not take them in time"));
    }
    if written > 0 {
        log::warn!("console: {written} records lost: the record port did not take them in time");
    }
}

/// Takes the ports from whoever holds them, and sends what waits for them as far as they move.
///
/// # Safety
/// Only for a CPU that ends the machine: every other CPU is stopped for good,
/// and this one never returns to what it was doing.
pub unsafe fn seize() {
    // SAFETY: passed on.
    unsafe { serial::seize() }
}
