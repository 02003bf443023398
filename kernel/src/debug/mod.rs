//! When things go wrong, on purpose or not: panics, faults, tests, traces.

pub mod backtrace;
pub mod fault;
pub mod ktest;
#[cfg(debug_assertions)]
mod misuse;
pub mod panic;
pub mod trace;
pub mod watchdog;
