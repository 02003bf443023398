//! Switches tracing on and off, and gives each CPU its ring.

use core::fmt;

use frames::{PAGE_SIZE, Pfn, order_pages};
use params::registry::{TRACE_BUFFER_EVENTS, TRACE_ENABLED, TRACE_EVENTS};
use trace::{EventCell, Ring};

use crate::arch::paging::phys_to_virt;
use crate::arch::percpu::{self, MAX_CPUS};
use crate::arch::{tracepoint, tsc};
use crate::console::warning;
use crate::mm::pages;
use crate::platform::nodes;
use crate::sched::mutex::Mutex;

/// What is common to switching on, switching off and dumping, which therefore happen one at a time.
pub(super) struct Control {
    is_on: bool,
    /// When tracing was last switched on, on the clock of [`tsc::now_ns`].
    pub(super) since_ns: u64,
    /// For each CPU, the first event that was not dumped yet.
    pub(super) next: [u64; MAX_CPUS],
}

pub(super) static CONTROL: Mutex<Control> =
    Mutex::new(Control { is_on: false, since_ns: 0, next: [0; MAX_CPUS] });

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
    control.next = core::array::from_fn(tracepoint::recorded);
    control.is_on = true;
    control.since_ns = tsc::now_ns();
    let mut buffer = [0; params::TEXT_CAPACITY];
    let classes = params::trace_events::parse(TRACE_EVENTS.get(&mut buffer)).unwrap_or(u32::MAX);
    tracepoint::set_classes(classes);
    Ok(())
}

/// Switches tracing off; what was recorded stays to be dumped. Says whether it was on.
pub fn stop() -> bool {
    let mut control = CONTROL.lock();
    tracepoint::set_classes(0);
    core::mem::replace(&mut control.is_on, false)
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
        if tracepoint::ring(cpu.id().index()).is_some() {
            continue;
        }
        let made = core::iter::successors(Some(wanted_events), |events| Some(events / 2))
            .take_while(|events| *events >= CELLS_PER_PAGE.min(wanted_events))
            .find_map(|events| new_ring(nodes::of_cpu(cpu.id()), events));
        let got_events = made.as_ref().map_or(0, Ring::capacity);
        if got_events < wanted_events {
            warning(format_args!(
                "trace: cpu {} has room for {got_events} events, not {wanted_events}: memory is short",
                cpu.id()
            ));
        }
        if let Some(made) = made {
            tracepoint::set_ring(cpu.id(), made);
        }
    }
    percpu::all().filter(|cpu| tracepoint::ring(cpu.id().index()).is_some()).count()
}

const CELLS_PER_PAGE: u64 = PAGE_SIZE / size_of::<EventCell>() as u64;

/// A ring for `events`, a power of two, near `node`.
fn new_ring(node: usize, events: u64) -> Option<Ring<'static>> {
    let order = frames::order_for_pages(events.div_ceil(CELLS_PER_PAGE))?;
    let frames: Pfn = pages::alloc_near(node, order)?;
    let start = phys_to_virt(frames.address()) as *mut u8;
    let len_bytes = (order_pages(order) * PAGE_SIZE) as usize;
    // SAFETY: the frames were just allocated, and are never freed; they are mapped (invariants 11 and 12).
    unsafe { start.write_bytes(0, len_bytes) };
    // SAFETY:
    // 1. The memory is ours for ever, and holds `events` cells: `order` was chosen so.
    // 2. It is aligned to a page, which is more than a cell wants.
    // 3. Zeros are valid cells (they are atomics).
    let cells = unsafe { core::slice::from_raw_parts(start.cast::<EventCell>(), events as usize) };
    Ring::new(cells)
}
