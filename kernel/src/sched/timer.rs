//! Deadlines, and the one-shot timer of each CPU. A CPU with nothing to wait
//! for has its timer off: no tick.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use runqueue::Tid;

use super::core::next_slice_end;
use crate::arch::irq::IrqLock;
use crate::arch::percpu::{CpuId, MAX_CPUS};
use crate::arch::{apic, tsc};

/// The timer is not armed.
const IDLE: u64 = u64::MAX;

/// What one CPU waits for.
#[repr(align(128))]
struct Timers {
    /// Sleeping threads and their deadlines, in no order: few sleep at a time.
    sleepers: IrqLock<Vec<(u64, Tid)>>,
    /// Earliest deadline among the sleepers.
    earliest_ns: AtomicU64,
    /// When the timer will fire.
    armed_ns: AtomicU64,
}

static TIMERS: [Timers; MAX_CPUS] = [const {
    Timers {
        sleepers: IrqLock::new(Vec::new()),
        earliest_ns: AtomicU64::new(IDLE),
        armed_ns: AtomicU64::new(IDLE),
    }
}; MAX_CPUS];

impl Timers {
    fn note_earliest(&self, sleepers: &[(u64, Tid)]) {
        let earliest = sleepers.iter().map(|(deadline_ns, _)| *deadline_ns).min();
        self.earliest_ns.store(earliest.unwrap_or(IDLE), SeqCst);
    }
}

/// Has the running CPU `id` wake `tid` at `deadline_ns`. Called by the thread
/// itself, which may pay for a longer list.
pub fn add(id: CpuId, deadline_ns: u64, tid: Tid) {
    let timers = &TIMERS[id.index()];
    let mut sleepers = timers.sleepers.lock();
    sleepers.push((deadline_ns, tid));
    timers.note_earliest(&sleepers);
    drop(sleepers);
    program(id);
}

/// Takes `tid`'s deadline back, if it has not passed. `id` is the CPU that it
/// was given to.
pub fn remove(id: CpuId, tid: Tid) {
    let timers = &TIMERS[id.index()];
    let mut sleepers = timers.sleepers.lock();
    sleepers.retain(|(_, sleeper)| *sleeper != tid);
    timers.note_earliest(&sleepers);
}

/// Calls `wake` for every deadline of the running CPU `id` that has passed.
/// Allocates nothing.
pub fn expire(id: CpuId, mut wake: impl FnMut(Tid)) {
    let timers = &TIMERS[id.index()];
    timers.armed_ns.store(IDLE, SeqCst);
    let now_ns = tsc::now_ns();
    loop {
        let mut sleepers = timers.sleepers.lock();
        let Some(index) = sleepers.iter().position(|(deadline_ns, _)| *deadline_ns <= now_ns) else {
            timers.note_earliest(&sleepers);
            return;
        };
        let (_, tid) = sleepers.swap_remove(index);
        // Waking takes a run queue's lock, which comes before this one.
        drop(sleepers);
        wake(tid);
    }
}

/// Sets the running CPU `id`'s timer to what it has to do next. Interrupts are
/// off.
pub fn program(id: CpuId) {
    let timers = &TIMERS[id.index()];
    let slice_end_ns = next_slice_end(id).unwrap_or(IDLE);
    let next_ns = timers.earliest_ns.load(SeqCst).min(slice_end_ns);
    let armed_ns = timers.armed_ns.load(SeqCst);
    // An interrupt that comes early finds nothing to do and sets the timer anew: cheaper than setting it now.
    if next_ns >= armed_ns || next_ns == IDLE {
        return;
    }
    timers.armed_ns.store(next_ns, SeqCst);
    apic::local().arm_timer(tsc::ns_to_apic_ticks(next_ns.saturating_sub(tsc::now_ns())));
}
