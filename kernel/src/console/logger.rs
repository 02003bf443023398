//! The `log` facade on the serial port:
//! `[seconds.micros][cpu][LEVEL module] message`.

use core::fmt::Write;

use log::{LevelFilter, Log, Metadata, Record};
use params::registry::LOG_LEVEL;

use super::line::LineBuf;
use super::serial;
use crate::arch::{percpu, tsc};

struct SerialLogger;

/// Levels in the order of `log.level`'s choices.
const LEVELS: [LevelFilter; 6] = [
    LevelFilter::Off,
    LevelFilter::Error,
    LevelFilter::Warn,
    LevelFilter::Info,
    LevelFilter::Debug,
    LevelFilter::Trace,
];

/// Makes the serial port the destination of `log`'s macros.
pub fn init() {
    // A second call fails and keeps the first logger, which is the same.
    let _ = log::set_logger(&SerialLogger);
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

impl Log for SerialLogger {
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
        serial::write_log_line(line.as_str());
    }

    fn flush(&self) {}
}
