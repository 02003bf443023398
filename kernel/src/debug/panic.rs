//! The end of a broken kernel: say what happened, where, on which CPU and
//! thread, and where all other CPUs stood; then end the machine.

use core::fmt;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use protocol::exit::Verdict;
use protocol::record::{Addresses, MESSAGE_MAX_BYTES, Record, Status, TEXT_MAX_BYTES};

use super::{backtrace, trace};
use crate::arch::trap_frame::TrapFrame;
use crate::arch::{apic, cpu, exit, machine_check, percpu, pvh, tracepoint, tsc};
use crate::console::{self, LineBuf, print_line, records};
use crate::mm::stacks;
use crate::sched;

/// The CPU that reports, by its number plus 1; 0: none does.
static REPORTER: AtomicU32 = AtomicU32::new(0);
/// How often the reporting CPU failed in the report.
static FAILURES: AtomicU32 = AtomicU32::new(0);
/// What the machine ends with, as [`Verdict::code`].
static VERDICT: AtomicU32 = AtomicU32::new(Verdict::Panic.code());
/// The record that ends the run was written.
static IS_ENDED: AtomicBool = AtomicBool::new(false);
/// How long the others get to stop.
const STOP_TIMEOUT_NS: u64 = 200_000_000;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    take_over(Verdict::Panic, None, format_args!("{}", info.message()));
    let mut message = LineBuf::<MESSAGE_MAX_BYTES>::new();
    let _ = fmt::write(&mut message, format_args!("{}", info.message()));
    let mut location = LineBuf::<TEXT_MAX_BYTES>::new();
    if let Some(place) = info.location() {
        let _ = fmt::write(&mut location, format_args!("{place}"));
    }
    let backtrace = backtrace::collect(0, backtrace::frame_pointer());
    say("panic", message.as_str(), location.as_str(), &backtrace);
    records::emit(&Record::Panic {
        t_ns: tsc::now_ns(),
        cpu: cpu_number(),
        thread: sched::current_name(),
        message: message.as_str(),
        location: location.as_str(),
        backtrace,
    });
    finish(message.as_str())
}

/// An exception that the kernel does not survive.
pub fn fatal_exception(frame: &TrapFrame) -> ! {
    take_over(Verdict::Panic, Some(frame), format_args!("{} at {:#x}", frame.name(), frame.rip));
    let mut message = LineBuf::<MESSAGE_MAX_BYTES>::new();
    let _ = fmt::write(&mut message, format_args!("{}", Explained(frame)));
    let backtrace = backtrace::collect(frame.rip, frame.rbp);
    say("exception", message.as_str(), "", &backtrace);
    print_registers(frame);
    records::emit(&Record::Fault {
        t_ns: tsc::now_ns(),
        cpu: cpu_number(),
        thread: sched::current_name(),
        message: message.as_str(),
        location: "",
        backtrace,
    });
    finish(message.as_str())
}

/// An exception in words.
struct Explained<'a>(&'a TrapFrame);

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frame = self.0;
        if frame.is_machine_check() {
            return write!(f, "{}", machine_check::Report);
        }
        let address = x86_64::registers::control::Cr2::read_raw();
        let below_stack = stacks::is_below_a_stack(address) || is_boot_stack_guard(address);
        // A stack that is full cannot take the page fault either: the CPU reports a double fault.
        if below_stack && (frame.is_double_fault() || frame.is_page_fault()) {
            return write!(f, "stack overflow: {address:#x} is below the stack");
        }
        if frame.is_nmi() {
            return f.write_str("non-maskable interrupt from outside the kernel");
        }
        f.write_str(frame.name())?;
        if let Some(code) = frame.error_code() {
            write!(f, ", error code {code:#x}")?;
        }
        if frame.is_page_fault() {
            let access = match frame.error_code {
                code if code & 0x10 != 0 => "executing",
                code if code & 0x2 != 0 => "writing",
                _ => "reading",
            };
            let why = if frame.error_code & 0x1 != 0 {
                "which its page does not allow"
            } else {
                "which is not mapped"
            };
            write!(f, ": {access} {address:#x}, {why}")?;
        }
        Ok(())
    }
}

fn is_boot_stack_guard(address: u64) -> bool {
    (pvh::boot_stack_guard()..pvh::boot_stack_guard() + 4096).contains(&address)
}

/// The non-maskable interrupt: another CPU ends the machine, the watchdog of a
/// machine with one CPU looks, or hardware is in trouble.
pub fn nmi(frame: &TrapFrame) {
    match REPORTER.load(SeqCst) {
        0 if super::self_watch::nmi(frame) => {}
        0 => fatal_exception(frame),
        // Whatever it means, the report is more important.
        reporter if reporter == cpu_number() + 1 => {}
        _ => stop(frame.rip, frame.rbp),
    }
}

/// Stops this CPU for good: another one reports. Tells that one where it was.
fn stop(rip: u64, rbp: u64) -> ! {
    let this = percpu::this_cpu();
    // Only the first time counts: an NMI finds a CPU here that has stopped already.
    if this.stopped_rip.load(SeqCst) == 0 {
        this.stopped_rbp.store(rbp, SeqCst);
        this.stopped_rip.store(rip, SeqCst);
    }
    cpu::halt_forever()
}

fn cpu_number() -> u32 {
    if percpu::is_active() { percpu::this_cpu().id().index() as u32 } else { 0 }
}

/// CPUs that run, but this one. None before this one has per-CPU data: then it
/// is the only one.
fn others() -> impl Iterator<Item = &'static percpu::PerCpu> {
    percpu::all().filter(|cpu| cpu.is_online() && cpu.id().index() as u32 != cpu_number())
}

/// Makes this the only CPU that runs, and the ports ours; the machine will end with `verdict`. `frame` is where an
/// exception came, and `what` what happened, in short.
///
/// Does not return where another CPU was first, nor where this one has failed in its own report.
pub(super) fn take_over(verdict: Verdict, frame: Option<&TrapFrame>, what: fmt::Arguments<'_>) {
    x86_64::instructions::interrupts::disable();
    #[cfg(debug_assertions)]
    crate::arch::lock_order::disable();
    let this = cpu_number() + 1;
    match REPORTER.compare_exchange(0, this, SeqCst, SeqCst) {
        Ok(_) => {}
        Err(first) if first == this => fail_again(what),
        Err(_) => {
            let rbp = backtrace::frame_pointer();
            let here = backtrace::collect(0, rbp).as_slice().first().copied().unwrap_or(rbp);
            frame.map_or_else(|| stop(here, rbp), |frame| stop(frame.rip, frame.rbp))
        }
    }
    VERDICT.store(verdict.code(), SeqCst);
    super::self_watch::stop();
    tracepoint::set_classes(0);
    for other in others() {
        apic::local().send_nmi(other.apic_id());
    }
    let start = tsc::now_ns();
    let all_stopped = || others().all(|other| other.stopped_rip.load(SeqCst) != 0);
    while !all_stopped() && tsc::since_ns(start) < STOP_TIMEOUT_NS {
        cpu::relax();
    }
    // SAFETY: the others are stopped or beyond reach, and this CPU never returns to what it was doing.
    unsafe { console::seize() };
}

/// This CPU failed while it reported: ends the machine by what is left of the means. Each time with fewer: one line and
/// the record that ends the run; nothing but the verdict.
fn fail_again(what: fmt::Arguments<'_>) -> ! {
    let failures = FAILURES.fetch_add(1, SeqCst);
    if failures > 1 {
        // Even the way off fails: not a third time.
        exit::give_verdict(verdict());
        cpu::halt_forever();
    }
    if failures == 0 {
        // SAFETY: as in `take_over`; the report is given up where it stands.
        unsafe { console::seize() };
        let mut reason = LineBuf::<TEXT_MAX_BYTES>::new();
        let _ = fmt::write(&mut reason, format_args!("failed while reporting: {what}"));
        print_line(format_args!("cpu {} {}", cpu_number(), reason.as_str()));
        end(reason.as_str());
    }
    power_off()
}

fn say(what: &str, message: &str, location: &str, backtrace: &Addresses) {
    super::ktest::blame_current_test(message);
    super::fault::in_report();
    let at = if location.is_empty() { "" } else { " at " };
    let thread = sched::current_name();
    log::error!("{what} on cpu {}, thread {thread}{at}{location}: {message}", cpu_number());
    for address in backtrace.as_slice() {
        print_line(format_args!("    {address:#018x}"));
    }
    tell_where_others_were();
    // SAFETY: `take_over` has stopped every other CPU, for good.
    unsafe { trace::print_last_events() };
}

/// One line for each other CPU: where it was stopped.
pub(super) fn tell_where_others_were() {
    for cpu in others() {
        match cpu.stopped_rip.load(SeqCst) {
            0 => print_line(format_args!("cpu {} did not stop", cpu.id())),
            rip => print_line(format_args!("cpu {} was at {rip:#018x}", cpu.id())),
        }
    }
}

fn print_registers(frame: &TrapFrame) {
    let TrapFrame { rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, .. } = *frame;
    let TrapFrame { r12, r13, r14, r15, rip, rflags, .. } = *frame;
    print_line(format_args!("rip {rip:#018x} rsp {rsp:#018x} rbp {rbp:#018x} rflags {rflags:#x}"));
    print_line(format_args!("rax {rax:#018x} rbx {rbx:#018x} rcx {rcx:#018x} rdx {rdx:#018x}"));
    print_line(format_args!("rsi {rsi:#018x} rdi {rdi:#018x} r8  {r8:#018x} r9  {r9:#018x}"));
    print_line(format_args!("r10 {r10:#018x} r11 {r11:#018x} r12 {r12:#018x} r13 {r13:#018x}"));
    print_line(format_args!("r14 {r14:#018x} r15 {r15:#018x}"));
}

/// Ends the machine, after the record that ends the run.
pub(super) fn finish(reason: &str) -> ! {
    end(reason);
    power_off()
}

fn end(reason: &str) {
    if !IS_ENDED.swap(true, SeqCst) {
        records::end(Status::Fail, reason);
        console::drain();
    }
}

fn verdict() -> Verdict {
    let is_watchdog = VERDICT.load(SeqCst) == Verdict::Watchdog.code();
    if is_watchdog { Verdict::Watchdog } else { Verdict::Panic }
}

fn power_off() -> ! {
    exit::power_off(verdict())
}
