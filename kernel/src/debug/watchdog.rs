//! The watchdog: finds CPUs that answer no interrupt, and CPUs on which threads wait and no slice ever ends. (One that
//! ends, and is followed by another one of the same thread, is no reason to bark: that may be the heaviest by far, or all
//! others of the idle class.)
//!
//! A thread on the first CPU pings every other one that is not idle, a few times in the time allowed, and a thread that
//! is never on the first pings that: so one stuck CPU is always found by another one. Idle CPUs are left alone. Both look
//! at once when a CPU begins to go or has come back, and find their places anew; one that goes is watched until it runs no
//! thread any more. Where one CPU is left of several, nobody watches it. Looks count, not time alone (`lockup`): a machine
//! that is stopped for a while does not hang.
//! A machine with one CPU has a timer to watch it ([`self_watch`]). What is found ends the run: the stuck
//! CPU is stopped by NMI, which interrupts-off does not keep out, and its backtrace told.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use lockup::{Lockup, LockupDetector, ROUNDS, Sample};
use params::registry::WATCHDOG_TIMEOUT_MS;
use protocol::exit::Verdict;
use protocol::record::{Record, TEXT_MAX_BYTES};
use runqueue::{CpuMask, Nice};

use super::{backtrace, panic, self_watch, trace};
use crate::arch::percpu::{self, CpuId};
use crate::arch::spin_lock::IrqSpinLock;
use crate::arch::{ipi, tsc, vector};
use crate::console::{LineBuf, print_line, records, warning};
use crate::sched::{self, Spawn, Thread};

/// Starts watching, unless `watchdog.timeout_ms` is 0.
pub fn start() {
    let timeout_ns = WATCHDOG_TIMEOUT_MS.get() * 1_000_000;
    if timeout_ns == 0 {
        return;
    }
    if sched::online_cpus().count() == 1 {
        if let Err(why) = self_watch::start(timeout_ns) {
            log::info!("watchdog: {why}: if the one cpu gets stuck, only an onlooker will see it");
        }
        return;
    }
    sched::hotplug::notify_of_changes(cpus_have_changed);
    let watchers = [("watchdog/0", Watcher::OfOthers), ("watchdog/1", Watcher::OfTheFirst)];
    for (slot, (name, watcher)) in WATCHERS.iter().zip(watchers) {
        let mut watches: Vec<Watch> = percpu::all().map(|cpu| Watch::new(cpu.id(), timeout_ns)).collect();
        let started = Spawn::new(name).on(watcher.place()).nice(Nice::MIN).start(move || {
            loop {
                // Or until CPUs come or go.
                sched::park(Some(tsc::now_ns() + timeout_ns / ROUNDS));
                watcher.look(&mut watches);
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

/// The machine is about to go off: its CPUs stop one by one, and no report is to follow the end of the run.
pub fn stop() {
    HAS_STOPPED.store(true, SeqCst);
    self_watch::stop();
}

static HAS_STOPPED: AtomicBool = AtomicBool::new(false);

/// The threads that watch.
static WATCHERS: [IrqSpinLock<Option<Arc<Thread>>>; 2] = [const { IrqSpinLock::new(None) }; 2];

/// A CPU begins to go, or has come back: has those who watch look, from where they should be now.
fn cpus_have_changed() {
    for watcher in &WATCHERS {
        let thread = watcher.lock().clone();
        if let Some(thread) = thread {
            sched::unpark(&thread);
        }
    }
}

/// Who watches whom.
#[derive(Clone, Copy)]
enum Watcher {
    /// On the first CPU, all others.
    OfOthers,
    /// On any other, the first.
    OfTheFirst,
}

impl Watcher {
    /// CPUs that the watcher may be on, none of which it watches.
    fn place(self) -> CpuMask {
        let first = first_cpu();
        match self {
            Self::OfOthers => first,
            Self::OfTheFirst => percpu::all().map(|cpu| cpu.id().index()).collect::<CpuMask>().without(first),
        }
    }

    fn look(self, watches: &mut [Watch]) {
        if HAS_STOPPED.load(SeqCst) {
            return;
        }
        let place = self.place();
        if sched::current().allowed() != place {
            // It fails where the first CPU is the only one left: then nobody watches.
            let _ = sched::set_affinity(sched::current(), &place);
        }
        let (first, is_one_left) = (first_cpu(), sched::online_cpus().count() == 1);
        for watch in watches {
            let is_first = first.contains(watch.cpu.index());
            // One that goes runs threads until it is offline.
            let is_there = percpu::get(watch.cpu).is_online() && !is_one_left;
            if is_there && is_first == matches!(self, Self::OfTheFirst) {
                watch.look();
            } else {
                watch.begin_anew();
            }
        }
    }
}

/// The first of the CPUs that take threads.
fn first_cpu() -> CpuMask {
    sched::online_cpus().first().map_or(CpuMask::EMPTY, CpuMask::single)
}

/// What is known of one CPU.
struct Watch {
    cpu: CpuId,
    timeout_ns: u64,
    detector: LockupDetector,
    /// Its last answer before a ping that is out; `None`: no ping is out. On its own TSC, which may be off: only a change
    /// says something.
    answer_before_ping: Option<u64>,
    /// Turns that were taken there.
    turns: u64,
}

impl Watch {
    fn new(cpu: CpuId, timeout_ns: u64) -> Self {
        let detector = LockupDetector::new(timeout_ns, tsc::now_ns());
        Self { cpu, timeout_ns, detector, answer_before_ping: None, turns: 0 }
    }

    fn begin_anew(&mut self) {
        *self = Self::new(self.cpu, self.timeout_ns);
    }

    fn look(&mut self) {
        let block = percpu::get(self.cpu);
        let number = self.cpu.index();
        let last_answer = block.pinged_ticks.load(SeqCst);
        self.answer_before_ping = self.answer_before_ping.filter(|before| *before == last_answer);
        let turns = sched::sched_decisions(number);
        let sample = Sample {
            now_ns: tsc::now_ns(),
            answered: self.answer_before_ping.is_none(),
            progressed: core::mem::replace(&mut self.turns, turns) != turns,
            queued: sched::queue_length(number) > 0,
        };
        if let Some(lockup) = self.detector.sample(sample) {
            bark(self.cpu, format_args!("{}", Explained { cpu: number, lockup }));
        }
        if !sched::is_idle(number) {
            self.answer_before_ping.get_or_insert(last_answer);
            ipi::send(self.cpu, vector::PING);
        }
    }
}

/// What is wrong with CPU number `cpu`.
pub(super) struct Explained {
    pub(super) cpu: usize,
    pub(super) lockup: Lockup,
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lockup {
            Lockup::Hard { ns } => write!(f, "answers no interrupt for {} ms", ns / 1_000_000),
            Lockup::Soft { ns } => {
                let (ms, waiting) = (ns / 1_000_000, sched::queue_length(self.cpu));
                let slice_ms = runqueue::SLICE_NS / 1_000_000;
                write!(
                    f,
                    "runs one thread for {ms} ms while {waiting} wait, a slice is {slice_ms} ms and does not end"
                )
            }
        }
    }
}

/// Tells what is wrong with `cpu` and where it was, and ends the run.
pub(super) fn bark(cpu: CpuId, what: fmt::Arguments<'_>) -> ! {
    panic::take_over(Verdict::Watchdog, None, format_args!("watchdog: cpu {cpu} {what}"));
    let mut message = LineBuf::<TEXT_MAX_BYTES>::new();
    let _ = fmt::write(&mut message, format_args!("watchdog: cpu {cpu} {what}"));
    let block = percpu::get(cpu);
    let backtrace = backtrace::collect(block.stopped_rip.load(SeqCst), block.stopped_rbp.load(SeqCst));
    // SAFETY: `take_over` has stopped every other CPU; one that did not stop has not moved for long either.
    let thread = unsafe { sched::name_of_current_on(block) };
    super::ktest::blame_current_test(message.as_str());
    log::error!("{}, thread {thread}", message.as_str());
    for address in backtrace.as_slice() {
        print_line(format_args!("    {address:#018x}"));
    }
    panic::tell_where_others_were();
    // SAFETY: as above.
    unsafe { trace::print_last_events() };
    records::emit(&Record::Panic {
        t_ns: tsc::now_ns(),
        cpu: cpu.index() as u32,
        thread,
        message: message.as_str(),
        location: "",
        backtrace,
    });
    panic::finish(message.as_str())
}
