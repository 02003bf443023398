//! The watchdog's probe on a machine with several CPUs: interrupts from a peer.
//!
//! * A thread on the first CPU pings every other CPU that is not idle, [`SAMPLES_PER_TIMEOUT`] times in the timeout.
//!   A second thread never runs on the first CPU, and pings it. So a peer always finds a CPU that is locked up.
//! * An idle CPU gets no ping.
//! * Both threads take a sample at once when a CPU begins to go offline or has come back, and then choose their CPUs
//!   anew. A CPU that goes is watched until it runs no thread any more.
//! * The last CPU online has no peer and is not watched.
//!
//! A slice that ends counts as progress even if the same thread runs on: it may outweigh all others, or the others may
//! be of the idle class.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use lockup::{LockupDetector, SAMPLES_PER_TIMEOUT, Sample};
use runqueue::{CpuMask, Nice};

use super::report::report_hang;

use crate::arch::percpu::{self, CpuId};
use crate::arch::spin_lock::IrqSpinLock;
use crate::arch::{ipi, tsc, vector};
use crate::console::warning;
use crate::sched::{self, Spawn, Thread};

/// The two threads.
static THREADS: [IrqSpinLock<Option<Arc<Thread>>>; 2] = [const { IrqSpinLock::new(None) }; 2];

static IS_STOPPED: AtomicBool = AtomicBool::new(false);

/// Starts both threads.
pub(super) fn start(timeout_ns: u64) {
    sched::hotplug::notify_of_changes(wake_threads);
    let threads = [("watchdog/0", Watcher::OfOthers), ("watchdog/1", Watcher::OfFirst)];
    for (slot, (name, watcher)) in THREADS.iter().zip(threads) {
        let mut watches: Vec<Watch> = percpu::all().map(|cpu| Watch::new(cpu.id(), timeout_ns)).collect();
        let started = Spawn::new(name).on(watcher.allowed_cpus()).nice(Nice::MIN).start(move || {
            loop {
                // `wake_threads` ends this early.
                sched::park(Some(tsc::now_ns() + timeout_ns / SAMPLES_PER_TIMEOUT));
                watcher.sample_all(&mut watches);
            }
        });
        match started {
            Ok(thread) => *slot.lock() = Some(thread.thread().clone()),
            Err(error) => {
                warning(format_args!("{name} could not be started, stuck cpus may not be found: {error}"));
            }
        }
    }
}

/// Takes no more samples.
pub(super) fn stop() {
    IS_STOPPED.store(true, SeqCst);
}

/// Makes both threads take a sample now: a CPU begins to go offline, or has come back.
fn wake_threads() {
    for slot in &THREADS {
        let thread = slot.lock().clone();
        if let Some(thread) = thread {
            sched::unpark(&thread);
        }
    }
}

/// Which CPUs a thread watches.
#[derive(Clone, Copy)]
enum Watcher {
    /// On the first CPU, all others.
    OfOthers,
    /// On any other CPU, the first.
    OfFirst,
}

impl Watcher {
    /// Returns the CPUs that the thread may run on. It watches none of them.
    fn allowed_cpus(self) -> CpuMask {
        let first = first_cpu();
        match self {
            Self::OfOthers => first,
            Self::OfFirst => percpu::all().map(|cpu| cpu.id().index()).collect::<CpuMask>().without(first),
        }
    }

    fn sample_all(self, watches: &mut [Watch]) {
        if IS_STOPPED.load(SeqCst) {
            return;
        }
        let allowed = self.allowed_cpus();
        if sched::current().allowed() != allowed {
            // This fails if the first CPU is the only one left. Then no CPU is watched.
            let _ = sched::set_affinity(sched::current(), &allowed);
        }
        let (first, is_one_left) = (first_cpu(), sched::online_cpus().count() == 1);
        for watch in watches {
            let is_first = first.contains(watch.cpu.index());
            // A CPU that goes runs threads until it is offline.
            let runs_threads = percpu::get(watch.cpu).is_online();
            if runs_threads && !is_one_left && is_first == matches!(self, Self::OfFirst) {
                watch.sample();
            } else {
                watch.reset();
            }
        }
    }
}

/// Returns the first of the CPUs that take threads.
fn first_cpu() -> CpuMask {
    sched::online_cpus().first().map_or(CpuMask::EMPTY, CpuMask::single)
}

/// The samples of one CPU.
struct Watch {
    cpu: CpuId,
    timeout_ns: u64,
    detector: LockupDetector,
    /// The CPU's last answer before the pending ping; `None`: no ping is pending. The value is a time of the CPU's own
    /// TSC, which may be off, so only a change counts.
    answer_before_ping: Option<u64>,
    /// The CPU's scheduling decisions, as the last sample found them.
    decisions: u64,
}

impl Watch {
    fn new(cpu: CpuId, timeout_ns: u64) -> Self {
        let detector = LockupDetector::new(timeout_ns, tsc::now_ns());
        Self { cpu, timeout_ns, detector, answer_before_ping: None, decisions: 0 }
    }

    fn reset(&mut self) {
        *self = Self::new(self.cpu, self.timeout_ns);
    }

    fn sample(&mut self) {
        let number = self.cpu.index();
        let last_answer = percpu::get(self.cpu).pinged_ticks.load(SeqCst);
        self.answer_before_ping = self.answer_before_ping.filter(|before| *before == last_answer);
        let decisions = sched::sched_decisions(number);
        let sample = Sample {
            now_ns: tsc::now_ns(),
            answered: self.answer_before_ping.is_none(),
            progressed: core::mem::replace(&mut self.decisions, decisions) != decisions,
            queued: sched::queue_length(number) > 0,
        };
        if let Some(lockup) = self.detector.sample(sample) {
            report_hang(self.cpu, lockup);
        }
        if !sched::is_idle(number) {
            self.answer_before_ping.get_or_insert(last_answer);
            ipi::send(self.cpu, vector::PING);
        }
    }
}
