//! Writes the trace to the record port, for programs.

use protocol::record::{Record, TEXT_MAX_BYTES, clip};
use trace::ring::Missing;
use trace::wire::{self, Batch};
use trace::{Event, Ring, Stamped};

use super::control::{CONTROL, Control, stop};
use crate::arch::percpu::MAX_CPUS;
use crate::arch::{tracepoint, tsc};
use crate::console::records;
use crate::sched;

/// The result of a dump.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DumpStats {
    /// Events that were written.
    pub events: u64,
    /// Events that were overwritten before they could be written.
    pub lost: u64,
}

/// Writes the events that are not dumped yet as `trace` records, and the names of all live threads as `trace-name`
/// records. Tracing may be on or off. Events that are recorded after this call are left to the next dump.
pub fn dump() -> DumpStats {
    let mut control = CONTROL.lock();
    let ends = core::array::from_fn::<_, MAX_CPUS, _>(tracepoint::recorded);
    for report in sched::snapshot::threads() {
        let name = clip(report.name(), TEXT_MAX_BYTES);
        records::emit(&Record::TraceName { t_ns: tsc::now_ns(), thread: report.tid().get(), name });
    }
    let mut stats = DumpStats::default();
    for (cpu, end) in ends.into_iter().enumerate() {
        if let Some(ring) = tracepoint::ring(cpu) {
            dump_cpu(cpu, ring, end, &mut control, &mut stats);
        }
    }
    stats
}

/// Writes the events of CPU number `cpu` below number `end`, in at least one record, even if there are none.
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
            // An unknown kind: it is not written, so it counts as lost.
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

/// Collects events of one CPU into records.
struct Output {
    cpu: u32,
    since_ns: u64,
    /// Number of the first event in the batch.
    first: u64,
    /// Events that were lost just before the batch.
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

    /// Counts `count` events from `number` on as lost.
    fn lose(&mut self, number: u64, count: u64) {
        if !self.batch.is_empty() {
            self.flush(number);
        }
        self.lost += count;
        self.first = number + count;
    }

    /// Writes the batch as a record; the next event is `number`.
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

/// Writes the trace at the end of a run, if tracing is on.
pub fn finish() {
    if stop() {
        let DumpStats { events, lost } = dump();
        log::info!("trace: {events} events written, {lost} lost");
    }
}
