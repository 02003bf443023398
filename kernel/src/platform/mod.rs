//! The machine as firmware describes it, as one typed [`Topology`]; no table is trusted. The worst that broken tables
//! can do is a warning and a smaller machine.
//!
//! Reading sets nothing: `boot.rs` installs what drivers use later.

pub mod clock;
pub mod devices;
pub mod fixed_hardware;
pub mod framebuffer;
pub mod io_apics;
mod layout;
mod memory;
pub mod memory_map;
pub mod nodes;
pub mod sci;
pub mod topology;

pub use firmware::topology::Topology;
