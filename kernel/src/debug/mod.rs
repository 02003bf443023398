//! Debugging: panics and exceptions, the watchdog, traces, fault injection, in-kernel tests.

pub mod backtrace;
pub mod chaos;
pub mod counted_time;
pub mod drawer;
pub mod facts;
pub mod fault;
pub mod flusher;
pub mod ktest;
pub mod nmi;
pub mod panic;
mod takeover;
pub mod trace;
pub mod watchdog;
