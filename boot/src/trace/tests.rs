//! Files from records: one small run compared with a golden file, and damaged traces.

use super::mark::{Kind, Mark, Slice};
use super::timeline::walk;
use super::*;
use ::trace::event::name_events;
use ::trace::wire::{Batch, TEXT_MAX_BYTES};
use ::trace::{Event, Named, Outcome, Stamped, Why};
use proptest::prelude::*;

/// Returns a record of one CPU's events.
fn part(cpu: u32, first: u64, lost: u64, events: &[(u64, u32, Event)]) -> Record<String> {
    let mut batch = Batch::new();
    for (ns, thread, event) in events {
        assert!(batch.push(&Stamped { ns: *ns, thread: *thread, event: *event }));
    }
    let events = batch.to_text(&mut [0; TEXT_MAX_BYTES]).to_string();
    Record::Trace { t_ns: 9_000_000, since_ns: 1_000_000, cpu, first, lost, events }
}

fn living(thread: u32, name: &str) -> Record<String> {
    Record::TraceName { t_ns: 9_000_000, thread, name: name.into() }
}

fn name(what: Named, id: u32, text: &str) -> Event {
    name_events(what, id, text).next().unwrap()
}

/// Returns a run on two CPUs. On the first, `main` runs a job, is interrupted, and wakes a helper on the second. The helper
/// begins a chunk, is preempted in it, and continues on the first.
fn small_run() -> Vec<Record<String>> {
    let chunk = |worker, start| Event::ChunkBegin { job: 7, worker, start, units: 50 };
    let done = |start| Event::ChunkEnd { job: 7, ok: true, start };
    let switch = |next, why, waiting| Event::Switch { next, why, waiting };
    let cpu0 = [
        (1_000_500, 2, name(Named::Thread, 5, "helper/0")),
        (1_001_000, 2, name(Named::Job, 7, "zero-pages")),
        (1_001_100, 2, Event::JobBegin { job: 7, start: 0, units: 100 }),
        (1_002_000, 2, Event::Wake { thread: 5, cpu: 1 }),
        (1_002_100, 2, Event::IpiSend { vector: 0x21, to: 1 }),
        (1_003_000, 2, chunk(0, 0)),
        (1_004_000, 2, Event::InterruptEnter { vector: 0x20 }),
        (1_004_250, 2, Event::InterruptExit { vector: 0x20 }),
        (1_007_000, 2, done(0)),
        (1_008_000, 2, switch(0, Why::Blocked, 0)),
        (1_008_100, 0, Event::HaltEnter),
        (1_009_500, 0, Event::HaltExit),
        (1_009_600, 0, Event::Migrate { thread: 5, from: 1, to: 0 }),
        (1_009_700, 0, switch(5, Why::Idle, 0)),
        (1_012_000, 5, done(50)),
        (1_012_100, 5, switch(2, Why::Ended, 0)),
        (1_012_400, 2, Event::JobEnd { job: 7, outcome: Outcome::Complete, chunks: 2, threads: 2 }),
    ];
    let cpu1 = [
        (1_002_500, 1, Event::InterruptEnter { vector: 0x21 }),
        (1_002_600, 1, Event::InterruptExit { vector: 0x21 }),
        (1_002_700, 1, switch(5, Why::Idle, 0)),
        (1_002_900, 5, chunk(1, 50)),
        (1_009_000, 5, switch(6, Why::Preempted, 1)),
        (1_010_000, 6, Event::PageFault { address: 0xffff_f000_0000_0000 }),
        (1_011_000, 6, switch(1, Why::Blocked, 0)),
        (1_011_500, 1, Event::PoolFillBegin { node: 0 }),
    ];
    let names = [living(0, "idle/0"), living(1, "idle/1"), living(2, "main"), living(6, "watchdog/1")];
    let mut records = names.to_vec();
    records.push(part(0, 0, 0, &cpu0[..8]));
    records.push(part(0, 8, 0, &cpu0[8..]));
    records.push(part(1, 0, 0, &cpu1));
    records
}

fn json_of(records: &[Record<String>]) -> String {
    let mut text = Vec::new();
    chrome::write(&Trace::from_records(records).unwrap(), &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// `UPDATE_GOLDEN=1` writes the golden file; check the difference before committing it.
#[test]
fn small_run_equals_the_golden_file() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/trace/small_run.json");
    let found = json_of(&small_run());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &found).unwrap();
    }
    assert_eq!(found, std::fs::read_to_string(path).unwrap());
}

fn marks(records: &[Record<String>]) -> Vec<Mark> {
    let mut marks = Vec::new();
    let walked: Result<(), std::convert::Infallible> = walk(&Trace::from_records(records).unwrap(), |mark| {
        marks.push(mark);
        Ok(())
    });
    walked.unwrap();
    marks
}

/// Asserts that slices nest on each CPU, time never goes back, and one thread at a time has a slice.
fn assert_nested(marks: &[Mark]) {
    let mut open: std::collections::HashMap<u32, Vec<(Slice, &str)>> = std::collections::HashMap::new();
    let mut last_ns = 0;
    for mark in marks {
        assert!(mark.ns >= last_ns, "{mark:?} comes after {last_ns}");
        last_ns = mark.ns;
        let open = open.entry(mark.cpu).or_default();
        match mark.kind {
            Kind::Begin(slice) => {
                assert_eq!(open.is_empty(), slice == Slice::Thread, "{mark:?} in {open:?}");
                open.push((slice, &mark.name));
            }
            Kind::End(slice) => assert_eq!(open.pop(), Some((slice, mark.name.as_str())), "{mark:?}"),
            Kind::ArrowBegin(_) | Kind::ArrowEnd(_) => assert!(!open.is_empty(), "{mark:?} hangs in the air"),
            _ => {}
        }
    }
    assert!(open.values().all(Vec::is_empty), "{open:?} are never closed");
}

#[test]
fn slices_nest() {
    assert_nested(&marks(&small_run()));
}

#[test]
fn missing_events_end_open_slices_and_are_counted() {
    let chunk = Event::ChunkBegin { job: 1, worker: 0, start: 0, units: 5 };
    let before = part(0, 10, 0, &[(1_001_000, 3, chunk)]);
    let after = part(0, 31, 20, &[(1_005_000, 4, Event::HaltEnter)]);
    let trace = Trace::from_records(&[before.clone(), after.clone()]).unwrap();
    assert_eq!((trace.cpus[&0].lost, trace.cpus[&0].events.len()), (20, 2));
    let marks = marks(&[before.clone(), after]);
    assert_nested(&marks);
    let closed = marks.iter().find(|mark| mark.kind == Kind::End(Slice::Thread)).unwrap();
    assert_eq!((closed.ns, closed.arguments.len()), (1_005_000, 1));
    // A record that did not arrive is missing too, although no other record counts its events.
    let unannounced = part(0, 31, 0, &[(1_005_000, 4, Event::HaltEnter)]);
    assert_eq!(Trace::from_records(&[before, unannounced]).unwrap().cpus[&0].lost, 20);
}

#[test]
fn wrapped_ring_begins_with_its_first_event() {
    let marks = marks(&[part(0, 500, 500, &[(3_000_000, 3, Event::HaltEnter)])]);
    assert_eq!((marks[0].ns, marks[0].name.as_str()), (3_000_000, "thread 3"));
}

#[test]
fn reused_thread_number_has_its_current_name() {
    let switch = |next| Event::Switch { next, why: Why::Blocked, waiting: 0 };
    let events = [
        (1_001_000, 1, switch(9)),
        (1_002_000, 9, Event::Switch { next: 1, why: Why::Ended, waiting: 0 }),
        (1_003_000, 1, name(Named::Thread, 9, "second")),
        (1_004_000, 1, switch(9)),
    ];
    let marks = marks(&[living(1, "main"), living(9, "second"), part(0, 0, 0, &events)]);
    let begun: Vec<&str> = (marks.iter())
        .filter(|mark| mark.kind == Kind::Begin(Slice::Thread))
        .map(|mark| mark.name.as_str())
        .collect();
    assert_eq!(begun, ["main", "thread 9", "main", "second"]);
}

#[test]
fn traces_that_cannot_be_exported_are_errors() {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("new/trace.json");
    let failure = export(&[living(1, "main")], &output).unwrap_err();
    assert!(failure.message.contains("trace.enabled=on"), "{failure}");
    let damaged =
        Record::Trace { t_ns: 1, since_ns: 1, cpu: 3, first: 17, lost: 0, events: "AA*A".to_string() };
    let failure = export(&[damaged], &output).unwrap_err();
    assert!(failure.message.contains("cpu 3, the record from event 17 on: not base64"), "{failure}");
    assert_eq!(failure.status, protocol::exit::HostStatus::Fail);
    let summary = export(&small_run(), &output).unwrap();
    assert!(summary.contains("25 events of 2 CPUs"), "{summary}");
    assert_eq!(std::fs::read_to_string(&output).unwrap(), json_of(&small_run()));
}

#[test]
fn records_are_read_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("records.jsonl");
    let mut text = String::from("\n{\"record\":\"later-kind\"}\n");
    for record in small_run() {
        let mut buffer = [0; protocol::record::LINE_MAX_BYTES];
        text += std::str::from_utf8(record.to_line(&mut buffer).unwrap()).unwrap();
    }
    std::fs::write(&path, &text).unwrap();
    assert_eq!(read_records(&path).unwrap(), small_run());
    std::fs::write(&path, text + "half a rec").unwrap();
    let failure = read_records(&path).unwrap_err();
    assert!(failure.message.contains("line 10: not a record: \"half a rec\""), "{failure}");
    assert_eq!(failure.status, protocol::exit::HostStatus::Usage);
    let failure = read_records(&directory.path().join("nothing")).unwrap_err();
    assert!(failure.message.starts_with("cannot read "), "{failure}");
}

/// Returns events of any kind with small numbers, so that they refer to each other.
fn any_event() -> impl Strategy<Value = Event> {
    let id = || 0..4u32;
    let why = prop_oneof![Just(Why::Preempted), Just(Why::Blocked), Just(Why::Ended), Just(Why::Idle)];
    prop_oneof![
        (id(), why, 0..3u32).prop_map(|(next, why, waiting)| Event::Switch { next, why, waiting }),
        (id(), 0..4u16).prop_map(|(thread, cpu)| Event::Wake { thread, cpu }),
        (id(), 0..4u16, 0..4u16).prop_map(|(thread, from, to)| Event::Migrate { thread, from, to }),
        (0..3u8).prop_map(|vector| Event::InterruptEnter { vector }),
        (0..3u8).prop_map(|vector| Event::InterruptExit { vector }),
        Just(Event::HaltEnter),
        Just(Event::HaltExit),
        (id(), 0..3u64).prop_map(|(job, start)| Event::ChunkBegin { job, worker: 0, start, units: 1 }),
        (id(), 0..3u64).prop_map(|(job, start)| Event::ChunkEnd { job, ok: true, start }),
        Just(Event::PoolFillBegin { node: 0 }),
        Just(Event::PoolFillEnd { filled: true }),
        (id(), "[a-c]{0,3}").prop_map(|(id, text)| Event::Name {
            what: Named::Thread,
            id,
            part: 0,
            bytes: {
                let mut bytes = [0; 16];
                bytes[..text.len()].copy_from_slice(text.as_bytes());
                bytes
            },
        }),
    ]
}

proptest! {
    /// Any sequence of events becomes nested slices and valid JSON.
    #[test]
    fn inconsistent_events_nest_too(events in prop::collection::vec((0..3u32, 0..50u64, 0..4u32, any_event()), 0..60)) {
        let mut now_ns = 1_000_000;
        let mut records = Vec::new();
        let mut counts = [0; 3];
        for (cpu, step_ns, thread, event) in events {
            now_ns += step_ns;
            records.push(part(cpu, counts[cpu as usize], u64::from(step_ns == 7), &[(now_ns, thread, event)]));
            counts[cpu as usize] += 1 + u64::from(step_ns == 7);
        }
        let mut open: Vec<Vec<(Slice, String)>> = vec![Vec::new(); 4];
        for mark in marks(&records) {
            let open = &mut open[mark.cpu as usize];
            match mark.kind {
                Kind::Begin(slice) => {
                    prop_assert_eq!(open.is_empty(), slice == Slice::Thread);
                    open.push((slice, mark.name));
                }
                // Ends under the same name, even if the thread was renamed.
                Kind::End(slice) => prop_assert_eq!(open.pop(), Some((slice, mark.name))),
                _ => {}
            }
        }
        prop_assert!(open.iter().all(Vec::is_empty));
        let parsed: serde_json::Value = serde_json::from_str(&json_of(&records)).unwrap();
        prop_assert!(parsed["traceEvents"].is_array());
    }
}
