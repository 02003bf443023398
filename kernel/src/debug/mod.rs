//! When things go wrong, on purpose or not: panics, faults, tests, traces.

pub mod backtrace;
pub mod fault;
pub mod flusher;
pub mod ktest;
#[cfg(debug_assertions)]
mod misuse;
pub mod panic;
mod self_watch;
pub mod trace;
pub mod watchdog;
