//! Chrome's trace event format: one JSON object with an array of events, written one by one.

use super::collect::Trace;
use super::mark::{Argument, Kind, Mark, Slice};
use super::timeline::walk;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::io::{self, Write};

/// Process number of all tracks: the kernel.
const PROCESS: u32 = 1;

/// Writes `trace` to `out`.
///
/// # Errors
///
/// Errors of `out`.
pub fn write(trace: &Trace, out: &mut impl Write) -> io::Result<()> {
    out.write_all(b"{\"displayTimeUnit\":\"ns\",\"otherData\":")?;
    serde_json::to_writer(&mut *out, &about(trace))?;
    out.write_all(b",\"traceEvents\":[\n")?;
    let mut list = List { out, is_empty: true };
    let name = |what, cpu, name: String| Entry {
        arguments: Some(vec![("name", name.into())]),
        ..Entry::new('M', what, cpu, 0)
    };
    list.put(&name("process_name", 0, "ktask".into()))?;
    for cpu in trace.cpus.keys() {
        list.put(&name("thread_name", *cpu, format!("cpu {cpu}")))?;
        let order = Some(vec![("sort_index", (*cpu).into())]);
        list.put(&Entry { arguments: order, ..Entry::new('M', "thread_sort_index", *cpu, 0) })?;
    }
    walk(trace, |mark| list.put(&Entry::of(&mark)))?;
    list.out.write_all(b"\n]}\n")
}

/// Returns the metadata, which is on no track.
fn about(trace: &Trace) -> impl Serialize {
    #[derive(Serialize)]
    struct About {
        clock: &'static str,
        since_ns: u64,
        until_ns: u64,
        lost: u64,
        lost_by_cpu: std::collections::BTreeMap<u32, u64>,
    }
    let lost_by_cpu: std::collections::BTreeMap<u32, u64> =
        trace.cpus.iter().map(|(cpu, trace)| (*cpu, trace.lost)).collect();
    About {
        clock: "microseconds since the kernel's first instruction",
        since_ns: trace.since_ns,
        until_ns: trace.until_ns,
        lost: lost_by_cpu.values().sum(),
        lost_by_cpu,
    }
}

/// The array of events during output.
struct List<'o, O: Write> {
    out: &'o mut O,
    is_empty: bool,
}

impl<O: Write> List<'_, O> {
    fn put(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        if !std::mem::replace(&mut self.is_empty, false) {
            self.out.write_all(b",\n")?;
        }
        Ok(serde_json::to_writer(&mut *self.out, entry)?)
    }
}

/// One event of the format.
#[derive(Serialize)]
struct Entry<'m> {
    /// Kind of event: B and E for slices, i for instants, s and f for arrows, b and e for jobs, C for counters, M for names.
    ph: char,
    pid: u32,
    tid: u32,
    /// Time in microseconds.
    ts: f64,
    #[serde(skip_serializing_if = "str::is_empty")]
    cat: &'static str,
    name: &'m str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    /// Scope of an instant: its (t)hread or (g)lobal.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<char>,
    /// Binding of an arrow's end: the slice around it, not the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    bp: Option<char>,
    #[serde(rename = "args", skip_serializing_if = "Option::is_none", serialize_with = "as_map")]
    arguments: Option<Vec<Argument>>,
}

impl<'m> Entry<'m> {
    fn new(ph: char, name: &'m str, cpu: u32, ns: u64) -> Self {
        let ts = ns as f64 / 1000.0;
        Self { ph, pid: PROCESS, tid: cpu, ts, cat: "", name, id: None, s: None, bp: None, arguments: None }
    }

    fn of(mark: &'m Mark) -> Self {
        let (ph, cat) = match mark.kind {
            Kind::Begin(slice) => ('B', category(slice)),
            Kind::End(slice) => ('E', category(slice)),
            Kind::Instant { .. } => ('i', "event"),
            Kind::ArrowBegin(_) => ('s', "wake"),
            Kind::ArrowEnd(_) => ('f', "wake"),
            Kind::JobBegin(_) => ('b', "job"),
            Kind::JobEnd(_) => ('e', "job"),
            Kind::Counter => ('C', "load"),
        };
        let (id, s, bp) = match mark.kind {
            Kind::Instant { is_global } => (None, Some(if is_global { 'g' } else { 't' }), None),
            Kind::ArrowBegin(id) => (Some(id), None, None),
            Kind::ArrowEnd(id) => (Some(id), None, Some('e')),
            Kind::JobBegin(job) | Kind::JobEnd(job) => (Some(job.into()), None, None),
            Kind::Begin(_) | Kind::End(_) | Kind::Counter => (None, None, None),
        };
        let arguments = (!mark.arguments.is_empty()).then(|| mark.arguments.clone());
        Self { cat, id, s, bp, arguments, ..Self::new(ph, &mark.name, mark.cpu, mark.ns) }
    }
}

fn category(slice: Slice) -> &'static str {
    match slice {
        Slice::Thread => "thread",
        Slice::Chunk => "chunk",
        Slice::Interrupt => "interrupt",
        Slice::Halt => "halt",
        Slice::PoolFill => "pool",
    }
}

fn as_map<S: Serializer>(arguments: &Option<Vec<Argument>>, serializer: S) -> Result<S::Ok, S::Error> {
    let arguments = arguments.as_deref().unwrap_or_default();
    let mut map = serializer.serialize_map(Some(arguments.len()))?;
    for (name, value) in arguments {
        map.serialize_entry(name, value)?;
    }
    map.end()
}
