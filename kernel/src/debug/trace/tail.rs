//! The last events of each CPU: for the report of a failure, and for tests.

use alloc::vec::Vec;
use core::fmt;

use trace::{Event, Ring};

use crate::arch::{percpu, tracepoint, tsc};
use crate::console::print_line;
use crate::sched;
use crate::sched::snapshot::{self, ThreadReport};

/// Returns the last `count` events of CPU number `cpu` in the trace, oldest first: time in TSC ticks, thread, event. Takes no
/// lock and no memory, and skips events that are overwritten meanwhile.
pub fn last_events(cpu: usize, count: u64) -> impl Iterator<Item = (u64, u32, Event)> {
    last_of(tracepoint::ring(cpu), count)
}

fn last_of(ring: Option<&'static Ring<'static>>, count: u64) -> impl Iterator<Item = (u64, u32, Event)> {
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

/// Most events of one CPU in a report.
const LAST_EVENTS: u64 = 16;
/// Most events of all CPUs in a report.
const LAST_EVENTS_OF_ALL: u64 = 512;

/// Prints the last events of each CPU, if there are any. Takes no lock but the port's, and no memory: the panic path
/// calls it.
///
/// # Safety
/// Every other CPU is stopped for good.
pub unsafe fn print_last_events() {
    // SAFETY: the caller has stopped every other CPU for good, and nothing outlives this call.
    let names = unsafe { Names::of_stopped() };
    each_line(&names, print_line);
}

/// Calls `print` for the lines of the last events of each CPU, if there are any, while all CPUs run on.
pub fn print_last_events_live(print: impl FnMut(fmt::Arguments<'_>)) {
    let threads: Vec<_> = snapshot::threads().collect();
    each_line(&Names::Live(&threads), print);
}

fn each_line(names: &Names<'_>, mut print: impl FnMut(fmt::Arguments<'_>)) {
    let cpus = percpu::cpu_count() as u64;
    let count = (LAST_EVENTS_OF_ALL / cpus).clamp(2, LAST_EVENTS);
    let rings = tracepoint::rings();
    for cpu in 0..percpu::cpu_count() {
        let Some(ring) = tracepoint::ring_of(rings, cpu).filter(|ring| ring.written() > 0) else { continue };
        print(format_args!("cpu {cpu}, the last of {} trace events:", ring.written()));
        for (ticks, thread, event) in last_of(Some(ring), count) {
            let ns = tsc::ns_at(ticks);
            let (thread, event) = (names.of(thread), Described(event, names));
            print(format_args!("    {:5}.{:09} {thread}: {event}", ns / 1_000_000_000, ns % 1_000_000_000));
        }
    }
}

/// Where the names of threads come from.
enum Names<'a> {
    /// From the table of threads, without its lock.
    Stopped(Stopped),
    /// From a listing.
    Live(&'a [ThreadReport]),
}

/// Proof that every other CPU is stopped for good.
struct Stopped(());

impl Names<'_> {
    /// # Safety
    /// Every other CPU is stopped for good, while the value is in use.
    unsafe fn of_stopped() -> Self {
        Self::Stopped(Stopped(()))
    }

    fn of(&self, tid: u32) -> ThreadName<'_> {
        ThreadName { names: self, tid }
    }
}

/// A thread's name, or its number if it has ended.
struct ThreadName<'a> {
    names: &'a Names<'a>,
    tid: u32,
}

impl fmt::Display for ThreadName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.names {
            // SAFETY: the caller of `of_stopped`, which alone makes this, promised that every other CPU is stopped for good.
            Names::Stopped(Stopped(())) => unsafe { sched::name_while_stopped(self.tid) },
            Names::Live(threads) => {
                threads.iter().find(|thread| thread.tid().get() == self.tid).map(ThreadReport::name)
            }
        };
        match name {
            Some(name) => f.write_str(name),
            None => write!(f, "thread {}", self.tid),
        }
    }
}

/// Describes an event.
struct Described<'a>(Event, &'a Names<'a>);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |tid| self.1.of(tid);
        match self.0 {
            Event::Switch { next, why, waiting } => {
                write!(f, "{}, switch to {}, {waiting} waiting", why.name(), name(next))
            }
            Event::Wake { thread, cpu } => write!(f, "wakes {} on cpu {cpu}", name(thread)),
            Event::Migrate { thread, from, to } => {
                write!(f, "{} goes from cpu {from} to cpu {to}", name(thread))
            }
            Event::IpiSend { vector, to } => write!(f, "interrupt {vector:#x} sent to cpu {to}"),
            Event::InterruptEnter { vector } => write!(f, "interrupt {vector:#x}"),
            Event::InterruptExit { vector } => write!(f, "interrupt {vector:#x} done"),
            Event::HaltEnter => write!(f, "halts"),
            Event::HaltExit => write!(f, "leaves halt"),
            Event::JobBegin { job, start, units } => write!(f, "job {job}: {units} units from {start} on"),
            Event::JobEnd { job, outcome, chunks, threads } => {
                write!(f, "job {job} {}, {chunks} chunks on {threads} threads", outcome.name())
            }
            Event::ChunkBegin { job, worker, start, units } => {
                write!(f, "job {job}, worker {worker}: {units} units from {start} on")
            }
            Event::ChunkEnd { job, ok, start } => {
                write!(f, "job {job}: units from {start} on {}", if ok { "done" } else { "failed" })
            }
            Event::PoolFillBegin { node } => write!(f, "pre-zeroes a page of node {node}"),
            Event::PoolFillEnd { filled } => {
                write!(f, "{}", if filled { "page pre-zeroed" } else { "no page to pre-zero" })
            }
            Event::PageFault { address } => write!(f, "page fault at {address:#x}"),
            Event::CpuOffline { cpu } => write!(f, "cpu {cpu} goes offline"),
            Event::CpuOnline { cpu } => write!(f, "cpu {cpu} comes online"),
            Event::Name { what, id, part: 0, .. } => write!(f, "names {what:?} {id}"),
            Event::Name { what, id, part, .. } => write!(f, "names {what:?} {id}, part {part}"),
        }
    }
}
