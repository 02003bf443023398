//! The trace recorder: writes what each CPU does, event by event, into that CPU's ring.
//!
//! An event that is off costs a test of one word of memory and a branch that is not taken. An event that is on
//! writes 32 bytes into the CPU's ring, with interrupts off and without a lock; it overwrites the oldest event.
//! [`trace::ring`] explains why readers never see half an event, also on the panic path.
//!
//! The recorder lies below every other layer, which therefore all record here. Control, rings and dump are in
//! `debug/trace`.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed, Ordering::SeqCst};

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

static RINGS: [CpuRing; MAX_CPUS] = [const { CpuRing(Once::new()) }; MAX_CPUS];

/// Returns whether events of `class` are recorded.
#[inline(always)]
pub fn is_on(class: EventClass) -> bool {
    // Relaxed: an event more or less around the change makes no difference.
    CLASSES.load(Relaxed) & class.bit() != 0
}

/// Returns whether events of any class are recorded.
pub fn is_any_on() -> bool {
    CLASSES.load(SeqCst) != 0
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
    let Some(ring) = RINGS[percpu::this_cpu_id().index()].0.get() else { return };
    let [head, number, tail] = event.pack(percpu::current_tid());
    ring.push([tsc::ticks(), head, number, tail]);
}

/// Records events of the classes in `mask` from here on; 0 switches tracing off. Waits for no lock: the panic path
/// calls it.
pub fn set_classes(mask: u32) {
    CLASSES.store(mask, SeqCst);
}

/// Gives CPU `cpu` its ring, for good; a CPU that has one keeps it.
pub fn set_ring(cpu: CpuId, ring: Ring<'static>) {
    RINGS[cpu.index()].0.call_once(|| ring);
}

/// Returns the ring of CPU number `cpu`.
pub fn ring(cpu: usize) -> Option<&'static Ring<'static>> {
    RINGS.get(cpu)?.0.get()
}

/// Returns the number of events that CPU number `cpu` has recorded since the machine came up.
pub fn recorded(cpu: usize) -> u64 {
    ring(cpu).map_or(0, Ring::written)
}
