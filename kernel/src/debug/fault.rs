//! Fault injection: failures that the `fault.*` parameters ask for, so that tests see each one detected and reported.

use alloc::string::ToString;

use params::registry::{
    FAULT_AP_LATE, FAULT_HANG_CPU, FAULT_HOG_CPU, FAULT_PANIC_CPU, FAULT_REPORT, FAULT_STACK_OVERFLOW,
};
use params::{OptionParam, Param};
use runqueue::CpuMask;

use crate::arch::percpu::{self, CpuId};
use crate::arch::{apic, smp, tsc};
use crate::console::warning;
use crate::sched;

/// Injects the faults that the parameters ask for. A fault that names a CPU happens on a thread bound to that CPU, and
/// this waits for the thread.
pub fn inject() {
    on_cpu(&FAULT_PANIC_CPU, || panic!("fault.panic_cpu asked for this"));
    on_cpu(&FAULT_STACK_OVERFLOW, || {
        let depth = overflow(0);
        unreachable!("the stack held {depth} frames");
    });
    on_cpu(&FAULT_HANG_CPU, || {
        x86_64::instructions::interrupts::disable();
        spin()
    });
    on_cpu(&FAULT_HOG_CPU, || {
        let cpu = percpu::this_cpu().id().index();
        let waiter = sched::spawn_on(CpuMask::single(cpu), "fault.hog_cpu/waits", spin);
        apic::local().refuse_interrupts();
        if waiter.is_ok() {
            spin()
        }
    });
    start_late_cpu();
}

/// Starts a CPU that the boot has given up, and waits until that CPU finds that it is not expected any more.
fn start_late_cpu() {
    let Some(cpu) = FAULT_AP_LATE.get().and_then(|cpu| CpuId::new(cpu as usize)) else { return };
    /// Time after which the start-up interrupt is sent again, because it may be lost.
    const RESEND_NS: u64 = 20_000_000;
    /// Time between two looks. A CPU that is not up can only write memory: it cannot wake this thread.
    const LOOK_NS: u64 = 1_000_000;
    let block = percpu::get(cpu);
    let refused_before = smp::refused_count();
    let mut sent_ns = None;
    while smp::refused_count() == refused_before && smp::is_abandoned(block) {
        if sent_ns.is_none_or(|sent_ns| tsc::since_ns(sent_ns) > RESEND_NS) {
            smp::start_late(block);
            sent_ns = Some(tsc::now_ns());
        }
        sched::sleep_ns(LOOK_NS);
    }
    let stays_out = smp::is_abandoned(block) && !block.is_online();
    log::info!("fault.ap_late: cpu {cpu} {}", if stays_out { "stays out" } else { "came back" });
}

/// Makes the report of a failure fail, as `fault.report` says.
pub fn inject_in_report() {
    match FAULT_REPORT.get() {
        "panic" => panic!("fault.report asked for this"),
        // SAFETY: an undefined instruction raises an exception, whose handler does not return.
        "exception" => unsafe { core::arch::asm!("ud2", options(noreturn)) },
        "nmi" => {
            let (local, this) = (apic::local(), percpu::this_cpu().apic_id());
            for _ in 0..3 {
                local.send_nmi(this);
            }
        }
        _ => {}
    }
}

fn spin() {
    loop {
        core::hint::spin_loop();
    }
}

fn on_cpu(parameter: &'static OptionParam, fault: fn()) {
    let Some(cpu) = parameter.get() else { return };
    let name = parameter.name().to_string();
    match sched::spawn_on(CpuMask::single(cpu as usize), &name, fault) {
        Ok(thread) => thread.join(),
        Err(error) => warning(format_args!("{name}: cpu {cpu}: {error}")),
    }
}

/// Recurses until the stack is full. It uses the array, so that the compiler keeps each frame.
#[inline(never)]
fn overflow(depth: u64) -> u64 {
    let frame = core::hint::black_box([depth; 64]);
    let below = if depth == u64::MAX { depth } else { overflow(depth + 1) };
    core::hint::black_box(frame)[0].max(below)
}
