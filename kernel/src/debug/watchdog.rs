//! The watchdog: finds CPUs that answer no interrupt, and CPUs on which threads wait and no slice ever ends. (One that
//! ends, and is followed by another one of the same thread, is no reason to bark: that may be the heaviest by far, or all
//! others of the idle class.)
//!
//! A thread on the first CPU pings every other one that is not idle, a few times in the time allowed, and a thread that
//! is never on the first pings that: so one stuck CPU is always found by another one. Idle CPUs are left alone. Both look
//! at once when a CPU begins to go or has come back, and find their places anew; one that goes is watched until it runs no
//! thread any more. Where one CPU is left of several, nobody watches it.
//! A machine with one CPU has a timer to watch it ([`self_watch`]). What is found ends the run: the stuck
//! CPU is stopped by NMI, which interrupts-off does not keep out, and its backtrace told.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::Ordering::SeqCst;

use ::trace::{Class, Event};
use params::registry::WATCHDOG_TIMEOUT_MS;
use protocol::exit::Verdict;
use protocol::record::{Record, TEXT_MAX_BYTES};
use runqueue::{CpuMask, Nice};

use super::{backtrace, panic, self_watch, trace};
use crate::arch::irq::IrqLock;
use crate::arch::percpu::{self, CpuId};
use crate::arch::{apic, exit, trap, tsc};
use crate::console::{LineBuf, print_line, records, warning};
use crate::sched::{self, Spawn, Thread};

/// Pings in the time allowed: one that is lost in a slow emulator must not end a run.
pub(super) const ROUNDS: u64 = 4;

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
    let watchers = [("watchdog/0", Watcher::OfOthers), ("watchdog/1", Watcher::OfTheFirst)];
    for (slot, (name, watcher)) in WATCHERS.iter().zip(watchers) {
        let mut watches: Vec<Watch> = percpu::all().map(|cpu| Watch::new(cpu.id())).collect();
        let started = Spawn::new(name).on(watcher.place()).nice(Nice::MIN).start(move || {
            loop {
                // Or until CPUs come or go.
                sched::park(Some(tsc::now_ns() + timeout_ns / ROUNDS));
                watcher.look(&mut watches, timeout_ns);
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

/// The threads that watch.
static WATCHERS: [IrqLock<Option<Arc<Thread>>>; 2] = [const { IrqLock::new(None) }; 2];

/// A CPU begins to go, or has come back: has those who watch look, from where they should be now.
pub fn cpus_have_changed() {
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

    fn look(self, watches: &mut [Watch], timeout_ns: u64) {
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
                watch.look(timeout_ns);
            } else {
                *watch = Watch::new(watch.cpu);
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
    /// When it was first pinged, on the TSC, without an answer since; 0: no ping is out.
    unanswered_since: u64,
    /// Its last answer before that ping. On its own TSC, which may be off: only a change says something.
    answer_before: u64,
    /// Turns that were taken there, and since when it has had as many while threads wait.
    turns: u64,
    starved_since_ns: u64,
}

impl Watch {
    fn new(cpu: CpuId) -> Self {
        Self { cpu, unanswered_since: 0, answer_before: 0, turns: 0, starved_since_ns: tsc::now_ns() }
    }

    fn look(&mut self, timeout_ns: u64) {
        let block = percpu::get(self.cpu);
        let number = self.cpu.index();
        let now_ns = tsc::now_ns();
        if self.unanswered_since != 0 && block.pinged_ticks.load(SeqCst) != self.answer_before {
            self.unanswered_since = 0;
        }
        let silent_ns = match self.unanswered_since {
            0 => 0,
            since => tsc::ticks_to_ns(tsc::ticks().saturating_sub(since)),
        };
        if silent_ns >= timeout_ns {
            bark(self.cpu, format_args!("answers no interrupt for {} ms", silent_ns / 1_000_000));
        }
        let turns = sched::turns_of(number);
        if turns != self.turns || sched::queue_length(number) == 0 {
            (self.turns, self.starved_since_ns) = (turns, now_ns);
        }
        let starved_ns = now_ns.saturating_sub(self.starved_since_ns);
        if starved_ns >= timeout_ns {
            bark(self.cpu, format_args!("{}", Starved { cpu: number, ns: starved_ns }));
        }
        if !sched::is_idle(number) {
            if self.unanswered_since == 0 {
                self.unanswered_since = tsc::ticks();
                self.answer_before = block.pinged_ticks.load(SeqCst);
            }
            trace::event(Class::Ipi, || Event::IpiSend { vector: trap::VECTOR_PING, to: number as u16 });
            apic::local().send_ipi(block.apic_id(), trap::VECTOR_PING);
        }
    }
}

/// CPU number `cpu` has kept one thread for `ns` although others wait, and no slice has ended.
pub(super) struct Starved {
    pub(super) cpu: usize,
    pub(super) ns: u64,
}

impl fmt::Display for Starved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, waiting) = (self.ns / 1_000_000, sched::queue_length(self.cpu));
        let slice_ms = runqueue::SLICE_NS / 1_000_000;
        write!(
            f,
            "runs one thread for {ms} ms while {waiting} wait, a slice is {slice_ms} ms and does not end"
        )
    }
}

/// Tells what is wrong with `cpu` and where it was, and ends the run.
pub(super) fn bark(cpu: CpuId, what: fmt::Arguments<'_>) -> ! {
    panic::take_over();
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
    unsafe { trace::tell_last() };
    records::emit(&Record::Panic {
        t_ns: tsc::now_ns(),
        cpu: cpu.index() as u32,
        thread,
        message: message.as_str(),
        location: "",
        backtrace,
    });
    records::end(protocol::record::Status::Fail, message.as_str());
    exit::power_off(Verdict::Watchdog)
}
