//! What firmware tells a kernel, checked before anything believes it.
//!
//! A memory map that overlaps, a table whose entry has length zero, a CPU that
//! is listed twice: each of these ships in real machines. The functions here
//! take bytes and numbers, never pointers, return what can be used together
//! with a count of what was wrong, and their worst outcome is a smaller machine.
//!
//! * [`memmap`]: a raw memory map made sorted, disjoint and page-aligned.
//! * [`early`]: the allocator of physical memory before the page allocator.
//! * [`reach`]: which physical memory tables may be read from.
//! * [`root`]: from the root pointer to every ACPI table.
//! * [`acpi`]: bounds, lengths and checksums of ACPI tables.
//! * [`madt`], [`mp`]: CPUs, I/O APICs and interrupts, by ACPI or by the MP tables.
//! * [`cpus`]: which of the CPUs to start, in which order.
//! * [`topology`]: the whole machine, read from all tables in order; everything odd is a [`topology::Finding`].
//! * [`fadt`]: registers of the fixed hardware; [`aml`]: sleep types and general-purpose events.
//! * [`fixed_hardware`]: how a machine is switched off and tells of its buttons, from FADT, DSDT and SSDTs.
//! * [`hpet`]: where the HPET's registers are.
//! * [`isa_irq`]: the I/O APICs, and where an interrupt of the ISA bus arrives.
//! * [`registers`]: device registers that tables name, and where they can be.
//! * [`affinity`]: SRAT and SLIT, entry by entry.
//! * [`nodes`]: which memory nodes there are, and what belongs to each.
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
pub mod hpet;
pub mod isa_irq;
pub mod madt;
pub mod memmap;
pub mod mp;
pub mod nodes;
pub mod reach;
pub mod registers;
pub mod root;
pub mod topology;

mod ranges;
mod table_error;

/// Bytes in the page that memory is counted in: 4 KiB.
pub const PAGE_BYTES: u64 = 4096;
