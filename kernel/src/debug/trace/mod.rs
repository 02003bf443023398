//! Tracing: what each CPU did, event by event, in a ring of its own.
//!
//! Switched off, an event costs a test of one word of memory and a branch that is not taken. Switched on, the
//! CPU writes 32 bytes into its ring, with interrupts off and without any lock; the oldest event is
//! overwritten. See [`trace::ring`] for why readers never see half an event, also on the panic path.

mod dump;

pub use dump::{DumpStats, dump, finish, tell_last};

use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed, Ordering::SeqCst};

use frames::{PAGE_SIZE, Pfn, order_pages};
use params::registry::{TRACE_BUFFER_EVENTS, TRACE_ENABLED, TRACE_EVENTS};
use spin::Once;
use trace::event::name_events;
use trace::{Class, Event, Named, Ring, Slot};

use crate::arch::irq::IrqGuard;
use crate::arch::paging::phys_to_virt;
use crate::arch::percpu::{self, MAX_CPUS};
use crate::arch::tsc;
use crate::console::warning;
use crate::mm::pages;
use crate::platform::nodes;
use crate::sched;
use crate::sched::mutex::Mutex;

/// The classes of events that are recorded, a bit for each; 0: tracing is off.
static CLASSES: AtomicU32 = AtomicU32::new(0);

/// One CPU's ring.
#[repr(align(128))]
struct CpuTrace {
    /// Set when tracing is first switched on, for the CPUs that run threads then; never changed after that.
    ring: Once<Ring<'static>>,
}

static CPUS: [CpuTrace; MAX_CPUS] = [const { CpuTrace { ring: Once::new() } }; MAX_CPUS];

/// What is common to switching on, switching off and dumping, which therefore happen one at a time.
struct Control {
    is_on: bool,
    /// When tracing was last switched on, on the clock of [`tsc::now_ns`].
    since_ns: u64,
    /// For each CPU, the first event that was not dumped yet.
    next: [u64; MAX_CPUS],
}

static CONTROL: Mutex<Control> = Mutex::new(Control { is_on: false, since_ns: 0, next: [0; MAX_CPUS] });

/// Whether events of `class` are recorded.
#[inline(always)]
pub fn is_on(class: Class) -> bool {
    // Relaxed: an event more or less around the switching is nobody's loss.
    CLASSES.load(Relaxed) & class.bit() != 0
}

/// Records what `make` makes, if events of `class` are.
#[inline(always)]
pub fn event(class: Class, make: impl FnOnce() -> Event) {
    if is_on(class) {
        record_anywhere(make);
    }
}

/// As [`event`], a bit cheaper, for where interrupts are off.
#[inline(always)]
pub fn event_irqs_off(class: Class, make: impl FnOnce() -> Event) {
    if is_on(class) {
        record(make);
    }
}

/// Records the name of a thread or a job that begins, if anything is recorded.
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

/// Interrupts are off: the ring's one writer is this CPU, once at a time (invariant 23).
#[inline(always)]
fn write(event: Event) {
    let Some(ring) = CPUS[percpu::this_cpu().id().index()].ring.get() else { return };
    let [head, number, tail] = event.pack(sched::current().tid().get());
    ring.push([tsc::ticks(), head, number, tail]);
}

/// Why tracing could not be switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartError {
    /// It is on.
    AlreadyOn,
    /// No CPU's ring could be had.
    NoMemory,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyOn => write!(f, "tracing is on already"),
            Self::NoMemory => write!(f, "there is no memory for a single trace buffer"),
        }
    }
}

/// Switches tracing on, with the events that `trace.events` names. What was recorded before and not dumped is
/// forgotten. The first time, each CPU gets a ring from its node's memory, for good.
pub fn start() -> Result<(), StartError> {
    let mut control = CONTROL.lock();
    if control.is_on {
        return Err(StartError::AlreadyOn);
    }
    let with_ring = give_rings();
    if with_ring == 0 {
        return Err(StartError::NoMemory);
    }
    for (cpu, next) in CPUS.iter().zip(&mut control.next) {
        *next = cpu.ring.get().map_or(0, Ring::written);
    }
    control.is_on = true;
    control.since_ns = tsc::now_ns();
    let mut buffer = [0; params::TEXT_CAPACITY];
    let classes = params::trace_events::parse(TRACE_EVENTS.get(&mut buffer)).unwrap_or(u32::MAX);
    CLASSES.store(classes, SeqCst);
    Ok(())
}

/// Switches tracing off; what was recorded stays to be dumped. Says whether it was on.
pub fn stop() -> bool {
    let mut control = CONTROL.lock();
    CLASSES.store(0, SeqCst);
    core::mem::replace(&mut control.is_on, false)
}

/// Switches tracing off without waiting for anybody: for a CPU that ends the machine.
pub fn freeze() {
    CLASSES.store(0, SeqCst);
}

/// Starts tracing if `trace.enabled` says so.
pub fn start_at_boot() {
    if TRACE_ENABLED.get()
        && let Err(error) = start()
    {
        warning(format_args!("trace.enabled: {error}"));
    }
}

/// Gives a ring to each CPU that runs threads and has none; returns how many have one.
fn give_rings() -> usize {
    let wanted_events = TRACE_BUFFER_EVENTS.get().next_power_of_two();
    // A CPU that has not run its idle thread yet could not say which thread runs.
    for cpu in percpu::all().filter(|cpu| !cpu.current().is_null()) {
        let ring = &CPUS[cpu.id().index()].ring;
        if ring.get().is_some() {
            continue;
        }
        let made = core::iter::successors(Some(wanted_events), |events| Some(events / 2))
            .take_while(|events| *events >= SLOTS_PER_PAGE.min(wanted_events))
            .find_map(|events| new_ring(nodes::of_cpu(cpu.id()), events));
        let got_events = made.as_ref().map_or(0, Ring::capacity);
        if got_events < wanted_events {
            warning(format_args!(
                "trace: cpu {} has room for {got_events} events, not {wanted_events}: memory is short",
                cpu.id()
            ));
        }
        if let Some(made) = made {
            ring.call_once(|| made);
        }
    }
    CPUS.iter().filter(|cpu| cpu.ring.get().is_some()).count()
}

const SLOTS_PER_PAGE: u64 = PAGE_SIZE / size_of::<Slot>() as u64;

/// A ring for `events`, a power of two, near `node`.
fn new_ring(node: usize, events: u64) -> Option<Ring<'static>> {
    let order = frames::order_for_pages(events.div_ceil(SLOTS_PER_PAGE))?;
    let frames: Pfn = pages::alloc_near(node, order)?;
    let start = phys_to_virt(frames.address()) as *mut u8;
    let len_bytes = (order_pages(order) * PAGE_SIZE) as usize;
    // SAFETY: the frames were just allocated, and are never freed; they are mapped (invariants 11 and 12).
    unsafe { start.write_bytes(0, len_bytes) };
    // SAFETY:
    // 1. The memory is ours for ever, and holds `events` slots: `order` was chosen so.
    // 2. It is aligned to a page, which is more than a slot wants.
    // 3. Zeros are valid slots (they are atomics).
    let slots = unsafe { core::slice::from_raw_parts(start.cast::<Slot>(), events as usize) };
    Ring::new(slots)
}

/// The last `count` events of CPU number `cpu` that are in its ring, oldest first: time in ticks of the TSC, thread,
/// event. Takes no lock and no memory; what is overwritten meanwhile is left out.
pub fn last_events(cpu: usize, count: u64) -> impl Iterator<Item = (u64, u32, Event)> {
    let ring = CPUS.get(cpu).and_then(|cpu| cpu.ring.get());
    let numbers = ring.map_or(0..0, |ring| {
        let end = ring.written();
        ring.oldest().max(end.saturating_sub(count))..end
    });
    numbers.filter_map(move |number| {
        let [ticks, head, middle, tail] = ring?.read(number).ok()?;
        let (thread, event) = Event::unpack([head, middle, tail])?;
        Some((ticks, thread, event))
    })
}

/// Events that CPU number `cpu` has recorded since the machine came up.
pub fn recorded(cpu: usize) -> u64 {
    CPUS[cpu].ring.get().map_or(0, Ring::written)
}
