//! QEMU: its command line, its process and its control channel.

mod accel;
mod child;
mod choose;
pub mod firmware;
mod machine;
pub(crate) mod probe;
pub mod program;
mod qmp;

pub use accel::Accel;
pub use child::{Channels, Child, end_with_us};
pub use choose::choose;
pub use machine::{Boot, Machine, Wiring};
pub use program::Program;
pub use qmp::{CpuState, Shutdown};

#[cfg(test)]
mod tests;
