//! What firmware tells a kernel, checked before anything believes it.
//!
//! A memory map that overlaps, a table whose entry has length zero, a CPU that
//! is listed twice: each of these ships in real machines. The functions here
//! take bytes and numbers, never pointers, return what can be used together
//! with a count of what was wrong, and their worst outcome is a smaller machine.
//!
//! * [`memmap`]: a raw memory map made sorted, disjoint and page-aligned.
//! * [`early`]: the allocator of physical memory before the page allocator.
//! * [`acpi`]: bounds, lengths and checksums of ACPI tables.
//! * [`cpus`]: which of the CPUs in the MADT to start, in which order.
//! * [`fadt`]: registers of the fixed hardware, and how a machine is switched off.
//! * [`io_apics`]: I/O APICs and interrupt source overrides.
//! * [`isa_irq`]: where an interrupt of the ISA bus arrives.
//! * [`affinity`]: SRAT and SLIT, entry by entry.
//! * [`nodes`]: which memory nodes there are, and what belongs to each.
//!
//! No unsafe code, no allocation, no dependencies.
#![no_std]
#![forbid(unsafe_code)]

pub mod acpi;
pub mod affinity;
pub mod cpus;
pub mod early;
pub mod fadt;
pub mod io_apics;
pub mod isa_irq;
pub mod memmap;
pub mod nodes;

mod ranges;

/// Bytes in the page that memory is counted in: 4 KiB.
pub const PAGE_BYTES: u64 = 4096;
