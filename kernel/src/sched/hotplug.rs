//! CPUs that go and come back while the machine runs.
//!
//! A CPU that goes keeps its block, its tables and its idle thread, and halts with interrupts
//! on. Nothing is given to it any more, and what it had moves: waiting and running threads by the same way as
//! after a change of affinity, deadlines to the CPU of whoever sent it away. A thread that may run on
//! that CPU alone runs anywhere until it comes back.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use spin::Once;
use trace::{Event, EventClass};

use super::place::kick_affinity_check;
use super::{cpus, pool, timer, yield_now};
use crate::arch::irq::IrqGuard;
use crate::arch::percpu::{self, CpuId};
use crate::arch::{tlb, tracepoint};

/// Why a CPU could not be sent away or brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HotplugError {
    /// There is no CPU of this number, or it never started.
    NoSuchCpu(usize),
    /// It is offline already, or online.
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

/// Called when a CPU begins to go, and when one has come back.
static LISTENER: Once<fn()> = Once::new();

/// Has `listener` called when a CPU begins to go, and when one has come back. For one listener: the watchdog.
pub fn notify_of_changes(listener: fn()) {
    LISTENER.call_once(|| listener);
}

fn notify() {
    if let Some(listener) = LISTENER.get() {
        listener();
    }
}

/// One change at a time.
static CHANGING: AtomicBool = AtomicBool::new(false);

struct Change;

impl Change {
    fn begin() -> Self {
        while CHANGING.swap(true, SeqCst) {
            yield_now();
        }
        Self
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        CHANGING.store(false, SeqCst);
    }
}

fn started(cpu: usize) -> Result<&'static percpu::PerCpu, HotplugError> {
    let block = CpuId::new(cpu).map(percpu::get).filter(|block| cpus::get(block.id().index()).has_started());
    block.ok_or(HotplugError::NoSuchCpu(cpu))
}

/// Sends CPU number `cpu` away; returns when nothing of what it had is left there.
pub fn offline(cpu: usize) -> Result<(), HotplugError> {
    let _change = Change::begin();
    let block = started(cpu)?;
    if !cpus::is_active(cpu) {
        return Err(HotplugError::NothingToDo(cpu));
    }
    if cpus::active().count() == 1 {
        return Err(HotplugError::LastCpu(cpu));
    }
    tracepoint::event(EventClass::Hotplug, || Event::CpuOffline { cpu: cpu as u16 });
    let part = cpus::get(cpu);
    cpus::set_inactive(cpu);
    // Not before: it may be about to say so of the time before it came back last. Now that would be true.
    part.is_quiesced.store(false, SeqCst);
    pool::update_limits();
    notify();
    // It sends away what waits there, then what runs: us, perhaps.
    kick_affinity_check(cpu);
    loop {
        {
            let _irq = IrqGuard::new();
            let (_, here) = cpus::here();
            if here.index() != cpu {
                timer::move_all(cpu, here);
            }
        }
        // Once it is back in its idle loop and nothing waits there, nobody is left to set a deadline. Who chose it
        // before it was closed tells it so after having queued a thread there, and it sends that on.
        // (That it counts as idle says too little: it does on the way from its last thread, and when it has taken a late
        // one out of its queue.)
        let has_looked = !part.has_misplaced.load(SeqCst);
        if part.is_quiesced.load(SeqCst) && has_looked && part.nr_queued() == 0 && timer::is_empty(cpu) {
            // Not before: while it runs threads it has to flush its TLB, and to stop for a panic.
            block.set_offline();
            cpus::forget_idle();
            return Ok(());
        }
        yield_now();
    }
}

/// Brings CPU number `cpu` back.
pub fn online(cpu: usize) -> Result<(), HotplugError> {
    let _change = Change::begin();
    let block = started(cpu)?;
    if cpus::is_active(cpu) {
        return Err(HotplugError::NothingToDo(cpu));
    }
    tracepoint::event(EventClass::Hotplug, || Event::CpuOnline { cpu: cpu as u16 });
    block.set_online();
    // Flushes what was unmapped while the CPU was offline. Later flushes reach it as requests. So before it runs a thread.
    tlb::flush_everywhere();
    cpus::count_idle_again();
    cpus::set_active(cpu);
    pool::update_limits();
    notify();
    // It looks for work; threads that belong to it alone are misplaced where they are now.
    for other in cpus::active().iter() {
        kick_affinity_check(other);
    }
    Ok(())
}
