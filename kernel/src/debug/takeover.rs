//! Takes over the machine for a report of a failure, and ends it.
//!
//! The first CPU that fails stops the others by NMI and takes the serial ports. It alone reports, then ends the
//! machine. If it fails in its report, a shorter report follows ([`take_over`] never returns then).

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use protocol::exit::Verdict;
use protocol::record::{Status, TEXT_MAX_BYTES};

use super::backtrace;
use super::watchdog::nmi_timer;
use crate::arch::trap_frame::TrapFrame;
use crate::arch::{apic, cpu, exit, percpu, tracepoint, tsc};
use crate::console::{self, LineBuf, print_line, records};

/// The number of the reporting CPU, plus 1; 0: no CPU reports.
static REPORTER: AtomicU32 = AtomicU32::new(0);
/// Failures of the reporting CPU in its report.
static FAILURES: AtomicU32 = AtomicU32::new(0);
/// The machine's verdict, as [`Verdict::code`].
static VERDICT: AtomicU32 = AtomicU32::new(Verdict::Panic.code());
/// Whether the record that ends the run is written.
static IS_ENDED: AtomicBool = AtomicBool::new(false);
/// Time for the other CPUs to stop.
const STOP_TIMEOUT_NS: u64 = 200_000_000;

/// The CPU that reports a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reporter {
    /// The running CPU.
    ThisCpu,
    /// Another CPU.
    OtherCpu,
}

/// Returns which CPU reports a failure, if one does.
pub fn reporter() -> Option<Reporter> {
    match REPORTER.load(SeqCst) {
        0 => None,
        cpu if cpu == cpu_number() + 1 => Some(Reporter::ThisCpu),
        _ => Some(Reporter::OtherCpu),
    }
}

/// Returns the running CPU's number, also before it has per-CPU data.
pub fn cpu_number() -> u32 {
    if percpu::is_active() { percpu::this_cpu().id().index() as u32 } else { 0 }
}

/// Returns the other CPUs that run threads. Before this CPU has per-CPU data there are none.
fn others() -> impl Iterator<Item = &'static percpu::PerCpu> {
    percpu::all().filter(|cpu| cpu.is_online() && cpu.id().index() as u32 != cpu_number())
}

/// Makes this the only CPU that runs, and takes the serial ports. The machine will end with `verdict`. `frame` is the
/// exception's, if it was one; `what` describes the failure in short.
///
/// Does not return if another CPU took over first, or if this CPU failed in its own report.
pub fn take_over(verdict: Verdict, frame: Option<&TrapFrame>, what: fmt::Arguments<'_>) {
    x86_64::instructions::interrupts::disable();
    #[cfg(debug_assertions)]
    {
        crate::arch::lock_order::disable();
        crate::arch::chaos::stop();
    }
    let this = cpu_number() + 1;
    match REPORTER.compare_exchange(0, this, SeqCst, SeqCst) {
        Ok(_) => {}
        Err(first) if first == this => fail_again(what),
        Err(_) => {
            let rbp = backtrace::frame_pointer();
            let here = backtrace::collect(0, rbp).as_slice().first().copied().unwrap_or(rbp);
            frame.map_or_else(|| stop_this_cpu(here, rbp), |frame| stop_this_cpu(frame.rip, frame.rbp))
        }
    }
    VERDICT.store(verdict.code(), SeqCst);
    nmi_timer::stop();
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

/// Stops this CPU for good, because another CPU reports; `rip` and `rbp` tell the reporter where this CPU was.
pub fn stop_this_cpu(rip: u64, rbp: u64) -> ! {
    let this = percpu::this_cpu();
    // Only the first place counts: an NMI may find a CPU here that has stopped already.
    if this.stopped_rip.load(SeqCst) == 0 {
        this.stopped_rbp.store(rbp, SeqCst);
        this.stopped_rip.store(rip, SeqCst);
    }
    cpu::halt_forever()
}

/// Ends the machine after a failure in the report. The first failure leaves one line and the record that ends the run,
/// the second only the verdict.
fn fail_again(what: fmt::Arguments<'_>) -> ! {
    let failures = FAILURES.fetch_add(1, SeqCst);
    if failures > 1 {
        // Power-off failed as well; it is not tried a third time.
        exit::give_verdict(verdict());
        cpu::halt_forever();
    }
    if failures == 0 {
        // SAFETY: as in `take_over`; the interrupted report does not continue.
        unsafe { console::seize() };
        let mut reason = LineBuf::<TEXT_MAX_BYTES>::new();
        let _ = fmt::write(&mut reason, format_args!("failed while reporting: {what}"));
        print_line(format_args!("cpu {} {}", cpu_number(), reason.as_str()));
        end(reason.as_str());
    }
    power_off()
}

/// Prints where each other CPU was stopped, one line each.
pub fn print_other_cpus() {
    for cpu in others() {
        match cpu.stopped_rip.load(SeqCst) {
            0 => print_line(format_args!("cpu {} did not stop", cpu.id())),
            rip => print_line(format_args!("cpu {} was at {rip:#018x}", cpu.id())),
        }
    }
}

/// Ends the machine, after the record that ends the run.
pub fn finish(reason: &str) -> ! {
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
