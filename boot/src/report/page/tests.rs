//! The page as text; a browser reads it in the test `page`.

use super::*;
use crate::report::tests::{good_records, records_of_nodes, report};
use crate::run::Ending;
use ::trace::wire::{Batch, TEXT_MAX_BYTES};
use ::trace::{Event, Stamped, Why};
use protocol::exit::Verdict;
use protocol::record::JobRun;

fn page_of(records: Vec<Record<String>>) -> String {
    let report = report(records.clone(), Ending::Verdict(Verdict::Pass), 4);
    page(&Content {
        report: &report,
        records: &records,
        files: vec![("report as JSON", "./report.json".into())],
    })
}

/// Returns a trace of one CPU on which the thread `name` runs, then the idle thread.
fn trace_of(name: &str) -> Vec<Record<String>> {
    let mut batch = Batch::new();
    let switch = Event::Switch { next: 0, why: Why::Blocked, waiting: 0 };
    for (ns, thread, event) in [(2_000, 5, switch), (2_500, 0, Event::HaltEnter)] {
        assert!(batch.push(&Stamped { ns, thread, event }));
    }
    let events = batch.to_text(&mut [0; TEXT_MAX_BYTES]).to_string();
    vec![
        Record::TraceName { t_ns: 3_000, thread: 5, name: name.into() },
        Record::Trace { t_ns: 3_000, since_ns: 1_000, cpu: 0, first: 0, lost: 0, events },
        // A CPU of which no event was left.
        Record::Trace { t_ns: 3_000, since_ns: 1_000, cpu: 1, first: 3, lost: 3, events: String::new() },
    ]
}

#[test]
fn good_run_has_its_sections_and_no_others() {
    let page = page_of(good_records());
    for part in [
        "<!DOCTYPE html>",
        "PASS",
        "3 of 4 CPUs",
        "Jobs",
        "3.33 GiB/s",
        "131 Mpages/s",
        "1.88×",
        "auto 2",
        "cpu 3 did not come",
        "20.0 ms",
        "movnti",
        "qemu-system-x86_64",
        "href=\"./report.json\"",
        "prefers-color-scheme: dark",
    ] {
        assert!(page.contains(part), "{part:?} is not in:\n{page}");
    }
    for part in ["id=\"trace-data\"", "What stopped the run", "Benchmarks", "http://", "https://", "src="] {
        assert!(!page.contains(part), "{part:?} is in:\n{page}");
    }
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
}

#[test]
fn rows_of_spread_name_their_threads() {
    let page = page_of(good_records());
    let (_, spread) = page.split_once("class=\"spread\"").expect("runs have a spread");
    let (spread, _) = spread.split_once("</article>").unwrap();
    for name in [">2<", ">auto 2<"] {
        assert_eq!(spread.matches(name).count(), 1, "{name} in:\n{spread}");
    }
}

#[test]
fn phases_begin_where_the_last_one_ended() {
    let phase = |name: &str, t_ns, ns| Record::Phase { t_ns, name: name.into(), ns };
    let page = page_of(vec![phase("a", 1_000, 1_000), phase("b/c", 1_500, 250), phase("b", 2_000, 1_000)]);
    for style in ["left:0.000%;width:50.000%", "left:62.500%;width:12.500%", "left:50.000%;width:50.000%"] {
        assert!(page.contains(style), "{style} is not in:\n{page}");
    }
}

#[test]
fn nodes_have_bars_where_there_are_several() {
    let mut records = records_of_nodes();
    // Its eight threads have no counts: those of four are shown.
    records.retain(|record| !matches!(record, Record::Job(run) if run.threads == 8));
    let page = page_of(records.clone());
    let bars: Vec<_> = page.split("class=\"locality\"").skip(1).collect();
    assert_eq!(bars.len(), 1, "{page}");
    for part in
        [", on 4 threads<", ">node 0<", "width:100.00%", "31 of 31", ">node 1<", "width:51.52%", "17 of 33"]
    {
        assert!(bars[0].contains(part), "{part:?} is not in:\n{}", bars[0]);
    }
    if let Some(Record::Boot { nodes, .. }) = records.first_mut() {
        *nodes = 1;
    }
    assert!(!page_of(records).contains("class=\"locality\""));
    assert!(!page_of(good_records()).contains("class=\"locality\""));
}

#[test]
fn text_of_the_guest_is_never_markup() {
    const BAD: &str = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&";
    let bad = || BAD.to_string();
    let mut records = good_records();
    for record in &mut records {
        match record {
            Record::Job(JobRun { job, .. }) | Record::JobAuto(JobRun { job, .. }) => *job = bad(),
            Record::Phase { name, .. } => *name = bad(),
            Record::ZeroMethod { method, .. } => *method = bad(),
            Record::Warning { what, .. } => *what = bad(),
            Record::End { reason, .. } => *reason = bad(),
            Record::Boot { version, apic, timer, clock, .. } => {
                (*version, *apic, *timer, *clock) = (bad(), bad(), bad(), bad());
            }
            _ => {}
        }
    }
    records.push(Record::Bench { t_ns: 1, name: bad(), n: 1, of: bad(), value: 1, unit: bad() });
    let backtrace = Default::default();
    records.push(Record::Panic {
        t_ns: 1,
        cpu: 0,
        thread: bad(),
        message: bad(),
        location: bad(),
        backtrace,
    });
    records.extend(trace_of(BAD));
    let page = page_of(records);
    // The page has two scripts: the data and the code.
    assert_eq!(page.matches("<script").count(), 2, "{page}");
    assert_eq!(page.matches("</script").count(), 2, "{page}");
    assert!(!page.contains("<img"), "{page}");
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;"), "{page}");
}

#[test]
fn trace_has_slices_switches_and_losses() {
    let page = page_of(trace_of("helper/0"));
    let (_, rest) = page.split_once("type=\"application/json\">").expect("there is data");
    let (json, _) = rest.split_once("</script>").unwrap();
    let data: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!((&data["since_ns"], &data["until_ns"]), (&1_000.into(), &2_500.into()));
    let track = &data["cpus"][0];
    assert_eq!((&track["cpu"], &data["cpus"][1]["lost"]), (&0.into(), &3.into()));
    assert_eq!(track["switches"], serde_json::json!([1_000]));
    let named = |slice: &serde_json::Value| {
        let name = &data["names"][slice[4].as_u64().unwrap() as usize];
        (
            name.as_str().unwrap().to_string(),
            slice[0].clone(),
            slice[1].clone(),
            slice[2].clone(),
            slice[3].clone(),
        )
    };
    let slices: Vec<_> = track["slices"].as_array().unwrap().iter().map(named).collect();
    let slice = |name: &str, start: u64, ns: u64, kind: u64, depth: u64| {
        (name.to_string(), start.into(), ns.into(), kind.into(), depth.into())
    };
    assert_eq!(slices[0], slice("helper/0", 0, 1_000, 0, 0));
    assert_eq!(slices[1], slice("halt", 1_500, 0, 3, 1));
    assert_eq!(slices[2], slice("thread 0", 1_000, 500, 5, 0));
    assert!(page.contains("3 events are missing"), "{page}");
}

#[test]
fn damaged_trace_and_odd_numbers_are_survived() {
    let events = "?".to_string();
    let damaged = Record::Trace { t_ns: 1, since_ns: 1, cpu: 0, first: 0, lost: 0, events };
    let mut records = vec![damaged, Record::Phase { t_ns: 0, name: "a/b".into(), ns: u64::MAX }];
    for mut record in good_records() {
        if let Record::Job(JobRun { ns, threads, units, .. }) = &mut record {
            (*ns, *threads, *units) = (0, 0, u64::MAX);
        }
        records.push(record);
    }
    let page = page_of(records);
    assert!(page.contains("The trace is damaged"), "{page}");
    assert!(!page.contains("NaN") && !page.contains(">inf"), "{page}");
}

#[test]
fn page_of_a_large_machine_is_below_a_megabyte() {
    let mut records = good_records();
    let jobs = ["memory-map-init", "zero-pages", "huge-reserve", "huge-pool", "store-loop", "fallocate"];
    for name in jobs {
        for count in 1..=64 {
            let mut record = good_records()[6].clone();
            if let Record::Job(JobRun { job, threads, ns, .. }) = &mut record {
                (*job, *threads, *ns) = (name.into(), count, 100_000_000 / u64::from(count));
            }
            records.push(record);
        }
    }
    let page = page_of(records);
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
}
