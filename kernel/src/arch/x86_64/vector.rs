//! Vectors of exceptions and interrupts.

/// Vector of a debug exception.
pub const DEBUG: u8 = 1;
/// Vector of a non-maskable interrupt.
pub const NMI: u8 = 2;
/// Vector of a double fault.
pub const DOUBLE_FAULT: u8 = 8;
/// Vector of a page fault.
pub const PAGE_FAULT: u8 = 14;
/// Vector of a machine check.
pub const MACHINE_CHECK: u8 = 18;
/// First vector that is not an exception.
pub const FIRST_INTERRUPT: u8 = 32;

/// Vector of the local APIC's timer.
pub const TIMER: u8 = 0x20;
/// Vector by which a CPU asks another to check its run queue.
pub const RESCHEDULE: u8 = 0x21;
/// Vector by which a CPU has others flush their TLBs.
pub const FLUSH: u8 = 0x22;
/// Vector that has a CPU record the time in [`PerCpu::pinged_ticks`](super::percpu::PerCpu::pinged_ticks).
pub const PING: u8 = 0x23;
/// Vector by which a CPU makes itself wake the thread that flushes the console.
pub const CONSOLE: u8 = 0x24;
/// Vector of the first serial port's interrupt.
pub const SERIAL: u8 = 0x28;
/// Vector of ACPI's system control interrupt, a level.
pub const SCI: u8 = 0x29;
/// Vector of the local APIC's errors.
pub const APIC_ERROR: u8 = 0xfe;
/// Vector of spurious interrupts, whose source withdrew them. They take no end of interrupt.
pub const SPURIOUS: u8 = 0xff;
