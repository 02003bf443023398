//! Conversion of events to marks: slices on the track of each CPU, arrows, instants, counters.
//!
//! On a CPU's track, the running thread is a slice. Nested in it are its chunks, and in these the interrupts. When a thread
//! leaves its CPU, its open slices end. Its chunks begin again on the CPU where it continues.

use super::collect::{Names, Trace};
use super::mark::{Argument, Kind, Mark, Slice, Value};
use std::collections::{HashMap, HashSet};
use trace::{Event, Named, Stamped, Why};

/// An open slice on a CPU's track, nested in the thread's slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Chunk { job: u32, start: u64 },
    Interrupt { vector: u8 },
    Halt,
    PoolFill,
}

/// A chunk that a thread processes.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    job: u32,
    worker: u16,
    start: u64,
    units: u64,
}

#[derive(Default)]
struct Cpu {
    /// The running thread if it is known, and the name of its slice.
    running: Option<(u32, String)>,
    /// Slices nested in the thread's slice and their names, innermost last.
    open: Vec<(Open, String)>,
    waiting: u64,
}

/// Calls `show` for every mark of `trace`, ordered by time.
///
/// # Errors
///
/// Errors of `show`.
pub fn walk<E>(trace: &Trace, show: impl FnMut(Mark) -> Result<(), E>) -> Result<(), E> {
    let cpus = trace.cpus.keys().map(|cpu| (*cpu, Cpu::default())).collect();
    let idle = trace.idle_threads();
    let mut all = trace.cpus.values().flat_map(|cpu| &cpu.events);
    let has_switches = all.any(|stamped| matches!(stamped.event, Event::Switch { .. }));
    let mut walk = Walk {
        show,
        names: trace.names(),
        idle,
        cpus,
        jobs: HashMap::new(),
        chunks: HashMap::new(),
        woken: HashMap::new(),
        arrows: 0,
        runnable: None,
    };
    for (cpu, trace_of_cpu) in &trace.cpus {
        // The first event names the thread that ran from the beginning, if no switch before it can be missing.
        let is_known = has_switches && !trace_of_cpu.gaps.contains(&0);
        if let Some(first) = trace_of_cpu.events.first().filter(|_| is_known) {
            walk.thread_begins(trace.since_ns.min(first.ns), *cpu, first.thread)?;
        }
    }
    for (cpu, at, stamped) in trace.in_order() {
        if trace.cpus[&cpu].gaps.contains(&at) {
            walk.close_all(stamped.ns, cpu, &[("events are missing", Value::Truth(true))])?;
        }
        walk.event(cpu, stamped)?;
    }
    for cpu in trace.cpus.keys() {
        walk.close_all(trace.until_ns, *cpu, &[])?;
    }
    Ok(())
}

struct Walk<S> {
    show: S,
    names: Names,
    idle: HashSet<u32>,
    cpus: HashMap<u32, Cpu>,
    /// Names of jobs that have begun.
    jobs: HashMap<u32, String>,
    /// Chunks that each thread processes, innermost last.
    chunks: HashMap<u32, Vec<Chunk>>,
    /// Arrows of woken threads that do not run yet.
    woken: HashMap<u32, u64>,
    arrows: u64,
    /// Number of threads that run or wait for a CPU, as last shown.
    runnable: Option<u64>,
}

impl<E, S: FnMut(Mark) -> Result<(), E>> Walk<S> {
    fn event(&mut self, cpu: u32, stamped: &Stamped) -> Result<(), E> {
        let Stamped { ns, thread, event } = *stamped;
        if self.cpu(cpu).running.as_ref().map(|(running, _)| *running) != Some(thread) {
            // The switch was not traced, or its event is missing.
            self.close_all(ns, cpu, &[])?;
            self.thread_begins(ns, cpu, thread)?;
        }
        self.names.note(&event);
        match event {
            Event::Switch { next, why, waiting } => self.switch(ns, cpu, (thread, next), why, waiting),
            Event::Wake { thread, cpu: target } => {
                self.cpu(target.into()).waiting += 1;
                self.arrows += 1;
                self.woken.insert(thread, self.arrows);
                let arguments =
                    vec![("thread", self.names.thread(thread).into()), ("cpu", u64::from(target).into())];
                self.put(ns, cpu, Kind::ArrowBegin(self.arrows), "wake", arguments)?;
                self.count(ns, cpu)
            }
            Event::Migrate { thread, from, to } => {
                let name = format!("{} moves", self.names.thread(thread));
                let waiting = &mut self.cpu(from.into()).waiting;
                *waiting = waiting.saturating_sub(1);
                self.cpu(to.into()).waiting += 1;
                let arguments = vec![("from", u64::from(from).into()), ("to", u64::from(to).into())];
                self.put(ns, cpu, Kind::Instant { is_global: false }, &name, arguments)
            }
            Event::IpiSend { vector, to } => {
                let name = format!("{} to cpu {to}", vector_name(vector));
                self.put(
                    ns,
                    cpu,
                    Kind::Instant { is_global: false },
                    &name,
                    vec![("vector", u64::from(vector).into())],
                )
            }
            Event::InterruptEnter { vector } => {
                self.begin(ns, cpu, Open::Interrupt { vector }, vec![("vector", u64::from(vector).into())])
            }
            Event::InterruptExit { vector } => self.end(ns, cpu, Open::Interrupt { vector }, vec![]),
            Event::HaltEnter => self.begin(ns, cpu, Open::Halt, vec![]),
            Event::HaltExit => self.end(ns, cpu, Open::Halt, vec![]),
            Event::PoolFillBegin { node } => {
                self.begin(ns, cpu, Open::PoolFill, vec![("node", u64::from(node).into())])
            }
            Event::PoolFillEnd { filled } => {
                self.end(ns, cpu, Open::PoolFill, vec![("filled", Value::Truth(filled))])
            }
            Event::JobBegin { job, start, units } => {
                let name = self.names.job(job);
                let arguments = vec![
                    ("caller", self.names.thread(thread).into()),
                    ("start", start.into()),
                    ("units", units.into()),
                ];
                self.jobs.insert(job, name.clone());
                self.put(ns, cpu, Kind::JobBegin(job), &name, arguments)
            }
            Event::JobEnd { job, outcome, chunks, threads } => {
                // A job whose beginning is missing is not shown.
                let Some(name) = self.jobs.remove(&job) else { return Ok(()) };
                let arguments = vec![
                    ("outcome", outcome.name().into()),
                    ("chunks", chunks.into()),
                    ("threads", u64::from(threads).into()),
                ];
                self.put(ns, cpu, Kind::JobEnd(job), &name, arguments)
            }
            Event::ChunkBegin { job, worker, start, units } => {
                let chunk = Chunk { job, worker, start, units };
                self.chunks.entry(thread).or_default().push(chunk);
                self.chunk_begins(ns, cpu, chunk, false)
            }
            Event::ChunkEnd { job, ok, start } => {
                let chunks = self.chunks.entry(thread).or_default();
                if let Some(at) = chunks.iter().rposition(|chunk| (chunk.job, chunk.start) == (job, start)) {
                    chunks.truncate(at);
                }
                self.end(ns, cpu, Open::Chunk { job, start }, vec![("ok", Value::Truth(ok))])
            }
            Event::PageFault { address } => {
                let arguments = vec![("address", format!("{address:#x}").into())];
                self.put(ns, cpu, Kind::Instant { is_global: false }, "page fault", arguments)
            }
            Event::CpuOffline { cpu: which } => self.put(
                ns,
                cpu,
                Kind::Instant { is_global: true },
                &format!("cpu {which} goes offline"),
                vec![],
            ),
            Event::CpuOnline { cpu: which } => self.put(
                ns,
                cpu,
                Kind::Instant { is_global: true },
                &format!("cpu {which} comes online"),
                vec![],
            ),
            // The slice of a thread that gets its name after it began keeps its number. That is rare.
            Event::Name { what: Named::Thread | Named::Job, .. } => Ok(()),
        }
    }

    fn switch(&mut self, ns: u64, cpu: u32, (from, to): (u32, u32), why: Why, waiting: u32) -> Result<(), E> {
        self.close_all(ns, cpu, &[("leaves", why.name().into())])?;
        if why == Why::Ended {
            self.chunks.remove(&from);
        }
        self.cpu(cpu).waiting = waiting.into();
        self.thread_begins(ns, cpu, to)?;
        if let Some(arrow) = self.woken.remove(&to) {
            self.put(ns, cpu, Kind::ArrowEnd(arrow), "wake", vec![])?;
        }
        self.count(ns, cpu)
    }

    fn cpu(&mut self, cpu: u32) -> &mut Cpu {
        self.cpus.entry(cpu).or_default()
    }

    fn put(&mut self, ns: u64, cpu: u32, kind: Kind, name: &str, arguments: Vec<Argument>) -> Result<(), E> {
        (self.show)(Mark { ns, cpu, kind, name: name.to_string(), arguments })
    }

    /// Begins the slice of `thread` on `cpu` at `ns`, and those of its chunks.
    fn thread_begins(&mut self, ns: u64, cpu: u32, thread: u32) -> Result<(), E> {
        let name = self.names.thread(thread);
        self.cpu(cpu).running = Some((thread, name.clone()));
        self.put(ns, cpu, Kind::Begin(Slice::Thread), &name, vec![("thread", thread.into())])?;
        for chunk in self.chunks.get(&thread).cloned().unwrap_or_default() {
            self.chunk_begins(ns, cpu, chunk, true)?;
        }
        Ok(())
    }

    fn chunk_begins(&mut self, ns: u64, cpu: u32, chunk: Chunk, continues: bool) -> Result<(), E> {
        let Chunk { job, worker, start, units } = chunk;
        let mut arguments = vec![
            ("job", job.into()),
            ("worker", u64::from(worker).into()),
            ("start", start.into()),
            ("units", units.into()),
        ];
        if continues {
            arguments.push(("continues", Value::Truth(true)));
        }
        self.begin(ns, cpu, Open::Chunk { job, start }, arguments)
    }

    fn begin(&mut self, ns: u64, cpu: u32, open: Open, arguments: Vec<Argument>) -> Result<(), E> {
        let name = self.name_of(open);
        self.cpu(cpu).open.push((open, name.clone()));
        self.put(ns, cpu, Kind::Begin(open.slice()), &name, arguments)
    }

    /// Ends `open` and the slices nested in it; does nothing if its beginning is missing.
    fn end(&mut self, ns: u64, cpu: u32, open: Open, arguments: Vec<Argument>) -> Result<(), E> {
        let Some(at) = self.cpu(cpu).open.iter().rposition(|(other, _)| *other == open) else {
            return Ok(());
        };
        while self.cpu(cpu).open.len() > at + 1 {
            self.pop(ns, cpu, vec![])?;
        }
        self.pop(ns, cpu, arguments)
    }

    fn pop(&mut self, ns: u64, cpu: u32, arguments: Vec<Argument>) -> Result<(), E> {
        let Some((open, name)) = self.cpu(cpu).open.pop() else { return Ok(()) };
        self.put(ns, cpu, Kind::End(open.slice()), &name, arguments)
    }

    /// Ends all slices on the track of `cpu`, the thread's with `arguments`.
    fn close_all(&mut self, ns: u64, cpu: u32, arguments: &[Argument]) -> Result<(), E> {
        while !self.cpu(cpu).open.is_empty() {
            self.pop(ns, cpu, vec![])?;
        }
        if let Some((_, name)) = self.cpu(cpu).running.take() {
            self.put(ns, cpu, Kind::End(Slice::Thread), &name, arguments.to_vec())?;
        }
        Ok(())
    }

    fn name_of(&self, open: Open) -> String {
        match open {
            Open::Chunk { job, .. } => self.names.job(job),
            Open::Interrupt { vector } => vector_name(vector),
            Open::Halt => "halt".into(),
            Open::PoolFill => "clear a page".into(),
        }
    }

    /// Shows the number of threads that run or wait, if it has changed.
    fn count(&mut self, ns: u64, cpu: u32) -> Result<(), E> {
        let of_cpu = |cpu: &Cpu| {
            let runs = cpu.running.as_ref().is_some_and(|(thread, _)| !self.idle.contains(thread));
            cpu.waiting + u64::from(runs)
        };
        let runnable = self.cpus.values().map(of_cpu).sum();
        if self.runnable.replace(runnable) == Some(runnable) {
            return Ok(());
        }
        self.put(ns, cpu, Kind::Counter, "runnable threads", vec![("threads", runnable.into())])
    }
}

impl Open {
    fn slice(self) -> Slice {
        match self {
            Self::Chunk { .. } => Slice::Chunk,
            Self::Interrupt { .. } => Slice::Interrupt,
            Self::Halt => Slice::Halt,
            Self::PoolFill => Slice::PoolFill,
        }
    }
}

/// Returns the purpose of a vector.
fn vector_name(vector: u8) -> String {
    match vector {
        0x20 => "timer".into(),
        0x21 => "reschedule".into(),
        0x22 => "flush".into(),
        0x23 => "ping".into(),
        0xfe => "apic error".into(),
        vector => format!("interrupt {vector:#x}"),
    }
}
