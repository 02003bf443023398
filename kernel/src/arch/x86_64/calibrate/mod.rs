//! Calibration: finds the rates of the TSC and of the local APIC's timer.
//!
//! Mechanism only: `timebase` decides what the numbers mean, and `platform::clock` which of them counts.

mod announced;
mod measure;
pub mod reference;

pub use announced::announced;
pub use measure::{Rates, measure};
