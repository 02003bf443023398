//! The report of a lockup.

use core::fmt;
use core::sync::atomic::Ordering::SeqCst;

use lockup::Lockup;
use protocol::exit::Verdict;
use protocol::record::{Record, TEXT_MAX_BYTES};

use crate::arch::percpu::{self, CpuId};
use crate::arch::tsc;
use crate::console::{LineBuf, print_line, records};
use crate::debug::{backtrace, chaos, ktest, takeover, trace};
use crate::sched;

/// Stops the other CPUs, reports `lockup` of `cpu` with its backtrace, and ends the run.
pub(super) fn report_hang(cpu: CpuId, lockup: Lockup) -> ! {
    let explained = Explained { cpu, lockup };
    takeover::take_over(Verdict::Watchdog, None, format_args!("{explained}"));
    let mut message = LineBuf::<TEXT_MAX_BYTES>::new();
    let _ = fmt::write(&mut message, format_args!("{explained}"));
    let block = percpu::get(cpu);
    let backtrace = backtrace::collect(block.stopped_rip.load(SeqCst), block.stopped_rbp.load(SeqCst));
    // SAFETY: `take_over` has stopped every other CPU. A CPU that did not stop is locked up, and has not switched
    // threads for the whole timeout.
    let thread = unsafe { sched::name_of_current_on(block) };
    ktest::fail_current_test(message.as_str());
    log::error!("{}, thread {thread}", message.as_str());
    for address in backtrace.as_slice() {
        print_line(format_args!("    {address:#018x}"));
    }
    chaos::print_seed();
    takeover::print_other_cpus();
    // SAFETY: `take_over` has stopped every other CPU. A CPU that takes no NMI in its time limit switches no threads.
    unsafe { trace::print_last_events() };
    records::emit(&Record::Panic {
        t_ns: tsc::now_ns(),
        cpu: cpu.index() as u32,
        thread,
        message: message.as_str(),
        location: "",
        backtrace,
    });
    takeover::finish(message.as_str())
}

/// Describes a lockup.
struct Explained {
    cpu: CpuId,
    lockup: Lockup,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "watchdog: cpu {} ", self.cpu)?;
        match self.lockup {
            Lockup::Hard { ns } => write!(f, "answers no interrupt for {} ms", ns / 1_000_000),
            Lockup::Soft { ns } => {
                let (ms, waiting) = (ns / 1_000_000, sched::queue_length(self.cpu.index()));
                let slice_ms = runqueue::SLICE_NS / 1_000_000;
                write!(
                    f,
                    "runs one thread for {ms} ms while {waiting} wait, a slice is {slice_ms} ms and does not end"
                )
            }
        }
    }
}
