//! Debugging: panics and exceptions, the watchdog, traces, fault injection, in-kernel tests.

pub mod backtrace;
pub mod fault;
pub mod flusher;
pub mod ktest;
#[cfg(debug_assertions)]
mod misuse;
pub mod nmi;
pub mod panic;
mod takeover;
pub mod trace;
pub mod watchdog;
