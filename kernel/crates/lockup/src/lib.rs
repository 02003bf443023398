//! What the watchdog decides: when a CPU counts as hung ([`LockupDetector`]), and whether a non-maskable interrupt is that
//! of its own timer ([`NmiOwner`]).
#![no_std]
#![forbid(unsafe_code)]

mod detector;
mod nmi;

pub use detector::{Lockup, LockupDetector, ROUNDS, Sample};
pub use nmi::{NmiOwner, Origin};
