//! The trace leaves the machine: as records for programs, and the last events of each CPU in the log of
//! a machine that has stopped.

use core::fmt;

use protocol::record::{Record, TEXT_MAX_BYTES, clip};
use trace::ring::Missing;
use trace::wire::{self, Batch};
use trace::{Event, Ring, Stamped};

use super::{CONTROL, CPUS, Control, last_events, recorded, stop};
use crate::arch::{percpu, tsc};
use crate::console::{print_line, records};
use crate::sched;

/// What a dump came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DumpStats {
    /// Events that were written.
    pub events: u64,
    /// Events that were overwritten before they could be.
    pub lost: u64,
}

/// Writes what was recorded and not yet dumped as `trace` records, and the names of all threads that live as
/// `trace-name` records. Tracing may be on or off; what is recorded after this was called is for the next dump.
pub fn dump() -> DumpStats {
    let mut control = CONTROL.lock();
    let ends = core::array::from_fn::<_, { percpu::MAX_CPUS }, _>(recorded);
    for report in sched::snapshot::threads() {
        let name = clip(report.name(), TEXT_MAX_BYTES);
        records::emit(&Record::TraceName { t_ns: tsc::now_ns(), thread: report.tid().get(), name });
    }
    let mut stats = DumpStats::default();
    for (cpu, (trace, end)) in CPUS.iter().zip(ends).enumerate() {
        if let Some(ring) = trace.ring.get() {
            dump_cpu(cpu, ring, end, &mut control, &mut stats);
        }
    }
    stats
}

/// Writes the events of CPU number `cpu` up to number `end`: at least one record, even if there are none.
fn dump_cpu(cpu: usize, ring: &Ring<'_>, end: u64, control: &mut Control, stats: &mut DumpStats) {
    let mut out =
        Output { cpu: cpu as u32, since_ns: control.since_ns, first: 0, lost: 0, batch: Batch::new() };
    let mut number = control.next[cpu];
    out.first = number;
    while number < end {
        match stamped(ring, number) {
            Ok(Some(event)) => {
                out.push(number, &event);
                stats.events += 1;
                number += 1;
            }
            // Nothing that we know: counted as lost, for it is not told.
            Ok(None) => {
                out.lose(number, 1);
                stats.lost += 1;
                number += 1;
            }
            Err(_) => {
                let oldest = ring.oldest().max(number + 1).min(end);
                out.lose(number, oldest - number);
                stats.lost += oldest - number;
                number = oldest;
            }
        }
    }
    out.flush(number);
    control.next[cpu] = end;
}

fn stamped(ring: &Ring<'_>, number: u64) -> Result<Option<Stamped>, Missing> {
    let [ticks, head, middle, tail] = ring.read(number)?;
    let ns = tsc::ns_at(ticks);
    Ok(Event::unpack([head, middle, tail]).map(|(thread, event)| Stamped { ns, thread, event }))
}

/// Events of one CPU on their way into records.
struct Output {
    cpu: u32,
    since_ns: u64,
    /// Number of the first event in the batch.
    first: u64,
    /// Events that were lost just before it.
    lost: u64,
    batch: Batch,
}

impl Output {
    fn push(&mut self, number: u64, event: &Stamped) {
        if !self.batch.push(event) {
            self.flush(number);
            let fits = self.batch.push(event);
            debug_assert!(fits, "an empty batch holds any event");
        }
    }

    /// `count` events from `number` on are not to be had.
    fn lose(&mut self, number: u64, count: u64) {
        if !self.batch.is_empty() {
            self.flush(number);
        }
        self.lost += count;
        self.first = number + count;
    }

    /// Writes the record of what there is; the next event is `number`.
    fn flush(&mut self, number: u64) {
        let mut text = [0; wire::TEXT_MAX_BYTES];
        records::emit(&Record::Trace {
            t_ns: tsc::now_ns(),
            since_ns: self.since_ns,
            cpu: self.cpu,
            first: self.first,
            lost: self.lost,
            events: self.batch.to_text(&mut text),
        });
        (self.first, self.lost, self.batch) = (number, 0, Batch::new());
    }
}

/// At the end of a run: the trace, if there is one.
pub fn finish() {
    if stop() {
        let DumpStats { events, lost } = dump();
        log::info!("trace: {events} events written, {lost} lost");
    }
}

/// Most events of one CPU that a broken machine tells, and of all CPUs together.
const LAST_EVENTS: u64 = 16;
const LAST_EVENTS_IN_ALL: u64 = 512;

/// Writes the last events of each CPU to the log, if there are any. Takes no lock but the port's, and no memory:
/// for the panic path.
///
/// # Safety
/// Every other CPU is stopped for good.
pub unsafe fn tell_last() {
    let cpus = percpu::cpu_count() as u64;
    let count = (LAST_EVENTS_IN_ALL / cpus).clamp(2, LAST_EVENTS);
    for cpu in 0..percpu::cpu_count() {
        let recorded = recorded(cpu);
        if recorded == 0 {
            continue;
        }
        print_line(format_args!("cpu {cpu}, the last of {recorded} trace events:"));
        for (ticks, thread, event) in last_events(cpu, count) {
            let ns = tsc::ns_at(ticks);
            // SAFETY: passed on.
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

/// A thread of a machine that has stopped.
struct StoppedThread(u32);

impl StoppedThread {
    /// # Safety
    /// Every other CPU is stopped for good, as long as the value is used.
    unsafe fn new(tid: u32) -> Self {
        Self(tid)
    }
}

impl fmt::Display for StoppedThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: `new` was promised that the machine has stopped.
        match unsafe { sched::name_while_stopped(self.0) } {
            Some(name) => f.write_str(name),
            None => write!(f, "thread {}", self.0),
        }
    }
}

/// An event in words, on a machine that has stopped.
struct Described(Event);

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: made by `tell_last` alone, whose caller has stopped the machine.
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
            Event::HaltExit => write!(f, "goes on"),
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
            Event::PoolFillBegin { node } => write!(f, "clears a page of node {node} for later"),
            Event::PoolFillEnd { filled } => write!(f, "{}", if filled { "done" } else { "there is none" }),
            Event::PageFault { address } => write!(f, "page fault at {address:#x}"),
            Event::CpuOffline { cpu } => write!(f, "cpu {cpu} goes offline"),
            Event::CpuOnline { cpu } => write!(f, "cpu {cpu} comes online"),
            Event::Name { what, id, part: 0, .. } => write!(f, "names {what:?} {id}"),
            Event::Name { what, id, part, .. } => write!(f, "names {what:?} {id}, part {part}"),
        }
    }
}
