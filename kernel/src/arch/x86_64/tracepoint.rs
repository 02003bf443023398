//! The trace recorder: writes what each CPU does, event by event, into that CPU's ring.
//!
//! An event that is off costs a test of one word of memory and a branch that is not taken. An event that is on
//! writes 32 bytes into the CPU's ring, with interrupts off and without a lock; it overwrites the oldest event.
//! [`trace::ring`] explains why readers never see half an event, also on the panic path.
//!
//! The recorder lies below every other layer, which therefore all record here. Control, rings and dump are in
//! `debug/trace`.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

use spin::Once;
use trace::event::name_events;
use trace::{Event, EventClass, Named, Ring};

use super::irq::IrqGuard;
use super::percpu::{self, CpuId, MAX_CPUS};
use super::tsc;

/// The classes of events that are recorded, a bit for each; 0: tracing is off.
static CLASSES: AtomicU32 = AtomicU32::new(0);

/// One CPU's ring.
#[repr(align(128))]
struct CpuRing(Once<Ring<'static>>);

/// The rings of the trace by CPU, then the rings of the tail by CPU.
static RINGS: [CpuRing; 2 * MAX_CPUS] = [const { CpuRing(Once::new()) }; 2 * MAX_CPUS];

/// Which rings the events go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rings {
    /// Those of the trace: large, and written to the record port.
    Trace,
    /// Those of the tail: small, only for the report of a failure.
    Tail,
}

impl Rings {
    const fn first(self) -> usize {
        match self {
            Self::Trace => 0,
            Self::Tail => MAX_CPUS,
        }
    }
}

/// Index in [`RINGS`] of the first ring that events go to.
static FIRST: AtomicUsize = AtomicUsize::new(Rings::Trace.first());

/// Returns whether events of `class` are recorded.
#[inline(always)]
pub fn is_on(class: EventClass) -> bool {
    // Relaxed: an event more or less around the change makes no difference.
    CLASSES.load(Relaxed) & class.bit() != 0
}

/// Returns whether events of any class go into the rings of the trace.
pub fn is_any_on() -> bool {
    CLASSES.load(SeqCst) != 0 && rings() == Rings::Trace
}

/// Records the event that `make` returns, if events of `class` are on.
#[inline(always)]
pub fn event(class: EventClass, make: impl FnOnce() -> Event) {
    if is_on(class) {
        record_anywhere(make);
    }
}

/// Records as [`event`] does, a bit cheaper: interrupts are off.
#[inline(always)]
pub fn event_irqs_off(class: EventClass, make: impl FnOnce() -> Event) {
    if is_on(class) {
        record(make);
    }
}

/// Records the name of a thread or a job that begins, if any class is on.
#[inline(always)]
pub fn name(what: Named, id: u32, name: &str) {
    // Relaxed: as in `is_on`.
    if CLASSES.load(Relaxed) != 0 {
        record_name(what, id, name);
    }
}

#[cold]
#[inline(never)]
fn record_name(what: Named, id: u32, name: &str) {
    // A tail is short. Its reader finds the names of live threads elsewhere.
    if rings() == Rings::Tail {
        return;
    }
    for part in name_events(what, id, name) {
        record_anywhere(|| part);
    }
}

#[cold]
#[inline(never)]
fn record_anywhere(make: impl FnOnce() -> Event) {
    let _irq = IrqGuard::new();
    write(make());
}

#[cold]
#[inline(never)]
fn record(make: impl FnOnce() -> Event) {
    debug_assert!(!x86_64::instructions::interrupts::are_enabled(), "a ring has one writer at a time");
    write(make());
}

/// Writes `event` into the running CPU's ring. Interrupts are off, so the ring has one writer at a time
/// (invariant 23).
#[inline(always)]
fn write(event: Event) {
    // Relaxed: an event around the change may go to either ring. This CPU is the writer of both.
    let Some(ring) = RINGS[FIRST.load(Relaxed) + percpu::this_cpu_id().index()].0.get() else { return };
    let [head, number, tail] = event.pack(percpu::current_tid());
    ring.push([tsc::ticks(), head, number, tail]);
}

/// Records events of the classes in `mask` from here on; 0 switches tracing off. Waits for no lock: the panic path
/// calls it.
pub fn set_classes(mask: u32) {
    CLASSES.store(mask, SeqCst);
}

/// Has events go to `rings` from here on.
pub fn use_rings(rings: Rings) {
    FIRST.store(rings.first(), SeqCst);
}

/// Returns the rings that events go to.
pub fn rings() -> Rings {
    // Relaxed: as in `write`.
    if FIRST.load(Relaxed) == Rings::Trace.first() { Rings::Trace } else { Rings::Tail }
}

/// Gives CPU `cpu` its ring among `rings`, for good; a CPU that has one keeps it.
pub fn set_ring(rings: Rings, cpu: CpuId, ring: Ring<'static>) {
    RINGS[rings.first() + cpu.index()].0.call_once(|| ring);
}

/// Returns the ring of CPU number `cpu` for the trace.
pub fn ring(cpu: usize) -> Option<&'static Ring<'static>> {
    ring_of(Rings::Trace, cpu)
}

/// Returns the ring of CPU number `cpu` among `rings`.
pub fn ring_of(rings: Rings, cpu: usize) -> Option<&'static Ring<'static>> {
    RINGS[rings.first()..].iter().take(MAX_CPUS).nth(cpu)?.0.get()
}

/// Returns the number of events that CPU number `cpu` has recorded into its ring for the trace since the machine came up.
pub fn recorded(cpu: usize) -> u64 {
    ring(cpu).map_or(0, Ring::written)
}
