//! The local APIC: inter-processor interrupts and the CPU's own timer, behind
//! one interface whether it is reached through memory (xAPIC) or MSRs (x2APIC).

use spin::Once;
use x86_64::registers::model_specific::Msr;

use super::irq::IrqGuard;
use super::vector::{VECTOR_APIC_ERROR, VECTOR_SPURIOUS, VECTOR_TIMER};
use super::{cpu, percpu, tsc};

const MSR_APIC_BASE: u32 = 0x1b;
const APIC_BASE_IS_BOOT_CPU: u64 = 1 << 8;
const APIC_BASE_ENABLE: u64 = 1 << 11;
const APIC_BASE_X2APIC: u64 = 1 << 10;
/// MSR of x2APIC register 0; register at xAPIC offset `o` is at `+ (o >> 4)`.
const MSR_X2APIC: u32 = 0x800;

const REG_VERSION: u32 = 0x30;
const REG_TASK_PRIORITY: u32 = 0x80;
const REG_EOI: u32 = 0xb0;
const REG_SPURIOUS: u32 = 0xf0;
/// First of 8 registers, a bit for each vector that is being handled.
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

/// How to reach the local APIC. The same for every CPU; each reaches its own.
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

/// Physical address of the xAPIC registers, from the CPU that asks first: the
/// boot CPU.
pub fn xapic_physical_base() -> u64 {
    static BASE: Once<u64> = Once::new();
    // SAFETY: the entry code has checked that CPUID has the local APIC, and with it IA32_APIC_BASE.
    *BASE.call_once(|| unsafe { Msr::new(MSR_APIC_BASE).read() & 0x000f_ffff_ffff_f000 })
}

/// Says how the local APICs are reached. Once, before any is used.
///
/// # Safety
/// For [`LocalApic::XApic`], `base` maps the APIC's register page, uncached,
/// for ever; for [`LocalApic::X2Apic`], CPUID has x2APIC.
pub unsafe fn set_access(access: LocalApic) {
    LOCAL.call_once(|| access);
}

/// The running CPU's APIC.
///
/// # Panics
/// Before [`set_access`]: a bug of ours.
pub fn local() -> LocalApic {
    *LOCAL.get().expect("the local apic is used before it was found")
}

/// Looks at an interrupt command that is still pending before the next one is given all the same.
const MOST_LOOKS: u32 = 1_000_000;

/// No timer is set for less, where it is set to a time and not to a moment: it would fire before the code that sets it
/// has returned. (QEMU that counts instructions stands still for ever at a timer of a few of them.)
const SHORTEST_TIMER_NS: u64 = 1_000;

/// Which kind of timer CPUs have, in one word: `tsc-deadline` or `one-shot`.
pub fn timer_kind() -> &'static str {
    if cpu::features().tsc_deadline { "tsc-deadline" } else { "one-shot" }
}

impl LocalApic {
    fn read(self, register: u32) -> u32 {
        match self {
            // SAFETY: `set_access` promised the mapping; APIC registers are 4-aligned words.
            Self::XApic { base } => unsafe { ((base + u64::from(register)) as *const u32).read_volatile() },
            // SAFETY: `set_access` promised x2APIC; `register` is one of the constants above.
            Self::X2Apic => unsafe { Msr::new(MSR_X2APIC + (register >> 4)).read() as u32 },
        }
    }

    fn write(self, register: u32, value: u32) {
        match self {
            // SAFETY: as for `read`; writing makes the APIC do what the caller, this module, means.
            Self::XApic { base } => unsafe {
                ((base + u64::from(register)) as *mut u32).write_volatile(value)
            },
            // SAFETY: as for `read`.
            Self::X2Apic => unsafe { Msr::new(MSR_X2APIC + (register >> 4)).write(u64::from(value)) },
        }
    }

    /// Switches the running CPU's APIC on, in this mode, and gives every register
    /// that can make it interrupt a value: all priorities are accepted, the
    /// timer is idle, and of what firmware left open nothing is.
    pub fn enable(self) {
        self.set_mode();
        // First: while the APIC is off by software, entries of the local vector table stay masked whatever is written.
        self.write(REG_SPURIOUS, SPURIOUS_APIC_ENABLE | u32::from(VECTOR_SPURIOUS));
        // Before the others: an entry with a vector that cannot be is an error, whether masked or not.
        self.write(REG_LVT_ERROR, LVT_MASKED | u32::from(VECTOR_APIC_ERROR));
        self.write(REG_TASK_PRIORITY, 0);
        let highest_entry = self.read(REG_VERSION) >> 16 & 0xff;
        for (register, entry) in [(REG_LVT_COUNTERS, 4), (REG_LVT_THERMAL, 5), (REG_LVT_CMCI, 6)] {
            // What the firmware handles in its own mode (heat, mostly) stays its own.
            if highest_entry >= entry && self.read(register) & DELIVERY_MODE != DELIVER_SMI {
                self.write(register, LVT_MASKED);
            }
        }
        // The 8259s are masked; a stray pulse on LINT0 has nothing to say. LINT1 is the machine's NMI: for one CPU.
        self.write(REG_LVT_LINT0, LVT_MASKED);
        let is_boot_cpu = percpu::this_cpu_id().index() == 0;
        self.write(REG_LVT_LINT1, if is_boot_cpu { DELIVER_NMI } else { DELIVER_NMI | LVT_MASKED });
        self.write(REG_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
        self.write(REG_LVT_TIMER, LVT_MASKED | u32::from(VECTOR_TIMER));
        self.write(REG_TIMER_INITIAL, 0);
        self.finish_interrupts_in_service();
        // Errors so far are nobody's.
        self.error_status();
        self.write(REG_LVT_ERROR, u32::from(VECTOR_APIC_ERROR));
    }

    /// Puts the running CPU's APIC into this mode, with the registers where the
    /// boot CPU has them.
    fn set_mode(self) {
        let mut msr = Msr::new(MSR_APIC_BASE);
        // SAFETY: every step is one that the architecture allows: off, xAPIC and x2APIC in this order, and from x2APIC
        // only off. The registers' address is the one that `set_access` was promised to be mapped.
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

    /// Ends interrupts that were being handled when the kernel took over: they
    /// would keep out all of the same or a lower priority.
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

    /// Whether errors of the running CPU's APIC are reported.
    pub fn reports_errors(self) -> bool {
        self.read(REG_LVT_ERROR) == u32::from(VECTOR_APIC_ERROR)
    }

    /// The mode's name in records and in the log.
    pub fn mode_name(self) -> &'static str {
        match self {
            Self::XApic { .. } => "xapic",
            Self::X2Apic => "x2apic",
        }
    }

    /// Has the running CPU take no interrupt but NMIs, although it would: for fault injection.
    pub fn refuse_interrupts(self) {
        const HIGHEST: u32 = 0xff;
        self.write(REG_TASK_PRIORITY, HIGHEST);
    }

    /// Tells the APIC that the interrupt being handled is done with.
    pub fn end_of_interrupt(self) {
        self.write(REG_EOI, 0);
    }

    /// Errors since the last call, as the APIC's bit set.
    pub fn error_status(self) -> u32 {
        self.write(REG_ERROR_STATUS, 0);
        self.read(REG_ERROR_STATUS)
    }

    fn send(self, destination_apic_id: u32, command: u32) {
        match self {
            Self::XApic { .. } => {
                // An interrupt between the halves could send its own and mix them up.
                let _irq = IrqGuard::new();
                // An APIC takes a command within microseconds; one that does not must not hold a panic's report.
                for _ in 0..MOST_LOOKS {
                    if self.read(REG_ICR_LOW) & ICR_PENDING == 0 {
                        break;
                    }
                    cpu::relax();
                }
                self.write(REG_ICR_HIGH, destination_apic_id << 24);
                self.write(REG_ICR_LOW, command);
            }
            Self::X2Apic => {
                let value = u64::from(destination_apic_id) << 32 | u64::from(command);
                // SAFETY: x2APIC is on; the ICR is one 64-bit register there.
                unsafe { write_msr_after_stores(MSR_X2APIC + (REG_ICR_LOW >> 4), value) };
            }
        }
    }

    /// Interrupts the CPU with this APIC id on `vector`.
    pub fn send_ipi(self, destination_apic_id: u32, vector: u8) {
        self.send(destination_apic_id, DELIVER_FIXED | LEVEL_ASSERT | u32::from(vector));
    }

    /// Resets the CPU with this APIC id into waiting for a start-up interrupt.
    pub fn send_init(self, destination_apic_id: u32) {
        self.send(destination_apic_id, DELIVER_INIT | LEVEL_ASSERT);
    }

    /// Starts a waiting CPU in real mode at physical page `page` (below 256).
    pub fn send_startup(self, destination_apic_id: u32, page: u8) {
        self.send(destination_apic_id, DELIVER_STARTUP | LEVEL_ASSERT | u32::from(page));
    }

    /// Sends a non-maskable interrupt to the CPU with this APIC id. Not for CPUs
    /// that the kernel has not started: firmware may have left them halted
    /// without a handler.
    pub fn send_nmi(self, destination_apic_id: u32) {
        self.send(destination_apic_id, DELIVER_NMI | LEVEL_ASSERT);
    }

    /// Lets the running CPU's timer interrupt, once for each [deadline](Self::arm_timer): it has been measured where it had
    /// to be.
    pub fn start_timer(self) {
        let mode = if cpu::features().tsc_deadline { LVT_TSC_DEADLINE } else { 0 };
        self.write(REG_LVT_TIMER, mode | u32::from(VECTOR_TIMER));
    }

    /// Makes the timer, which was [started](Self::start_timer), interrupt once, at `deadline_ns` on the clock of
    /// [`tsc::now_ns`] or as soon after as it can; a deadline that is too far for the timer makes it interrupt early.
    pub fn arm_timer(self, deadline_ns: u64) {
        if cpu::features().tsc_deadline {
            // 0 would switch the timer off: never that. A register in memory and an MSR are not ordered by themselves:
            // the timer's mode is written before.
            let ticks = tsc::ns_to_ticks(deadline_ns).max(1);
            // SAFETY: the CPU has the MSR, as CPUID says.
            unsafe { write_msr_after_stores(MSR_TSC_DEADLINE, ticks) };
        } else {
            let left_ns = deadline_ns.saturating_sub(tsc::now_ns()).max(SHORTEST_TIMER_NS);
            self.write(REG_TIMER_INITIAL, tsc::ns_to_apic_ticks(left_ns));
        }
    }

    /// Stops the timer that runs to be measured.
    pub fn stop_timer_for_measurement(self) {
        self.write(REG_TIMER_INITIAL, 0);
    }

    /// Lets the timer run from its top without interrupting, to be measured.
    pub fn start_timer_for_measurement(self) {
        self.write(REG_LVT_TIMER, LVT_MASKED | u32::from(VECTOR_TIMER));
        self.write(REG_TIMER_INITIAL, u32::MAX);
    }

    /// Ticks since [`start_timer_for_measurement`](Self::start_timer_for_measurement).
    pub fn measured_timer_ticks(self) -> u32 {
        u32::MAX - self.read_in_shadow(REG_TIMER_CURRENT)
    }

    /// Reads a register whose value is a time. QEMU that counts instructions allows that only to the last instruction of
    /// a translated block, and ends the program otherwise. It sees to that for memory and ports, but not for `rdmsr`.
    fn read_in_shadow(self, register: u32) -> u32 {
        let Self::X2Apic = self else { return self.read(register) };
        let low: u32;
        // SAFETY: `set_access` promised x2APIC; `register` is a readable one. SS keeps its selector. A load of SS holds
        // interrupts off for one instruction, which emulators therefore make a block of its own.
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

/// Writes an MSR of the local APIC once all earlier stores are visible to other
/// CPUs and devices. Such writes are not serialising, and may overtake stores:
/// an interrupt could arrive before what it is sent for. The manual wants
/// exactly these two fences (Intel SDM volume 3, 11.12.3 and 11.5.4.1); a locked
/// instruction, which is what a fence of the language may become, is not
/// enough. Not inlined, so that a test finds the instructions.
///
/// # Safety
/// The CPU has the MSR, and `value` is one that it takes.
#[inline(never)]
unsafe fn write_msr_after_stores(msr: u32, value: u64) {
    // SAFETY: passed on; the fences do nothing else.
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

/// Masks both 8259 interrupt controllers: the kernel takes no legacy
/// interrupts, and firmware may have left them pointing at exception vectors.
pub fn mask_legacy_pics() {
    use x86_64::instructions::port::Port;
    // SAFETY: 0x21 and 0xa1 are the PICs' mask registers on every PC; nothing else drives them (invariant 16).
    unsafe {
        Port::<u8>::new(0x21).write(0xff);
        Port::<u8>::new(0xa1).write(0xff);
    }
}
