//! The local APIC: interrupts between CPUs, and the timer of each CPU. One interface for access through memory (xAPIC)
//! and through MSRs (x2APIC).

use spin::Once;
use x86_64::registers::model_specific::Msr;

use super::irq::IrqGuard;
use super::{cpu, percpu, tsc, vector};

const MSR_APIC_BASE: u32 = 0x1b;
const APIC_BASE_IS_BOOT_CPU: u64 = 1 << 8;
const APIC_BASE_ENABLE: u64 = 1 << 11;
const APIC_BASE_X2APIC: u64 = 1 << 10;
/// MSR of x2APIC register 0; the register at xAPIC offset `o` is MSR `0x800 + (o >> 4)`.
const MSR_X2APIC: u32 = 0x800;

const REG_VERSION: u32 = 0x30;
const REG_TASK_PRIORITY: u32 = 0x80;
const REG_EOI: u32 = 0xb0;
const REG_SPURIOUS: u32 = 0xf0;
/// First of 8 registers, with a bit for each vector in service.
const REG_IN_SERVICE: u32 = 0x100;
const REG_ERROR_STATUS: u32 = 0x280;
const REG_LVT_CMCI: u32 = 0x2f0;
const REG_ICR_LOW: u32 = 0x300;
const REG_ICR_HIGH: u32 = 0x310;
const REG_LVT_TIMER: u32 = 0x320;
const REG_LVT_THERMAL: u32 = 0x330;
const REG_LVT_COUNTERS: u32 = 0x340;
const REG_LVT_LINT0: u32 = 0x350;
const REG_LVT_LINT1: u32 = 0x360;
const REG_LVT_ERROR: u32 = 0x370;
const REG_TIMER_INITIAL: u32 = 0x380;
const REG_TIMER_CURRENT: u32 = 0x390;
const REG_TIMER_DIVIDE: u32 = 0x3e0;

const SPURIOUS_APIC_ENABLE: u32 = 1 << 8;
const LVT_MASKED: u32 = 1 << 16;
const LVT_TSC_DEADLINE: u32 = 0b10 << 17;
const MSR_TSC_DEADLINE: u32 = 0x6e0;
const TIMER_DIVIDE_BY_1: u32 = 0b1011;
const ICR_PENDING: u32 = 1 << 12;

const DELIVERY_MODE: u32 = 0b111 << 8;
const DELIVER_FIXED: u32 = 0 << 8;
const DELIVER_SMI: u32 = 0b010 << 8;
const DELIVER_NMI: u32 = 0b100 << 8;
const DELIVER_INIT: u32 = 0b101 << 8;
const DELIVER_STARTUP: u32 = 0b110 << 8;
const LEVEL_ASSERT: u32 = 1 << 14;
/// To the running CPU, whatever the destination says.
const SHORTHAND_SELF: u32 = 1 << 18;

/// The way to access the local APIC. All CPUs use the same way, and each accesses its own APIC.
#[derive(Debug, Clone, Copy)]
pub enum LocalApic {
    /// Registers in memory, at this virtual address.
    XApic {
        /// Where the register page is mapped, uncached.
        base: u64,
    },
    /// Registers as MSRs.
    X2Apic,
}

static LOCAL: Once<LocalApic> = Once::new();

/// Returns the physical address of the xAPIC registers. The first call, on the boot CPU, reads it.
pub fn xapic_physical_base() -> u64 {
    static BASE: Once<u64> = Once::new();
    // SAFETY: the entry code has checked that CPUID has the local APIC, and so IA32_APIC_BASE.
    *BASE.call_once(|| unsafe { Msr::new(MSR_APIC_BASE).read() & 0x000f_ffff_ffff_f000 })
}

/// Sets the way to access the local APICs. Called once, before any APIC is used.
///
/// # Safety
/// For [`LocalApic::XApic`], `base` maps the APIC's register page, uncached, for good. For [`LocalApic::X2Apic`], CPUID
/// has x2APIC.
pub unsafe fn set_access(access: LocalApic) {
    LOCAL.call_once(|| access);
}

/// Returns the running CPU's APIC.
///
/// # Panics
/// Before [`set_access`], which is a kernel bug.
pub fn local() -> LocalApic {
    *LOCAL.get().expect("the local apic is used before it was found")
}

/// Most polls of a pending interrupt command, before the next command is written anyway.
const MAX_PENDING_POLLS: u32 = 1_000_000;

/// Shortest time of a one-shot timer. A shorter timer would fire before the code that sets it has returned. (QEMU with
/// `-icount` hangs at a timer of a few instructions.)
const SHORTEST_TIMER_NS: u64 = 1_000;

/// Returns the kind of timer that CPUs have, in one word: `tsc-deadline` or `one-shot`.
pub fn timer_kind() -> &'static str {
    if cpu::features().tsc_deadline { "tsc-deadline" } else { "one-shot" }
}

impl LocalApic {
    fn read(self, register: u32) -> u32 {
        match self {
            // SAFETY: the caller of `set_access` promised the mapping. APIC registers are 4-aligned words.
            Self::XApic { base } => unsafe { ((base + u64::from(register)) as *const u32).read_volatile() },
            // SAFETY: the caller of `set_access` promised x2APIC. `register` is one of the constants above.
            Self::X2Apic => unsafe { Msr::new(MSR_X2APIC + (register >> 4)).read() as u32 },
        }
    }

    fn write(self, register: u32, value: u32) {
        match self {
            // SAFETY: as for `read`. Only this module writes, values that the architecture allows.
            Self::XApic { base } => unsafe {
                ((base + u64::from(register)) as *mut u32).write_volatile(value)
            },
            // SAFETY: as for `read`.
            Self::X2Apic => unsafe { Msr::new(MSR_X2APIC + (register >> 4)).write(u64::from(value)) },
        }
    }

    /// Switches the running CPU's APIC on, in this mode, and sets every register that can cause an interrupt. The CPU
    /// accepts all priorities, the timer is stopped, and every entry that firmware left unmasked is masked.
    pub fn enable(self) {
        self.set_mode();
        // First: while software has the APIC disabled, entries of the local vector table stay masked whatever is written.
        self.write(REG_SPURIOUS, SPURIOUS_APIC_ENABLE | u32::from(vector::SPURIOUS));
        // Before the other entries: an invalid vector in an entry is an error even if the entry is masked.
        self.write(REG_LVT_ERROR, LVT_MASKED | u32::from(vector::APIC_ERROR));
        self.write(REG_TASK_PRIORITY, 0);
        let highest_entry = self.read(REG_VERSION) >> 16 & 0xff;
        for (register, entry) in [(REG_LVT_COUNTERS, 4), (REG_LVT_THERMAL, 5), (REG_LVT_CMCI, 6)] {
            // Entries that interrupt the firmware by SMI (mostly thermal ones) stay as they are.
            if highest_entry >= entry && self.read(register) & DELIVERY_MODE != DELIVER_SMI {
                self.write(register, LVT_MASKED);
            }
        }
        // The 8259s are masked, so a pulse on LINT0 is spurious. LINT1 is the machine's NMI, which one CPU takes.
        self.write(REG_LVT_LINT0, LVT_MASKED);
        let is_boot_cpu = percpu::this_cpu_id().index() == 0;
        self.write(REG_LVT_LINT1, if is_boot_cpu { DELIVER_NMI } else { DELIVER_NMI | LVT_MASKED });
        self.write(REG_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
        self.write(REG_LVT_TIMER, LVT_MASKED | u32::from(vector::TIMER));
        self.write(REG_TIMER_INITIAL, 0);
        self.finish_interrupts_in_service();
        // Clears errors from before.
        self.error_status();
        self.write(REG_LVT_ERROR, u32::from(vector::APIC_ERROR));
    }

    /// Puts the running CPU's APIC into this mode, with the registers at the boot CPU's address.
    fn set_mode(self) {
        let mut msr = Msr::new(MSR_APIC_BASE);
        // SAFETY: every transition is one that the architecture allows: off, xAPIC and x2APIC in this order, and from
        // x2APIC only to off. The address of the registers is the one whose mapping the caller of `set_access` promised.
        unsafe {
            let before = msr.read();
            let is_x2apic = before & APIC_BASE_X2APIC != 0;
            let off = xapic_physical_base() | before & APIC_BASE_IS_BOOT_CPU;
            match self {
                Self::XApic { .. } => {
                    if is_x2apic {
                        msr.write(off);
                    }
                    msr.write(off | APIC_BASE_ENABLE);
                }
                Self::X2Apic if is_x2apic => {}
                Self::X2Apic => {
                    msr.write(off | APIC_BASE_ENABLE);
                    msr.write(off | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
                }
            }
        }
    }

    /// Ends interrupts that were in service when the kernel took over. They would block all interrupts of the same or a
    /// lower priority.
    fn finish_interrupts_in_service(self) {
        const VECTORS: u32 = 256;
        let is_any_in_service = || (0..VECTORS / 32).any(|word| self.read(REG_IN_SERVICE + word * 0x10) != 0);
        for _ in 0..VECTORS {
            if !is_any_in_service() {
                return;
            }
            self.end_of_interrupt();
        }
    }

    /// Whether the running CPU's APIC reports its errors by an interrupt.
    pub fn reports_errors(self) -> bool {
        self.read(REG_LVT_ERROR) == u32::from(vector::APIC_ERROR)
    }

    /// Returns the mode's name in records and in the log.
    pub fn mode_name(self) -> &'static str {
        match self {
            Self::XApic { .. } => "xapic",
            Self::X2Apic => "x2apic",
        }
    }

    /// Makes the running CPU refuse all interrupts except NMIs: for fault injection.
    pub fn refuse_interrupts(self) {
        const HIGHEST: u32 = 0xff;
        self.write(REG_TASK_PRIORITY, HIGHEST);
    }

    /// Ends the interrupt in service.
    pub fn end_of_interrupt(self) {
        self.write(REG_EOI, 0);
    }

    /// Returns the errors since the last call, as the APIC's bit set.
    pub fn error_status(self) -> u32 {
        self.write(REG_ERROR_STATUS, 0);
        self.read(REG_ERROR_STATUS)
    }

    fn send(self, destination_apic_id: u32, command: u32) {
        match self {
            Self::XApic { .. } => {
                // An interrupt handler between the two halves could send an interrupt and mix them up.
                let _irq = IrqGuard::new();
                self.wait_until_taken();
                self.write(REG_ICR_HIGH, destination_apic_id << 24);
                self.write(REG_ICR_LOW, command);
            }
            Self::X2Apic => {
                let value = u64::from(destination_apic_id) << 32 | u64::from(command);
                // SAFETY: x2APIC is on, and there the ICR is one 64-bit register.
                unsafe { write_msr_after_stores(MSR_X2APIC + (REG_ICR_LOW >> 4), value) };
            }
        }
    }

    /// Waits until the last command is taken: within microseconds. The bound keeps a broken APIC from blocking a panic.
    fn wait_until_taken(self) {
        for _ in 0..MAX_PENDING_POLLS {
            if self.read(REG_ICR_LOW) & ICR_PENDING == 0 {
                break;
            }
            cpu::relax();
        }
    }

    /// Interrupts the running CPU on `vector`, from a non-maskable interrupt. This may have come within [`send`](Self::send):
    /// the destination that is written there stays as it is, and the command waits until this one is taken.
    pub fn send_to_self_from_nmi(self, vector: u8) {
        let command = SHORTHAND_SELF | DELIVER_FIXED | LEVEL_ASSERT | u32::from(vector);
        match self {
            Self::XApic { .. } => {
                self.wait_until_taken();
                self.write(REG_ICR_LOW, command);
                self.wait_until_taken();
            }
            Self::X2Apic => self.send(0, command),
        }
    }

    /// Interrupts the CPU with this APIC id on `vector`.
    pub fn send_ipi(self, destination_apic_id: u32, vector: u8) {
        self.send(destination_apic_id, DELIVER_FIXED | LEVEL_ASSERT | u32::from(vector));
    }

    /// Resets the CPU with this APIC id. The CPU then waits for a start-up interrupt.
    pub fn send_init(self, destination_apic_id: u32) {
        self.send(destination_apic_id, DELIVER_INIT | LEVEL_ASSERT);
    }

    /// Starts a CPU that waits for a start-up interrupt, in real mode, at physical page `page`.
    pub fn send_startup(self, destination_apic_id: u32, page: u8) {
        self.send(destination_apic_id, DELIVER_STARTUP | LEVEL_ASSERT | u32::from(page));
    }

    /// Sends a non-maskable interrupt to the CPU with this APIC id. Only for CPUs that the kernel has started: firmware
    /// may have left others halted without a handler.
    pub fn send_nmi(self, destination_apic_id: u32) {
        self.send(destination_apic_id, DELIVER_NMI | LEVEL_ASSERT);
    }

    /// Puts the running CPU's timer into the mode in which it interrupts once for each [deadline](Self::arm_timer). The
    /// timer's rate is known by then.
    pub fn start_timer(self) {
        let mode = if cpu::features().tsc_deadline { LVT_TSC_DEADLINE } else { 0 };
        self.write(REG_LVT_TIMER, mode | u32::from(vector::TIMER));
    }

    /// Sets the [started](Self::start_timer) timer to interrupt once, at `deadline_ns` on the clock of [`tsc::now_ns`] or
    /// soon after. For a deadline beyond the timer's range the interrupt comes early.
    pub fn arm_timer(self, deadline_ns: u64) {
        if cpu::features().tsc_deadline {
            // At least 1, because 0 switches the timer off. The fences order the MSR after the store of the timer's mode,
            // which may be to a register in memory.
            let ticks = tsc::ns_to_ticks(deadline_ns).max(1);
            // SAFETY: CPUID says that the CPU has the MSR, which takes any value.
            unsafe { write_msr_after_stores(MSR_TSC_DEADLINE, ticks) };
        } else {
            let left_ns = deadline_ns.saturating_sub(tsc::now_ns()).max(SHORTEST_TIMER_NS);
            self.write(REG_TIMER_INITIAL, tsc::ns_to_apic_ticks(left_ns));
        }
    }

    /// Stops the timer after a measurement.
    pub fn stop_timer_for_measurement(self) {
        self.write(REG_TIMER_INITIAL, 0);
    }

    /// Starts the timer from its highest value, without an interrupt, for a measurement.
    pub fn start_timer_for_measurement(self) {
        self.write(REG_LVT_TIMER, LVT_MASKED | u32::from(vector::TIMER));
        self.write(REG_TIMER_INITIAL, u32::MAX);
    }

    /// Returns the ticks since [`start_timer_for_measurement`](Self::start_timer_for_measurement).
    pub fn measured_timer_ticks(self) -> u32 {
        u32::MAX - self.read_in_shadow(REG_TIMER_CURRENT)
    }

    /// Reads a register whose value is a time. QEMU with `-icount` allows such a read only as the last instruction of a
    /// translated block, and ends the program otherwise. QEMU ensures that for memory and ports, but not for `rdmsr`.
    fn read_in_shadow(self, register: u32) -> u32 {
        let Self::X2Apic = self else { return self.read(register) };
        let low: u32;
        // SAFETY: the caller of `set_access` promised x2APIC, and `register` is readable. SS keeps its selector. A load of
        // SS inhibits interrupts for one instruction, so emulators put that instruction into a separate block.
        unsafe {
            core::arch::asm!(
                "mov {selector:x}, ss",
                "mov ss, {selector:x}",
                "rdmsr",
                selector = out(reg) _,
                in("ecx") MSR_X2APIC + (register >> 4),
                out("eax") low,
                out("edx") _,
                options(nostack, preserves_flags)
            );
        }
        low
    }
}

/// Writes an MSR of the local APIC after all earlier stores are visible to other CPUs and devices.
///
/// Writes to these MSRs are not serialising and may overtake stores: an interrupt could arrive before the data that it
/// announces. The manual requires exactly these two fences (Intel SDM volume 3, 11.12.3 and 11.5.4.1). A locked
/// instruction is not enough, and a fence of the language may compile to one. Not inlined, so that a test finds the
/// instructions.
///
/// # Safety
/// 1. The CPU has the MSR.
/// 2. `value` is valid for it.
#[inline(never)]
unsafe fn write_msr_after_stores(msr: u32, value: u64) {
    // SAFETY: the caller promises the MSR and the value (1 and 2). The fences have no other effect.
    unsafe {
        core::arch::asm!(
            "mfence",
            "lfence",
            "wrmsr",
            in("ecx") msr,
            in("eax") value as u32,
            in("edx") (value >> 32) as u32,
            options(nostack, preserves_flags)
        );
    }
}

/// Masks both 8259 interrupt controllers. The kernel takes no legacy interrupts, and firmware may have left their
/// vectors among those of exceptions.
pub fn mask_legacy_pics() {
    use x86_64::instructions::port::Port;
    // SAFETY: 0x21 and 0xa1 are the mask registers of the 8259s on every PC. No other driver uses them (invariant 16).
    unsafe {
        Port::<u8>::new(0x21).write(0xff);
        Port::<u8>::new(0xa1).write(0xff);
    }
}
