//! CPUs that go offline and come back while the machine runs.
//!
//! An offline CPU keeps its block, its tables and its idle thread, and halts with interrupts on. It takes no threads any
//! more. What it had moves: queued and running threads in the same way as after a change of affinity, deadlines to the
//! CPU of the caller of [`offline`]. A thread that may run on that CPU alone runs anywhere until it comes back.

use core::fmt;
use core::sync::atomic::Ordering::SeqCst;

use spin::Once;
use trace::{Event, EventClass};

use super::cpus::{self, Cpu};
use super::mutex::Mutex;
use super::place::kick_affinity_check;
use super::{idle, pool, timer};
use crate::arch::percpu::{self, CpuId};
use crate::arch::{tlb, tracepoint};

/// Why a CPU could not be taken offline or brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HotplugError {
    /// There is no CPU of this number, or it never started.
    NoSuchCpu(usize),
    /// It is in that state already.
    NothingToDo(usize),
    /// No other CPU is online.
    LastCpu(usize),
}

impl fmt::Display for HotplugError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchCpu(cpu) => write!(f, "there is no cpu {cpu}, or it never started"),
            Self::NothingToDo(cpu) => write!(f, "cpu {cpu} is in that state already"),
            Self::LastCpu(cpu) => write!(f, "cpu {cpu} is the last one online, one is needed"),
        }
    }
}

/// Called when a CPU begins to go offline, and when one has come back.
static LISTENER: Once<fn()> = Once::new();

/// Has `listener` called when a CPU begins to go offline, and when one has come back. There is one listener: the watchdog.
pub fn notify_of_changes(listener: fn()) {
    LISTENER.call_once(|| listener);
}

fn notify() {
    if let Some(listener) = LISTENER.get() {
        listener();
    }
}

/// Held during a change: there is one at a time.
static CHANGING: Mutex<()> = Mutex::new(());

fn started(cpu: usize) -> Result<&'static percpu::PerCpu, HotplugError> {
    let block = CpuId::new(cpu).map(percpu::get).filter(|block| cpus::get(block.id().index()).has_started());
    block.ok_or(HotplugError::NoSuchCpu(cpu))
}

/// Takes CPU number `cpu` offline; returns when no thread and no deadline is left there.
pub fn offline(cpu: usize) -> Result<(), HotplugError> {
    let _change = CHANGING.lock();
    let block = started(cpu)?;
    if !cpus::is_active(cpu) {
        return Err(HotplugError::NothingToDo(cpu));
    }
    if cpus::active().count() == 1 {
        return Err(HotplugError::LastCpu(cpu));
    }
    tracepoint::event(EventClass::Hotplug, || Event::CpuOffline { cpu: cpu as u16 });
    let target = cpus::get(cpu);
    cpus::set_inactive(cpu);
    // Clear only after deactivation: a delayed `is_quiesced` store from the previous offline would be wrong while the CPU is
    // active, but is correct now.
    target.is_quiesced.store(false, SeqCst);
    pool::update_limits();
    notify();
    // It evicts what is queued there, then the running thread: perhaps the calling one.
    kick_affinity_check(cpu);
    loop {
        idle::QUIESCED.wait_until(|| is_quiet(target));
        timer::move_all(cpu);
        if is_quiet(target) && timer::is_empty(cpu) {
            // Not before: while it runs threads it has to flush its TLB, and to stop for a panic.
            block.set_offline();
            cpus::forget_idle();
            return Ok(());
        }
    }
}

/// Whether an inactive CPU is back in its idle loop with an empty queue. From then on no thread there can set a deadline. A
/// waker that chose it while it was active kicks it after queueing a thread there; the CPU then sends that thread on, and is
/// quiet again. (That it counts as idle is not enough: it does so on the way from its last thread, and after taking a late one
/// out of its queue.)
fn is_quiet(cpu: &Cpu) -> bool {
    let has_looked = !cpu.has_misplaced.load(SeqCst);
    cpu.is_quiesced.load(SeqCst) && has_looked && cpu.nr_queued() == 0
}

/// Brings CPU number `cpu` back online.
pub fn online(cpu: usize) -> Result<(), HotplugError> {
    let _change = CHANGING.lock();
    let block = started(cpu)?;
    if cpus::is_active(cpu) {
        return Err(HotplugError::NothingToDo(cpu));
    }
    tracepoint::event(EventClass::Hotplug, || Event::CpuOnline { cpu: cpu as u16 });
    block.set_online();
    // Before the CPU runs a thread: it flushes what was unmapped while it was offline. Later flushes reach it as requests.
    tlb::flush_everywhere();
    cpus::count_idle_again();
    cpus::set_active(cpu);
    pool::update_limits();
    notify();
    // The CPU looks for threads. Those that may run on it alone are misplaced where they are now.
    for other in cpus::active().iter() {
        kick_affinity_check(other);
    }
    Ok(())
}
