//! Switches tracing on and off, and gives each CPU its ring.

use core::fmt;

use frames::{PAGE_SIZE, Pfn, order_pages};
use params::registry::{TRACE_BUFFER_EVENTS, TRACE_ENABLED, TRACE_EVENTS, TRACE_TAIL};
use trace::{EventCell, Ring};

use crate::arch::paging::phys_to_virt;
use crate::arch::percpu::{self, MAX_CPUS};
use crate::arch::tracepoint::{self, Rings};
use crate::arch::tsc;
use crate::console::warning;
use crate::mm::pages;
use crate::platform::nodes;
use crate::sched::mutex::Mutex;

/// State of starting, stopping and dumping, which its lock serialises.
pub(super) struct Control {
    is_on: bool,
    /// Whether the CPUs have rings for their tails.
    has_tail: bool,
    /// When tracing was last switched on, on the clock of [`tsc::now_ns`].
    pub(super) since_ns: u64,
    /// Number of the first event that is not dumped yet, for each CPU.
    pub(super) next: [u64; MAX_CPUS],
}

pub(super) static CONTROL: Mutex<Control> =
    Mutex::new(Control { is_on: false, has_tail: false, since_ns: 0, next: [0; MAX_CPUS] });

/// Why tracing could not be switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartError {
    /// Tracing is on.
    AlreadyOn,
    /// There is no memory for any CPU's ring.
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

/// Switches tracing on, for the classes that `trace.events` names. Discards earlier events that are not dumped. The
/// first start gives each CPU a ring from its node's memory, for good.
pub fn start() -> Result<(), StartError> {
    let mut control = CONTROL.lock();
    if control.is_on {
        return Err(StartError::AlreadyOn);
    }
    if allocate_rings() == 0 {
        return Err(StartError::NoMemory);
    }
    control.next = core::array::from_fn(tracepoint::recorded);
    control.is_on = true;
    control.since_ns = tsc::now_ns();
    tracepoint::use_rings(Rings::Trace);
    tracepoint::set_classes(wanted_classes());
    Ok(())
}

/// Returns the classes that `trace.events` names, one bit each.
fn wanted_classes() -> u32 {
    let mut buffer = [0; params::TEXT_CAPACITY];
    params::trace_events::parse(TRACE_EVENTS.get(&mut buffer)).unwrap_or(u32::MAX)
}

/// Applies a change of `trace.events` while tracing is on.
pub fn update_classes() {
    let control = CONTROL.lock();
    if control.is_on {
        tracepoint::set_classes(wanted_classes());
    }
}

/// Returns whether a CPU has a ring: its size does not change any more.
pub fn has_rings() -> bool {
    percpu::all().any(|cpu| tracepoint::ring(cpu.id().index()).is_some())
}

/// Switches tracing off; returns whether it was on. The recorded events can still be dumped.
pub fn stop() -> bool {
    let mut control = CONTROL.lock();
    let was_on = core::mem::replace(&mut control.is_on, false);
    if was_on {
        tracepoint::set_classes(0);
        if control.has_tail {
            record_tail();
        }
    }
    was_on
}

/// Records into the rings of the tail.
fn record_tail() {
    tracepoint::use_rings(Rings::Tail);
    tracepoint::set_classes(ALL_CLASSES);
}

/// Gives each CPU that runs threads a ring for its tail, and records there whenever the trace is off.
fn start_tail() {
    let mut control = CONTROL.lock();
    for cpu in percpu::all().filter(|cpu| !cpu.current().is_null()) {
        match new_ring(nodes::of_cpu(cpu.id()), CELLS_PER_PAGE) {
            Some(ring) => tracepoint::set_ring(Rings::Tail, cpu.id(), ring),
            None => warning(format_args!("trace.tail: no page for the last events of cpu {}", cpu.id())),
        }
    }
    control.has_tail = true;
    record_tail();
}

/// Starts to record the tail and the trace, if `trace.tail` and `trace.enabled` say so.
pub fn start_at_boot() {
    if TRACE_TAIL.get() {
        start_tail();
    }
    if TRACE_ENABLED.get()
        && let Err(error) = start()
    {
        warning(format_args!("trace.enabled: {error}"));
    }
}

/// Allocates a ring for each CPU that runs threads and has none; returns the number of CPUs with a ring.
fn allocate_rings() -> usize {
    let wanted_events = TRACE_BUFFER_EVENTS.get().next_power_of_two();
    // Before a CPU runs its idle thread, its events have no thread.
    for cpu in percpu::all().filter(|cpu| !cpu.current().is_null()) {
        if tracepoint::ring(cpu.id().index()).is_some() {
            continue;
        }
        let new = core::iter::successors(Some(wanted_events), |events| Some(events / 2))
            .take_while(|events| *events >= CELLS_PER_PAGE.min(wanted_events))
            .find_map(|events| new_ring(nodes::of_cpu(cpu.id()), events));
        let got_events = new.as_ref().map_or(0, Ring::capacity);
        if got_events < wanted_events {
            warning(format_args!(
                "trace: cpu {} has room for {got_events} events, not {wanted_events}: memory is short",
                cpu.id()
            ));
        }
        if let Some(ring) = new {
            tracepoint::set_ring(Rings::Trace, cpu.id(), ring);
        }
    }
    percpu::all().filter(|cpu| tracepoint::ring(cpu.id().index()).is_some()).count()
}

/// All classes of events.
const ALL_CLASSES: u32 = u32::MAX;

const CELLS_PER_PAGE: u64 = PAGE_SIZE / size_of::<EventCell>() as u64;

/// Allocates a ring for `events`, a power of two, near `node`.
fn new_ring(node: usize, events: u64) -> Option<Ring<'static>> {
    let order = frames::order_for_pages(events.div_ceil(CELLS_PER_PAGE))?;
    let frames: Pfn = pages::alloc_near(node, order)?;
    let start = phys_to_virt(frames.address()) as *mut u8;
    let len_bytes = (order_pages(order) * PAGE_SIZE) as usize;
    // SAFETY: the frames were just allocated, so this code owns them (invariant 12); they are mapped (invariant 11).
    unsafe { start.write_bytes(0, len_bytes) };
    // SAFETY:
    // 1. The frames are never freed, and `order` was chosen so that they hold `events` cells.
    // 2. Their alignment is a page, more than a cell needs.
    // 3. Zeros are valid cells (they are atomics).
    let cells = unsafe { core::slice::from_raw_parts(start.cast::<EventCell>(), events as usize) };
    Ring::new(cells)
}
