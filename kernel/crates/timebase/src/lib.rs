//! The clock's policy: a counter's rate, its nanoseconds, and its offset between CPUs.
//!
//! * [`Rate`] and [`Clock`]: ticks to nanoseconds and back, without going backwards.
//! * [`told`]: the rates that CPUID and hypervisors tell.
//! * [`windows`]: a rate measured against a reference counter.
//! * [`source`]: the choice among them.
//! * [`offset`]: one CPU's counter against another's.
//!
//! Time is told by one multiplication and a shift, so by a factor that is rounded. A deadline has to be turned into
//! ticks by the same factor: else a timer set to the tick fires before the clock says that the deadline has
//! come, by more the longer the machine has been up, and again and again.
#![no_std]
#![forbid(unsafe_code)]

mod clock;
pub mod offset;
mod rate;
pub mod source;
pub mod told;
pub mod windows;

pub use clock::Clock;
pub use rate::{POSSIBLE_HZ, Rate};
