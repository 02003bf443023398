//! A stand-in for the firmware: it hands the kernel whatever start info, memory map and tables a test makes up.
//!
//! A [`Handover`] says what lies in memory when the kernel is entered. [`rom`] makes a ROM of it that takes SeaBIOS's place:
//! it copies everything to where the kernel is to find it, and enters the kernel by its PVH note. QEMU loads the kernel.
//! [`tables`] builds ACPI tables, [`mp`] the tables of machines before ACPI, [`start_info`] what a direct loader tells.

mod handover;
pub mod mp;
pub mod rom;
pub mod start_info;
pub mod tables;

pub use handover::{EBDA_AT, Handover, MEMORY_MIB, Root, State};
