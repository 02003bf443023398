//! The trace: data for the script, which draws a timeline of each CPU.

use crate::trace::collect::Trace;
use crate::trace::mark::{Argument, Kind, Mark, Slice};
use crate::trace::timeline::walk;
use maud::{Markup, PreEscaped, html};
use serde::Serialize;
use std::collections::HashMap;

/// Most slices in the page. Each takes some twenty bytes.
const SLICES_MAX: usize = 400_000;

/// What the script reads.
#[derive(Serialize)]
struct Data {
    since_ns: u64,
    until_ns: u64,
    names: Vec<String>,
    cpus: Vec<Track>,
}

/// A CPU.
#[derive(Serialize)]
struct Track {
    cpu: u32,
    lost: u64,
    /// Slices: start from `since_ns` on, duration, kind, depth, number of the name. Ordered by their ends.
    slices: Vec<[u64; 5]>,
    /// Times of the switches.
    switches: Vec<u64>,
}

/// Renders the trace, if there is one.
pub(super) fn section(trace: &Trace) -> Markup {
    if trace.cpus.is_empty() {
        return html! {};
    }
    let (data, is_whole) = data(trace);
    let lost: u64 = data.cpus.iter().map(|track| track.lost).sum();
    html! {
        section.trace {
            h2 { "Trace" }
            p.hint {
                "What every CPU did. Wheel or pinch zooms, a drag moves, a double click or the key 0 shows all, "
                "+ and - zoom, arrows move; a slice under the pointer tells its name and time."
            }
            p.legend {
                span.key.chunk { "chunk of a job" } span.key.thread { "other thread" } span.key.idle { "idle" }
                span.key.halt { "halt" } span.key.interrupt { "interrupt" } span.key.pool { "pages cleared ahead" }
                span.key.switch { "switch" }
            }
            div.tools {
                button type="button" data-zoom="in" { "+" }
                button type="button" data-zoom="out" { "−" }
                button type="button" data-zoom="all" { "all" }
                output #trace-range {}
            }
            canvas #trace tabindex="0" role="img" aria-label="timeline of every CPU" {}
            output #trace-detail { " " }
            @if lost > 0 { p.hint { (lost) " events are missing: trace.buffer_events was too small." } }
            @if !is_whole { p.hint { "Only the first " (SLICES_MAX) " slices are shown; the trace file has all." } }
            script #trace-data type="application/json" { (PreEscaped(json_in_html(&data))) }
        }
    }
}

/// Returns JSON that cannot end the element around it.
fn json_in_html(data: &impl Serialize) -> String {
    let json = serde_json::to_string(data).unwrap_or_else(|_| "null".into());
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// Returns the data, and whether all slices are in it.
fn data(trace: &Trace) -> (Data, bool) {
    let mut names = Names::default();
    let mut tracks: Vec<_> = (trace.cpus.iter())
        .map(|(cpu, of_cpu)| Track { cpu: *cpu, lost: of_cpu.lost, slices: Vec::new(), switches: Vec::new() })
        .collect();
    let places: HashMap<u32, usize> =
        trace.cpus.keys().enumerate().map(|(place, cpu)| (*cpu, place)).collect();
    let idle = trace.idle_threads();
    let mut open: Vec<Vec<(u64, u64, u64)>> = vec![Vec::new(); tracks.len()];
    let mut room = SLICES_MAX;
    let mut is_whole = true;
    let walked: Result<(), std::convert::Infallible> = walk(trace, |mark| {
        let Some(place) = places.get(&mark.cpu).copied() else { return Ok(()) };
        let ns = mark.ns.saturating_sub(trace.since_ns);
        match mark.kind {
            Kind::Begin(slice) => {
                if slice == Slice::Thread && ns > 0 {
                    tracks[place].switches.push(ns);
                }
                let is_idle = thread_of(&mark).is_some_and(|thread| idle.contains(&thread));
                let kind = if is_idle { IDLE } else { kind(slice) };
                open[place].push((ns, kind, names.number(&mark.name)));
            }
            Kind::End(_) => {
                if let Some((start, kind, name)) = open[place].pop() {
                    is_whole &= room > 0;
                    if room > 0 {
                        room -= 1;
                        let depth = open[place].len() as u64;
                        tracks[place].slices.push([start, ns.saturating_sub(start), kind, depth, name]);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    });
    let Ok(()) = walked;
    let (since_ns, until_ns) = (trace.since_ns, trace.until_ns);
    (Data { since_ns, until_ns, names: names.list, cpus: tracks }, is_whole)
}

const IDLE: u64 = 5;

/// Returns the number of a kind, as the script knows it.
const fn kind(slice: Slice) -> u64 {
    match slice {
        Slice::Thread => 0,
        Slice::Chunk => 1,
        Slice::Interrupt => 2,
        Slice::Halt => 3,
        Slice::PoolFill => 4,
    }
}

/// Returns the number of the thread whose slice `mark` begins.
fn thread_of(mark: &Mark) -> Option<u32> {
    let is_thread = |(name, _): &&Argument| *name == "thread";
    match (mark.kind, mark.arguments.iter().find(is_thread)) {
        (Kind::Begin(Slice::Thread), Some((_, crate::trace::mark::Value::Number(thread)))) => {
            u32::try_from(*thread).ok()
        }
        _ => None,
    }
}

/// Names by number: each is in the page once.
#[derive(Default)]
struct Names {
    list: Vec<String>,
    numbers: HashMap<String, u64>,
}

impl Names {
    fn number(&mut self, name: &str) -> u64 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.list.len() as u64;
        self.list.push(name.to_string());
        self.numbers.insert(name.to_string(), number);
        number
    }
}
