//! The x86_64 machine: instructions, registers and interrupt controllers. This layer does not know threads, memory policy
//! or jobs. Those layers register the functions that it calls ([`trap::Hooks`]).
//!
//! | topic | files |
//! |---|---|
//! | entry of the boot CPU, of the other CPUs | `boot.s`, `pvh`, `multiboot2`, `uefi`, [`handover`], `boot_map`, [`boot_stack`]; `trampoline.s`, [`smp`] |
//! | state of a CPU | [`percpu`], [`segments`], [`cpu`], [`cpu_registers`], [`simd`], [`machine_check`] |
//! | interrupts and exceptions | `trap.s`, [`trap`], [`trap_frame`], [`vector`], [`irq`], [`early_report`] |
//! | interrupt controllers | [`apic`], [`ipi`], [`ioapic`], [`nmi_timer`] |
//! | locks | [`spin_lock`], [`lock_class`], `lock_order` |
//! | memory | [`paging`], [`rights`], [`image`], [`tlb`], [`clear`] |
//! | time | [`tsc`], [`tsc_sync`], [`calibrate`] |
//! | threads | [`context`] |
//! | trace, chaos | [`tracepoint`], [`chaos`] |
//! | end of the machine | [`exit`], [`acpi_registers`] |

pub mod acpi_registers;
pub mod apic;
mod boot_cell;
mod boot_map;
pub mod boot_stack;
pub mod calibrate;
pub mod chaos;
pub mod clear;
pub mod context;
pub mod cpu;
pub mod cpu_registers;
mod early_report;
pub mod exit;
pub mod handover;
pub mod image;
pub mod ioapic;
pub mod ipi;
pub mod irq;
pub mod lock_class;
#[cfg(debug_assertions)]
pub mod lock_order;
pub mod machine_check;
mod multiboot2;
pub mod nmi_timer;
pub mod paging;
pub mod percpu;
mod pvh;
mod rights;
pub mod segments;
pub mod simd;
pub mod single_step;
pub mod smp;
pub mod spin_lock;
pub mod tlb;
pub mod tracepoint;
pub mod trap;
pub mod trap_frame;
pub mod tsc;
pub mod tsc_sync;
mod uefi;
pub mod vector;

pub use boot_cell::BootCell;
