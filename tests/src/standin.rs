//! A stand-in for the firmware: it passes start info, memory map and tables of a test to the kernel.
//!
//! A [`Handover`] describes the memory at the kernel's entry. [`rom`] makes a ROM of it that replaces SeaBIOS. The ROM copies
//! everything to its address and enters the kernel at its PVH note; QEMU loads the kernel. [`tables`] builds ACPI tables, [`mp`]
//! the tables of machines before ACPI, [`start_info`] the data of a direct loader,
//! [`microvms`] what two virtual machine monitors hand over.

mod handover;
pub mod microvms;
pub mod mp;
pub mod rom;
pub mod start_info;
pub mod tables;

pub use handover::{EBDA_AT, Handover, MEMORY_MIB, Root, State};
