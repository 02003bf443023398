//! Reports of panics and exceptions: what happened, where, on which CPU and thread, and where the other CPUs were.
//! Each ends the machine.

use core::fmt;
use core::panic::PanicInfo;

use protocol::exit::Verdict;
use protocol::record::{Addresses, MESSAGE_MAX_BYTES, Record, TEXT_MAX_BYTES};

use super::{backtrace, chaos, fault, ktest, takeover, trace};
use crate::arch::trap_frame::TrapFrame;
use crate::arch::{boot_stack, machine_check, tsc};
use crate::console::{LineBuf, print_line, records};
use crate::mm::stacks;
use crate::sched;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    takeover::take_over(Verdict::Panic, None, format_args!("{}", info.message()));
    let mut message = LineBuf::<MESSAGE_MAX_BYTES>::new();
    let _ = fmt::write(&mut message, format_args!("{}", info.message()));
    let mut location = LineBuf::<TEXT_MAX_BYTES>::new();
    if let Some(place) = info.location() {
        let _ = fmt::write(&mut location, format_args!("{place}"));
    }
    let backtrace = backtrace::collect(0, backtrace::frame_pointer());
    print_report("panic", message.as_str(), location.as_str(), &backtrace);
    records::emit(&Record::Panic {
        t_ns: tsc::now_ns(),
        cpu: takeover::cpu_number(),
        thread: sched::current_name(),
        message: message.as_str(),
        location: location.as_str(),
        backtrace,
    });
    takeover::finish(message.as_str())
}

/// Reports an exception that the kernel cannot handle.
pub fn fatal_exception(frame: &TrapFrame) -> ! {
    takeover::take_over(Verdict::Panic, Some(frame), format_args!("{} at {:#x}", frame.name(), frame.rip));
    let mut message = LineBuf::<MESSAGE_MAX_BYTES>::new();
    let _ = fmt::write(&mut message, format_args!("{}", Explained(frame)));
    let backtrace = backtrace::collect(frame.rip, frame.rbp);
    print_report("exception", message.as_str(), "", &backtrace);
    print_registers(frame);
    records::emit(&Record::Fault {
        t_ns: tsc::now_ns(),
        cpu: takeover::cpu_number(),
        thread: sched::current_name(),
        message: message.as_str(),
        location: "",
        backtrace,
    });
    takeover::finish(message.as_str())
}

/// Describes an exception.
struct Explained<'a>(&'a TrapFrame);

impl fmt::Display for Explained<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frame = self.0;
        if frame.is_machine_check() {
            return write!(f, "{}", machine_check::Report);
        }
        let address = x86_64::registers::control::Cr2::read_raw();
        let below_stack = stacks::is_below_a_stack(address) || is_boot_stack_guard(address);
        // The CPU cannot push the page fault onto a full stack, and raises a double fault.
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
    (boot_stack::guard()..boot_stack::guard() + 4096).contains(&address)
}

fn print_report(what: &str, message: &str, location: &str, backtrace: &Addresses) {
    ktest::fail_current_test(message);
    fault::inject_in_report();
    let at = if location.is_empty() { "" } else { " at " };
    let thread = sched::current_name();
    log::error!("{what} on cpu {}, thread {thread}{at}{location}: {message}", takeover::cpu_number());
    for address in backtrace.as_slice() {
        print_line(format_args!("    {address:#018x}"));
    }
    chaos::print_seed();
    takeover::print_other_cpus();
    // SAFETY: `take_over` has stopped every other CPU, for good.
    unsafe { trace::print_last_events() };
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
