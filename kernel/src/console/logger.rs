//! The `log` facade on the serial port and the screen:
//! `[seconds.micros][cpu][LEVEL module] message`.

use core::fmt::Write;

use display::ink::Ink;
use log::{Level, LevelFilter, Log, Metadata, Record};
use params::registry::LOG_LEVEL;

use super::line::LineBuf;
use super::output::write_line;
use crate::arch::{percpu, tsc};

struct ConsoleLogger;

/// Levels in the order of `log.level`'s choices.
const LEVELS: [LevelFilter; 6] = [
    LevelFilter::Off,
    LevelFilter::Error,
    LevelFilter::Warn,
    LevelFilter::Info,
    LevelFilter::Debug,
    LevelFilter::Trace,
];

/// Makes the console the destination of `log`'s macros.
pub fn init() {
    // A second call fails and keeps the first logger, which is the same.
    let _ = log::set_logger(&ConsoleLogger);
    set_level_from_parameters();
}

/// Sets the log level to the value of `log.level`.
pub fn set_level_from_parameters() {
    log::set_max_level(LEVELS[LOG_LEVEL.get_index()]);
}

/// Returns the path of the logging module, without the crate's name.
fn short_module(record: &Record<'_>) -> &'static str {
    let path = record.module_path_static().unwrap_or("kernel");
    if path == "ktask_kernel" { "kernel" } else { path.strip_prefix("ktask_kernel::").unwrap_or(path) }
}

impl Log for ConsoleLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let micros = tsc::now_ns() / 1000;
        let cpu = if percpu::is_active() { percpu::this_cpu().id().index() } else { 0 };
        let mut line = LineBuf::<768>::new();
        let _ = write!(
            line,
            "[{:5}.{:06}][{cpu}][{:5} {}] {}",
            micros / 1_000_000,
            micros % 1_000_000,
            record.level(),
            short_module(record),
            record.args()
        );
        // Levels are ordered from errors to traces.
        let ink = if record.level() <= Level::Warn { Ink::Warning } else { Ink::Text };
        write_line(line.as_str(), ink);
    }

    fn flush(&self) {}
}
