//! The last events of each CPU: for the report of a failure, and for tests.

use core::fmt;

use trace::Event;

use crate::arch::{percpu, tracepoint, tsc};
use crate::console::print_line;
use crate::sched;

/// Returns the last `count` events of CPU number `cpu`, oldest first: time in TSC ticks, thread, event. Takes no lock
/// and no memory, and skips events that are overwritten meanwhile.
pub fn last_events(cpu: usize, count: u64) -> impl Iterator<Item = (u64, u32, Event)> {
    let ring = tracepoint::ring(cpu);
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
    let cpus = percpu::cpu_count() as u64;
    let count = (LAST_EVENTS_OF_ALL / cpus).clamp(2, LAST_EVENTS);
    for cpu in 0..percpu::cpu_count() {
        let recorded = tracepoint::recorded(cpu);
        if recorded == 0 {
            continue;
        }
        print_line(format_args!("cpu {cpu}, the last of {recorded} trace events:"));
        for (ticks, thread, event) in last_events(cpu, count) {
            let ns = tsc::ns_at(ticks);
            // SAFETY: the caller has stopped every other CPU for good.
            let thread = unsafe { StoppedThread::new(thread) };
            print_line(format_args!(
                "    {:5}.{:09} {thread}: {}",
                ns / 1_000_000_000,
                ns % 1_000_000_000,
                Described(event)
            ));
        }
    }
}

/// A thread's name, on a machine that has stopped.
struct StoppedThread(u32);

impl StoppedThread {
    /// # Safety
    /// Every other CPU is stopped for good, while the value is in use.
    unsafe fn new(tid: u32) -> Self {
        Self(tid)
    }
}

impl fmt::Display for StoppedThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: the caller of `new` promised that every other CPU is stopped for good.
        match unsafe { sched::name_while_stopped(self.0) } {
            Some(name) => f.write_str(name),
            None => write!(f, "thread {}", self.0),
        }
    }
}

/// Describes an event, on a machine that has stopped.
struct Described(Event);

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: only `print_last_events` makes this, and its caller has stopped every other CPU for good.
        let name = |tid| unsafe { StoppedThread::new(tid) };
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
