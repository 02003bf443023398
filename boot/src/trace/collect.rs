//! The trace of a run, put together from its records.

use protocol::record::Record;
use std::collections::{BTreeMap, HashMap, HashSet};
use trace::event::NAME_PART_BYTES;
use trace::{Event, Named, Stamped, Why};

/// What all CPUs did.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// When tracing was switched on.
    pub since_ns: u64,
    /// The last event.
    pub until_ns: u64,
    /// CPUs by number.
    pub cpus: BTreeMap<u32, CpuTrace>,
    /// Names of threads that lived at the end.
    living: HashMap<u32, String>,
}

/// What one CPU did.
#[derive(Clone, Debug, Default)]
pub struct CpuTrace {
    /// Its events, in order.
    pub events: Vec<Stamped>,
    /// Positions in `events` before which something is missing.
    pub gaps: HashSet<usize>,
    /// Events that are missing.
    pub lost: u64,
    /// When tracing was switched on, as the last record said.
    since_ns: u64,
    /// Number of the next event.
    next: u64,
}

impl Trace {
    /// Puts the trace in `records` together; without CPUs if there is none.
    ///
    /// # Errors
    ///
    /// What is wrong, when a record does not hold what it should.
    pub fn from_records(records: &[Record<String>]) -> Result<Self, String> {
        let mut trace = Self { since_ns: u64::MAX, ..Self::default() };
        for record in records {
            match record {
                Record::TraceName { thread, name, .. } => {
                    trace.living.insert(*thread, name.clone());
                }
                Record::Trace { cpu, since_ns, first, lost, events, .. } => {
                    let part = trace::wire::decode(events)
                        .map_err(|error| format!("cpu {cpu}, the record from event {first} on: {error}"))?;
                    trace.since_ns = trace.since_ns.min(*since_ns);
                    trace.cpus.entry(*cpu).or_default().append(part, *since_ns, *first, *lost);
                }
                _ => {}
            }
        }
        trace.since_ns = if trace.cpus.is_empty() { 0 } else { trace.since_ns };
        let last = trace.cpus.values().filter_map(|cpu| cpu.events.last());
        trace.until_ns = last.map(|event| event.ns).max().unwrap_or(0).max(trace.since_ns);
        Ok(trace)
    }

    /// All events with their CPUs, in the order of time; those of one CPU in their own order.
    pub fn in_order(&self) -> impl Iterator<Item = (u32, usize, &Stamped)> {
        let mut all: Vec<_> = (self.cpus.iter())
            .flat_map(|(cpu, trace)| trace.events.iter().enumerate().map(|(at, event)| (*cpu, at, event)))
            .collect();
        // Stable: a CPU's events of the same nanosecond stay as they are.
        all.sort_by_key(|(_, _, event)| event.ns);
        all.into_iter()
    }

    /// Threads that are CPUs' idle threads.
    #[must_use]
    pub fn idle_threads(&self) -> HashSet<u32> {
        let events = self.cpus.values().flat_map(|cpu| &cpu.events);
        let seen = events.filter(|stamped| {
            let is_switch = matches!(stamped.event, Event::Switch { why: Why::Idle, .. });
            is_switch || matches!(stamped.event, Event::HaltEnter | Event::HaltExit)
        });
        let named =
            self.living.iter().filter(|(_, name)| name.starts_with("idle/")).map(|(thread, _)| *thread);
        seen.map(|stamped| stamped.thread).chain(named).collect()
    }

    /// Names as they are at the beginning. A number may be given again: a thread that is named in the trace had
    /// another name, or none, before.
    #[must_use]
    pub fn names(&self) -> Names {
        let mut threads = self.living.clone();
        for stamped in self.cpus.values().flat_map(|cpu| &cpu.events) {
            if let Event::Name { what: Named::Thread, id, .. } = stamped.event {
                threads.remove(&id);
            }
        }
        Names { threads, jobs: HashMap::new() }
    }
}

impl CpuTrace {
    fn append(&mut self, part: Vec<Stamped>, since_ns: u64, first: u64, lost: u64) {
        let is_first = self.since_ns == 0;
        // What is not there though no record says that it was lost, was lost on the way.
        let missing = if is_first { lost } else { first.saturating_sub(self.next).max(lost) };
        if missing > 0 || (!is_first && since_ns != self.since_ns) {
            self.gaps.insert(self.events.len());
        }
        self.lost += missing;
        self.next = first + part.len() as u64;
        self.since_ns = since_ns;
        self.events.extend(part);
    }
}

/// What threads and jobs are called at the time that a reader of events has come to.
#[derive(Clone, Debug, Default)]
pub struct Names {
    threads: HashMap<u32, String>,
    jobs: HashMap<u32, String>,
}

impl Names {
    /// Takes note of a [`Event::Name`]; other events are none of its business.
    pub fn note(&mut self, event: &Event) {
        let Event::Name { what, id, part, bytes } = event else { return };
        let names = match what {
            Named::Thread => &mut self.threads,
            Named::Job => &mut self.jobs,
        };
        let name = names.entry(*id).or_default();
        // A part at its place, whatever was there: the first part of a new name ends the old one.
        let kept = name.floor_char_boundary(usize::from(*part) * NAME_PART_BYTES);
        name.truncate(kept);
        let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        name.push_str(&String::from_utf8_lossy(&bytes[..len]));
    }

    /// The name of a thread.
    #[must_use]
    pub fn thread(&self, id: u32) -> String {
        self.threads.get(&id).cloned().unwrap_or_else(|| format!("thread {id}"))
    }

    /// The name of a job.
    #[must_use]
    pub fn job(&self, id: u32) -> String {
        self.jobs.get(&id).filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| format!("job {id}"))
    }
}
