//! The x86_64 machine: instructions, registers and interrupt controllers. This layer does not know threads, memory policy
//! or jobs. Those layers register the functions that it calls ([`trap::Hooks`]).

pub mod acpi_registers;
pub mod apic;
mod boot_cell;
pub mod calibrate;
pub mod clear;
pub mod context;
pub mod cpu;
pub mod cpu_registers;
mod early_report;
pub mod exit;
pub mod image;
pub mod ioapic;
pub mod ipi;
pub mod irq;
pub mod lock_class;
#[cfg(debug_assertions)]
pub mod lock_order;
pub mod machine_check;
pub mod nmi_timer;
pub mod paging;
pub mod percpu;
pub mod pvh;
mod rights;
pub mod segments;
pub mod simd;
pub mod smp;
pub mod spin_lock;
pub mod tlb;
pub mod tracepoint;
pub mod trap;
pub mod trap_frame;
pub mod tsc;
pub mod tsc_sync;
pub mod vector;

pub use boot_cell::BootCell;
