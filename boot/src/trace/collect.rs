//! The trace of a run, assembled from its records.

use protocol::record::Record;
use std::collections::{BTreeMap, HashMap, HashSet};
use trace::event::NAME_PART_BYTES;
use trace::{Event, Named, Stamped, Why};

/// Trace of all CPUs.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Time at which tracing was switched on.
    pub since_ns: u64,
    /// Time of the last event.
    pub until_ns: u64,
    /// CPUs by number.
    pub cpus: BTreeMap<u32, CpuTrace>,
    /// Names of threads that existed at the end.
    living: HashMap<u32, String>,
}

/// Trace of one CPU.
#[derive(Clone, Debug, Default)]
pub struct CpuTrace {
    /// Its events, in order.
    pub events: Vec<Stamped>,
    /// Positions in `events` before which events are missing.
    pub gaps: HashSet<usize>,
    /// Number of missing events.
    pub lost: u64,
    /// Time at which tracing was switched on, from the last record.
    since_ns: u64,
    /// Number of the next event.
    next: u64,
}

impl Trace {
    /// Assembles the trace in `records`; it has no CPUs if there is none.
    ///
    /// # Errors
    ///
    /// A message when a record is damaged.
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

    /// Returns all events with their CPUs, ordered by time; events of one CPU keep their order.
    pub fn in_order(&self) -> impl Iterator<Item = (u32, usize, &Stamped)> {
        let mut all: Vec<_> = (self.cpus.iter())
            .flat_map(|(cpu, trace)| trace.events.iter().enumerate().map(|(at, event)| (*cpu, at, event)))
            .collect();
        // A stable sort: a CPU's events of the same nanosecond keep their order.
        all.sort_by_key(|(_, _, event)| event.ns);
        all.into_iter()
    }

    /// Returns the CPUs' idle threads.
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

    /// Returns the names at the beginning of the trace. Thread numbers are reused: a thread that is named in the trace had
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
        // Missing events that no record counts as lost were lost in transmission.
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

/// Names of threads and jobs at the current position in the events.
#[derive(Clone, Debug, Default)]
pub struct Names {
    threads: HashMap<u32, String>,
    jobs: HashMap<u32, String>,
}

impl Names {
    /// Updates the names by an [`Event::Name`]; ignores other events.
    pub fn note(&mut self, event: &Event) {
        let Event::Name { what, id, part, bytes } = event else { return };
        let names = match what {
            Named::Thread => &mut self.threads,
            Named::Job => &mut self.jobs,
        };
        let name = names.entry(*id).or_default();
        // Replaces the old part at this position; the first part of a new name clears the old name.
        let kept = name.floor_char_boundary(usize::from(*part) * NAME_PART_BYTES);
        name.truncate(kept);
        let len = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        name.push_str(&String::from_utf8_lossy(&bytes[..len]));
    }

    /// Returns the name of a thread.
    #[must_use]
    pub fn thread(&self, id: u32) -> String {
        self.threads.get(&id).cloned().unwrap_or_else(|| format!("thread {id}"))
    }

    /// Returns the name of a job.
    #[must_use]
    pub fn job(&self, id: u32) -> String {
        self.jobs.get(&id).filter(|name| !name.is_empty()).cloned().unwrap_or_else(|| format!("job {id}"))
    }
}
