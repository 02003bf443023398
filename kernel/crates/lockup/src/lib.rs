//! What the watchdog decides: whether a CPU is locked up ([`LockupDetector`]), and whether a non-maskable interrupt is
//! that of the watchdog's own timer ([`NmiOwner`]).
#![no_std]
#![forbid(unsafe_code)]

mod detector;
mod nmi;

pub use detector::{Lockup, LockupDetector, SAMPLES_PER_TIMEOUT, Sample};
pub use nmi::{NmiOwner, Origin};
