//! A stand-in for the firmware: it passes start info, memory map and tables of a test to the kernel.
//!
//! A [`Handover`] describes the memory at the kernel's entry. [`rom`] makes a ROM of it that replaces SeaBIOS. The ROM copies
//! everything to its address and enters the kernel, as a PVH or a Multiboot2 loader; QEMU loads the kernel. [`tables`] builds ACPI
//! tables, [`mp`] the tables of machines before ACPI, [`start_info`] and [`tags`] the data of the loaders. [`entries`] reads the
//! kernel's headers for loaders. [`microvms`] has what two virtual machine monitors hand over.

pub mod entries;
mod handover;
pub mod microvms;
pub mod mp;
pub mod rom;
pub mod start_info;
pub mod tables;
pub mod tags;

pub use handover::{EBDA_AT, Handover, MEMORY_MIB, Root, State};
