//! Checked readers of firmware's tables and memory maps.
//!
//! Real machines ship memory maps that overlap, table entries of length zero, and CPUs that are listed twice. The functions
//! here take bytes and numbers, never pointers. They return what is usable and a report of what was wrong. Their worst
//! outcome is a smaller machine.
//!
//! * [`memmap`]: a memory map that is sorted, disjoint and page-aligned.
//! * [`multiboot2`]: a loader's tags: command line, memory map, root pointer, screen.
//! * [`framebuffer`]: the screen's memory, checked.
//! * [`early`]: allocator of physical memory before the page allocator.
//! * [`reach`]: physical memory from which tables may be read.
//! * [`root`]: from the root pointer to every ACPI table.
//! * [`acpi`]: checks of bounds, lengths and checksums of ACPI tables.
//! * [`layout`]: offsets of the fields that are read.
//! * [`madt`], [`mp`]: CPUs, I/O APICs and interrupts, by ACPI or by the MP tables.
//! * [`cpus`]: CPUs to start, in order.
//! * [`topology`]: the whole machine, read from all tables; each oddity is a [`topology::Finding`].
//! * [`fadt`]: registers of the fixed hardware; [`aml`]: sleep types and general-purpose events.
//! * [`fixed_hardware`]: power-off, buttons and other events, from FADT, DSDT and SSDTs.
//! * [`hpet`]: location of the HPET's registers.
//! * [`isa_irq`]: I/O APICs, and routes of ISA interrupts.
//! * [`registers`]: device registers that tables name, and a check of their location.
//! * [`affinity`]: SRAT and SLIT, entry by entry.
//! * [`nodes`]: memory nodes, with the CPUs and memory of each.
//!
//! No unsafe code, no allocation, no dependencies.
#![no_std]
#![forbid(unsafe_code)]

pub mod acpi;
pub mod affinity;
pub mod aml;
pub mod cpus;
pub mod early;
pub mod fadt;
pub mod fixed_hardware;
pub mod framebuffer;
pub mod hpet;
pub mod isa_irq;
pub mod layout;
pub mod madt;
pub mod memmap;
pub mod mp;
pub mod multiboot2;
pub mod nodes;
pub mod reach;
pub mod registers;
pub mod root;
pub mod topology;

mod ranges;
mod table_error;

/// Bytes of a page: 4 KiB.
pub const PAGE_BYTES: u64 = 4096;
