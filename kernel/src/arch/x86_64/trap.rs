//! Interrupts and exceptions: the interrupt table, the dispatcher, and the hooks of upper layers.

use core::mem::MaybeUninit;
use core::sync::atomic::Ordering::SeqCst;

use spin::Once;
use trace::{Event, EventClass};
use x86_64::VirtAddr;
use x86_64::instructions::tables::lidt;
use x86_64::structures::DescriptorTablePointer;

use super::segments::{IST_DOUBLE_FAULT, IST_MACHINE_CHECK, IST_NMI, KERNEL_CODE};
use super::spin_lock::debug_assert_no_locks;
use super::trap_frame::TrapFrame;
use super::{apic, early_report, percpu, single_step, tracepoint, tsc, vector};

core::arch::global_asm!(include_str!("trap.s"));

unsafe extern "C" {
    /// First of 256 entry stubs, [`STUB_BYTES`] apart.
    static trap_stubs: u8;
}

const STUB_BYTES: u64 = 16;

/// The functions of upper layers that the dispatcher calls. They run with interrupts off, on the stack of the interrupted
/// thread, or on an interrupt stack for the exceptions that have one.
pub struct Hooks {
    /// Handles the interrupt of the local APIC timer.
    pub timer: fn(),
    /// Handles another CPU's request to check the run queue.
    pub reschedule: fn(),
    /// Handles another CPU's request to flush the TLB.
    pub flush_tlb: fn(),
    /// Handles the interrupt of the first serial port.
    pub serial: fn(),
    /// Wakes the thread that sends the lines that wait for a busy serial port.
    pub console: fn(),
    /// Handles ACPI's system control interrupt.
    pub sci: fn(),
    /// Runs last before an interrupt returns; may switch threads.
    pub interrupt_return: fn(),
    /// Handles a non-maskable interrupt.
    pub nmi: fn(&TrapFrame),
    /// Handles a page fault. Returns whether the instruction can run again.
    pub page_fault: fn(&TrapFrame) -> bool,
    /// Ends the kernel after an exception that it cannot handle.
    pub fatal_exception: fn(&TrapFrame) -> !,
}

static HOOKS: Once<&'static Hooks> = Once::new();

/// Installs the hooks. Only the first call has an effect. Before it, an exception is reported without the console and ends
/// the machine.
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

/// Loads the interrupt table into this CPU. All CPUs share the table.
pub fn load() {
    static IDT: Once<[Gate; 256]> = Once::new();
    let idt = IDT.call_once(|| {
        let mut gates = [MaybeUninit::uninit(); 256];
        let first = (&raw const trap_stubs) as u64;
        for (vector, gate) in gates.iter_mut().enumerate() {
            let ist = match vector as u8 {
                vector::DOUBLE_FAULT => IST_DOUBLE_FAULT,
                vector::NMI => IST_NMI,
                vector::MACHINE_CHECK => IST_MACHINE_CHECK,
                _ => 0,
            };
            gate.write(Gate::new(first + vector as u64 * STUB_BYTES, ist));
        }
        // SAFETY: the loop wrote each of the 256 gates.
        gates.map(|gate| unsafe { gate.assume_init() })
    });
    let pointer =
        DescriptorTablePointer { limit: (size_of_val(idt) - 1) as u16, base: VirtAddr::from_ptr(idt) };
    // SAFETY: the table is static and complete. Its gates name the code selector that every CPU's GDT has.
    unsafe { lidt(&pointer) };
}

/// Dispatches an interrupt or exception. The entry stubs call it, with interrupts off.
#[unsafe(no_mangle)]
extern "C" fn trap_dispatch(frame: &mut TrapFrame) {
    let Some(hooks) = HOOKS.get() else { early_report::exception(frame) };
    let vector = frame.vector as u8;
    match vector {
        vector::NMI => return (hooks.nmi)(frame),
        vector::DEBUG if single_step::on_debug_exception(frame) => return,
        vector::PAGE_FAULT if (hooks.page_fault)(frame) => return,
        exception if exception < vector::FIRST_INTERRUPT => (hooks.fatal_exception)(frame),
        vector::SPURIOUS => return,
        _ => {}
    }
    debug_assert_no_locks(7, "an interrupt comes");
    tracepoint::event_irqs_off(EventClass::Interrupt, || Event::InterruptEnter { vector });
    if vector == vector::PING {
        percpu::this_cpu().pinged_ticks.store(tsc::ticks(), SeqCst);
        tracepoint::event_irqs_off(EventClass::Interrupt, || Event::InterruptExit { vector });
        return apic::local().end_of_interrupt();
    }
    // Single writer: this CPU, with interrupts off.
    percpu::this_cpu().interrupt_count.fetch_add(1, SeqCst);
    // Before the end of interrupt: a level interrupts again until its handler has cleared the cause.
    if vector == vector::SCI {
        (hooks.sci)();
    }
    apic::local().end_of_interrupt();
    match vector {
        vector::SCI => {}
        vector::TIMER => (hooks.timer)(),
        vector::RESCHEDULE => (hooks.reschedule)(),
        vector::FLUSH => (hooks.flush_tlb)(),
        vector::SERIAL => (hooks.serial)(),
        vector::CONSOLE => (hooks.console)(),
        vector::APIC_ERROR => log::warn!("local apic error, status {:#x}", apic::local().error_status()),
        vector => log::warn!("unexpected interrupt on vector {vector:#x}"),
    }
    // Before the hook, which may switch threads.
    tracepoint::event_irqs_off(EventClass::Interrupt, || Event::InterruptExit { vector });
    (hooks.interrupt_return)();
}
