//! Policy of the clock: a counter's rate, ticks to nanoseconds, and offsets between CPUs.
//!
//! * [`Rate`] and [`Clock`]: ticks to nanoseconds and back; time never goes backwards.
//! * [`announced`]: rates that CPUID and hypervisors announce.
//! * [`windows`]: a rate measured against a reference counter.
//! * [`source`]: the choice among announced and measured rates.
//! * [`offset`]: the offset of one CPU's counter from another's.
//!
//! One multiplication by a rounded factor, and a shift, make nanoseconds of ticks. A deadline has to become ticks by the same
//! factor. Otherwise the timer would fire before the clock reaches the deadline, again and again, and ever earlier the
//! longer the machine is up.
#![no_std]
#![forbid(unsafe_code)]

pub mod announced;
mod clock;
pub mod offset;
mod rate;
pub mod source;
pub mod windows;

pub use clock::Clock;
pub use rate::{POSSIBLE_HZ, Rate};
