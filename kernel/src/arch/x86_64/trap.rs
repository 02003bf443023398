//! Interrupts and exceptions: the table, the entry, and who gets called.

use core::mem::MaybeUninit;
use core::sync::atomic::Ordering::SeqCst;

use ::trace::{Class, Event};
use spin::Once;
use x86_64::VirtAddr;
use x86_64::instructions::tables::lidt;
use x86_64::structures::DescriptorTablePointer;

use super::segments::{IST_DOUBLE_FAULT, IST_MACHINE_CHECK, IST_NMI, KERNEL_CODE};
use super::spin_lock::debug_assert_no_locks;
use super::{apic, percpu, tlb, tsc};
use crate::debug::trace;

core::arch::global_asm!(include_str!("trap.s"));

unsafe extern "C" {
    /// First of 256 entry stubs, [`STUB_BYTES`] apart.
    static trap_stubs: u8;
}

const STUB_BYTES: u64 = 16;

/// Vector of the local APIC's timer.
pub const VECTOR_TIMER: u8 = 0x20;
/// Vector by which a CPU asks another to look at its run queue.
pub const VECTOR_RESCHEDULE: u8 = 0x21;
/// Vector by which a CPU has others flush their TLBs.
pub const VECTOR_FLUSH: u8 = 0x22;
/// Vector that has a CPU note the time ([`percpu::PerCpu::pinged_ticks`]): a sign of life.
pub const VECTOR_PING: u8 = 0x23;
/// Vector by which a CPU asks itself to have the console flushed.
pub const VECTOR_CONSOLE: u8 = 0x24;
/// Vector of the first serial port's interrupt.
pub const VECTOR_SERIAL: u8 = 0x28;
/// Vector of ACPI's system control interrupt, a level.
pub const VECTOR_SCI: u8 = 0x29;
/// Vector of the local APIC's own errors.
pub const VECTOR_APIC_ERROR: u8 = 0xfe;
/// Vector of interrupts that vanished before they were taken; no EOI.
pub const VECTOR_SPURIOUS: u8 = 0xff;

const VECTOR_NMI: u64 = 2;
const VECTOR_DOUBLE_FAULT: u64 = 8;
const VECTOR_PAGE_FAULT: u64 = 14;
const VECTOR_MACHINE_CHECK: u64 = 18;
/// First vector that is not an exception.
const FIRST_INTERRUPT: u64 = 32;

/// What the entry stubs leave on the stack, lowest address first.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rax: u64,
    pub vector: u64,
    pub error_code: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

// The stubs push exactly this (invariant 8).
const _: () = assert!(size_of::<TrapFrame>() == 22 * 8);

impl TrapFrame {
    /// Whether this is a page fault.
    pub fn is_page_fault(&self) -> bool {
        self.vector == VECTOR_PAGE_FAULT
    }

    /// Whether interrupts were on where it happened.
    pub fn was_interruptible(&self) -> bool {
        const INTERRUPT_FLAG: u64 = 1 << 9;
        self.rflags & INTERRUPT_FLAG != 0
    }

    /// Whether this is a double fault.
    pub fn is_double_fault(&self) -> bool {
        self.vector == VECTOR_DOUBLE_FAULT
    }

    /// Whether this is a machine check.
    pub fn is_machine_check(&self) -> bool {
        self.vector == VECTOR_MACHINE_CHECK
    }

    /// Whether this is a non-maskable interrupt.
    pub fn is_nmi(&self) -> bool {
        self.vector == VECTOR_NMI
    }

    /// The error code, for exceptions that have one.
    pub fn error_code(&self) -> Option<u64> {
        // As in the stubs.
        matches!(self.vector, 8 | 10..=14 | 17 | 21 | 29 | 30).then_some(self.error_code)
    }

    /// The exception's name.
    pub fn name(&self) -> &'static str {
        const NAMES: [&str; 22] = [
            "divide error",
            "debug exception",
            "non-maskable interrupt",
            "breakpoint",
            "overflow",
            "bound range exceeded",
            "invalid opcode",
            "device not available",
            "double fault",
            "coprocessor segment overrun",
            "invalid TSS",
            "segment not present",
            "stack segment fault",
            "general protection fault",
            "page fault",
            "reserved exception 15",
            "x87 floating point error",
            "alignment check",
            "machine check",
            "SIMD floating point error",
            "virtualization exception",
            "control protection exception",
        ];
        NAMES.get(self.vector as usize).copied().unwrap_or("unknown exception")
    }
}

/// What upper layers want called. Handlers run with interrupts off, on the
/// interrupted thread's stack (exceptions with a stack of their own: on that).
pub struct Hooks {
    /// The local APIC timer fired.
    pub timer: fn(),
    /// Another CPU asked for a look at the run queue.
    pub reschedule: fn(),
    /// The first serial port interrupted.
    pub serial: fn(),
    /// Lines wait for a serial port that was busy when they were written.
    pub console: fn(),
    /// ACPI's system control interrupt came.
    pub sci: fn(),
    /// Last thing before an interrupt returns; may switch threads.
    pub interrupt_return: fn(),
    /// A non-maskable interrupt came.
    pub nmi: fn(&TrapFrame),
    /// A page fault came; true if it is mended and the instruction can run again.
    pub page_fault: fn(&TrapFrame) -> bool,
    /// An exception that the kernel does not survive.
    pub fatal_exception: fn(&TrapFrame) -> !,
}

static HOOKS: Once<&'static Hooks> = Once::new();

/// Sets what gets called; before that, an exception is reported without a
/// console and ends the machine. The first call counts.
pub fn install_hooks(hooks: &'static Hooks) {
    HOOKS.call_once(|| hooks);
}

/// A 64-bit interrupt gate.
#[derive(Clone, Copy)]
#[repr(C)]
struct Gate {
    offset_low: u16,
    selector: u16,
    ist: u8,
    attributes: u8,
    offset_middle: u16,
    offset_high: u32,
    reserved: u32,
}

const _: () = assert!(size_of::<Gate>() == 16);

/// Present, ring 0, 64-bit interrupt gate (clears IF on entry).
const INTERRUPT_GATE: u8 = 0x8e;

impl Gate {
    fn new(handler: u64, ist: u8) -> Self {
        Self {
            offset_low: handler as u16,
            selector: KERNEL_CODE,
            ist,
            attributes: INTERRUPT_GATE,
            offset_middle: (handler >> 16) as u16,
            offset_high: (handler >> 32) as u32,
            reserved: 0,
        }
    }
}

/// Loads the interrupt table, the same on every CPU, into this one.
pub fn load() {
    static IDT: Once<[Gate; 256]> = Once::new();
    let idt = IDT.call_once(|| {
        let mut gates = [MaybeUninit::uninit(); 256];
        let first = (&raw const trap_stubs) as u64;
        for (vector, gate) in gates.iter_mut().enumerate() {
            let ist = match vector as u64 {
                VECTOR_DOUBLE_FAULT => IST_DOUBLE_FAULT,
                VECTOR_NMI => IST_NMI,
                VECTOR_MACHINE_CHECK => IST_MACHINE_CHECK,
                _ => 0,
            };
            gate.write(Gate::new(first + vector as u64 * STUB_BYTES, ist));
        }
        // SAFETY: the loop wrote each of the 256.
        gates.map(|gate| unsafe { gate.assume_init() })
    });
    let pointer =
        DescriptorTablePointer { limit: (size_of_val(idt) - 1) as u16, base: VirtAddr::from_ptr(idt) };
    // SAFETY: the table is static and complete; its gates name the code selector of every CPU's GDT.
    unsafe { lidt(&pointer) };
}

/// Called by the stubs, interrupts off.
#[unsafe(no_mangle)]
extern "C" fn trap_dispatch(frame: &mut TrapFrame) {
    let Some(hooks) = HOOKS.get() else { super::early_report::exception(frame) };
    match frame.vector {
        VECTOR_NMI => return (hooks.nmi)(frame),
        VECTOR_PAGE_FAULT if (hooks.page_fault)(frame) => return,
        exception if exception < FIRST_INTERRUPT => (hooks.fatal_exception)(frame),
        vector if vector == u64::from(VECTOR_SPURIOUS) => return,
        _ => {}
    }
    debug_assert_no_locks(7, "an interrupt comes");
    let vector = frame.vector as u8;
    trace::event_irqs_off(Class::Interrupt, || Event::InterruptEnter { vector });
    if vector == VECTOR_PING {
        percpu::this_cpu().pinged_ticks.store(tsc::ticks(), SeqCst);
        trace::event_irqs_off(Class::Interrupt, || Event::InterruptExit { vector });
        return apic::local().end_of_interrupt();
    }
    // One writer, this CPU with interrupts off: a plain add would do.
    percpu::this_cpu().interrupt_count.fetch_add(1, SeqCst);
    // A level is still there, and comes again, until its handler has dealt with it.
    if vector == VECTOR_SCI {
        (hooks.sci)();
    }
    apic::local().end_of_interrupt();
    match vector {
        VECTOR_SCI => {}
        VECTOR_TIMER => (hooks.timer)(),
        VECTOR_RESCHEDULE => (hooks.reschedule)(),
        VECTOR_FLUSH => tlb::flush_here(),
        VECTOR_SERIAL => (hooks.serial)(),
        VECTOR_CONSOLE => (hooks.console)(),
        VECTOR_APIC_ERROR => log::warn!("local apic error, status {:#x}", apic::local().error_status()),
        vector => log::warn!("interrupt on vector {vector:#x}, which nobody asked for"),
    }
    // Before the hook, which may go on with another thread.
    trace::event_irqs_off(Class::Interrupt, || Event::InterruptExit { vector });
    (hooks.interrupt_return)();
}
