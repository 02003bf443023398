//! Tables and files from records.

use super::*;
use crate::qemu::Machine;
use crate::qemu::{Accel, Boot};
use crate::run::{Ending, Hang, Run};
use crate::size::Size;
use protocol::exit::Verdict;
use protocol::record::{Addresses, Entry, JobRun, Record, Status, Unit};
use std::time::Duration;

fn job(job: &str, threads: u32, ns: u64) -> Record<String> {
    Record::Job(JobRun {
        t_ns: 9,
        job: job.into(),
        threads,
        threads_used: threads,
        units: 1 << 17,
        unit: Unit::Page4K,
        bytes: 1 << 29,
        writes: job != "memory-map-init",
        chunks: 64,
        ns,
        cpu_ns: ns * u64::from(threads),
        spread_ns: 400_000,
        local_chunks: Some(48),
        ok: true,
    })
}

/// The same on as many threads as help.
fn auto(name: &str, chosen: u32, ns: u64) -> Record<String> {
    match job(name, chosen, ns) {
        Record::Job(run) => Record::JobAuto(run),
        other => other,
    }
}

pub(crate) fn good_records() -> Vec<Record<String>> {
    vec![
        Record::Boot {
            t_ns: 1,
            version: "0.1.0".into(),
            entry: Entry::Pvh,
            cpus_found: 4,
            cpus_online: 3,
            nodes: 1,
            memory_bytes: 1000 << 20,
            tsc_hz: 3_000_000_000,
            apic: "xapic".into(),
            timer: "one-shot".into(),
            clock: "pm-timer".into(),
        },
        Record::Phase { t_ns: 2, name: "memory-map-init".into(), ns: 20_000_000 },
        Record::Phase { t_ns: 3, name: "memory-map-init/deferred".into(), ns: 15_000_000 },
        Record::ZeroMethod { t_ns: 4, method: "movnti".into(), bytes_per_s: 3 << 30, chosen: true },
        Record::ZeroMethod { t_ns: 4, method: "rep-stosb".into(), bytes_per_s: 1 << 28, chosen: false },
        Record::Warning { t_ns: 5, what: "cpu 3 did not come".into() },
        job("zero-pages", 2, 80_000_000),
        job("zero-pages", 1, 150_000_000),
        job("zero-pages", 1, 160_000_000),
        job("zero-pages", 1, 140_000_000),
        auto("zero-pages", 2, 100_000_000),
        auto("zero-pages", 2, 75_000_000),
        auto("zero-pages", 2, 70_000_000),
        job("memory-map-init", 4, 1_000_000),
        Record::End { t_ns: 10, status: Status::Pass, reason: String::new() },
    ]
}

fn run_with(records: Vec<Record<String>>, ending: Ending) -> Run {
    Run {
        ending,
        log: vec!["first".into(), "second".into()],
        record_lines: vec!["{}".into()],
        records,
        damaged: vec![],
        shutdown: None,
        messages: String::new(),
        first_line: Some(Duration::from_millis(180)),
        total: Duration::from_secs(5),
    }
}

fn machine(cpus: u32) -> Machine {
    Machine {
        qemu: crate::qemu::Program::unchecked("qemu-system-x86_64"),
        kernel: "k".into(),
        boot: Boot::Direct,
        cpus,
        memory: Size::from_mib(1024),
        nodes: 1,
        accel: Accel::Tcg,
        cpu_model: None,
        command_line: String::new(),
        debugger: false,
        exit_device: true,
        extra: vec![],
    }
}

pub(crate) fn report(records: Vec<Record<String>>, ending: Ending, cpus: u32) -> Report {
    Report::new(&run_with(records, ending), &machine(cpus), 2, None)
}

#[test]
fn rows_have_median_runs_and_speedups_against_one_thread() {
    let rows = rows(&good_records());
    let shape: Vec<_> = rows.iter().map(|row| (row.job.as_str(), row.threads, row.runs)).collect();
    assert_eq!(shape, [("zero-pages", 1, 3), ("zero-pages", 2, 1), ("memory-map-init", 4, 1)]);
    assert_eq!(rows[0].speedup, Some(1.0));
    assert_eq!(rows[1].speedup, Some(1.875));
    assert_eq!(rows[1].efficiency, Some(0.9375));
    assert_eq!(rows[0].bytes_per_s, Some((1_u64 << 29) as f64 / 0.15));
    // Descriptors are written, not the pages that they describe.
    assert_eq!(rows[2].bytes_per_s, None);
}

#[test]
fn unmeasured_speedups_are_not_shown() {
    // Only on several threads: no baseline.
    assert_eq!(rows(&[job("x", 4, 5)])[0].speedup, None);
    // Only on one thread: nothing to compare.
    assert_eq!(rows(&[job("x", 1, 5)])[0].speedup, None);
    // On one thread, but with less work.
    let mut less = job("x", 1, 5);
    if let Record::Job(JobRun { units, .. }) = &mut less {
        *units /= 2;
    }
    assert!(rows(&[less, job("x", 4, 5)]).iter().all(|row| row.speedup.is_none()));
    let text =
        render(&report(vec![job("zero-pages", 1, 5_000_000)], Ending::Verdict(Verdict::Pass), 1), false);
    assert!(text.contains("note: one thread only") && !text.contains("1.00x"), "{text}");
}

#[test]
fn one_wrong_run_makes_the_row_wrong() {
    let mut wrong = job("x", 1, 9);
    if let Record::Job(JobRun { ok, .. }) = &mut wrong {
        *ok = false;
    }
    for pair in [[wrong.clone(), job("x", 1, 5)], [job("x", 1, 5), wrong]] {
        let rows = rows(&pair);
        assert_eq!((rows[0].ok, rows[0].runs, rows[0].ns), (false, 2, 9));
    }
}

#[test]
fn job_of_zero_time_causes_no_division_by_zero() {
    let row = &rows(&[job("x", 1, 0), job("x", 2, 0)])[1];
    assert_eq!((row.speedup, row.units_per_s), (None, 0.0));
}

#[test]
fn report_of_a_good_run_is_complete() {
    let text = render(&report(good_records(), Ending::Verdict(Verdict::Pass), 4), false);
    for part in [
        "PASS: pass; kernel 0.1.0; 3 of 4 CPUs, 1 node(s), 1000 MiB usable; tcg with -cpu max,vendor=GenuineIntel; \
         first line after 180 ms; 5.00 s in all",
        "20.0 ms",
        "  deferred",
        "3.00 GiB/s",
        " chosen",
        "131072 x 4K",
        "1.88x",
        "94%",
        "131 Mpages/s",
        "████████████████",
        "note: 4 virtual CPUs share 2 of the host: more than 2 threads cannot be faster here",
        "warning: cpu 3 did not come",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn local_chunks_are_shown_where_there_are_several_nodes() {
    let on_nodes = |count| {
        let mut records = good_records();
        if let Some(Record::Boot { nodes, .. }) = records.first_mut() {
            *nodes = count;
        }
        render(&report(records, Ending::Verdict(Verdict::Pass), 4), false)
    };
    assert!(on_nodes(2).contains("local") && on_nodes(2).contains("75%"), "{}", on_nodes(2));
    assert!(!on_nodes(1).contains("local") && !on_nodes(1).contains("75%"), "{}", on_nodes(1));
}

/// Returns the counts of a node in the run at `t_ns`.
fn node(t_ns: u64, node: u32, chunks: u64, local_chunks: u64) -> Record<String> {
    Record::JobNode { t_ns, node, chunks, local_chunks }
}

/// Records of runs on two nodes: one thread, four threads twice, as many as help, and a job that names no nodes.
pub(crate) fn records_of_nodes() -> Vec<Record<String>> {
    let mut records = good_records();
    if let Some(Record::Boot { nodes, .. }) = records.first_mut() {
        *nodes = 2;
    }
    let timed = |t: u64, mut record: Record<String>| {
        if let Record::Job(run) | Record::JobAuto(run) = &mut record {
            (run.t_ns, run.job) = (t, "fallocate".into());
        }
        record
    };
    records.extend([
        timed(20, job("", 1, 9_000)),
        node(20, 0, 32, 32),
        node(20, 1, 32, 0),
        timed(21, job("", 4, 5_000)),
        node(21, 0, 31, 31),
        node(21, 1, 33, 17),
        timed(22, job("", 4, 4_000)),
        node(22, 0, 32, 1),
        timed(23, auto("", 3, 4_500)),
        node(23, 1, 64, 60),
        // Of no run.
        node(24, 0, 8, 8),
        timed(25, job("", 8, 4_000)),
    ]);
    records
}

#[test]
fn chunks_of_nodes_belong_to_the_run_before_them() {
    let report = report(records_of_nodes(), Ending::Verdict(Verdict::Pass), 4);
    let counts = |row: &JobRow| -> Vec<_> {
        row.by_node.iter().map(|count| (count.node, count.chunks, count.local_chunks)).collect()
    };
    let of_job = |rows: &[JobRow], job: &str| -> Vec<_> {
        rows.iter().filter(|row| row.job == job).map(|row| (row.threads, counts(row))).collect()
    };
    // Of two runs, the slower one is the median.
    assert_eq!(
        of_job(&report.jobs, "fallocate"),
        [(1, vec![(0, 32, 32), (1, 32, 0)]), (4, vec![(0, 31, 31), (1, 33, 17)]), (8, vec![])]
    );
    assert_eq!(of_job(&report.jobs_auto, "fallocate"), [(3, vec![(1, 64, 60)])]);
    assert_eq!(of_job(&report.jobs, "memory-map-init"), [(4, vec![])]);
}

#[test]
fn panics_and_faults_have_their_location() {
    let records = vec![
        Record::Panic {
            t_ns: 1,
            cpu: 1,
            thread: "worker/1".into(),
            message: "it broke".into(),
            location: "kernel/src/x.rs:1:2".into(),
            backtrace: [0x10].into_iter().collect(),
        },
        Record::Fault {
            t_ns: 2,
            cpu: 0,
            thread: "main".into(),
            message: "page fault".into(),
            location: String::new(),
            backtrace: Addresses::new(),
        },
        Record::End { t_ns: 3, status: Status::Fail, reason: "panic".into() },
    ];
    let report = report(records, Ending::Verdict(Verdict::Panic), 2);
    assert_eq!(report.status, 3);
    let text = render(&report, false);
    for part in [
        "FAIL: the kernel panicked: panic; 2 CPUs, 1G",
        "panic on cpu 1 in thread worker/1: it broke, at kernel/src/x.rs:1:2\n0x0000000000000010 ?",
        "fault on cpu 0 in thread main: page fault",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn hang_shows_every_cpu() {
    let hang = Hang { reason: "silent for 90 s".into(), cpus: Err("no answer".into()) };
    let text = render(&report(vec![], Ending::Hang(hang), 2), false);
    assert!(text.starts_with("FAIL: silent for 90 s"), "{text}");
    assert!(text.contains("no answer"), "{text}");
}

#[test]
fn files_have_their_default_paths() {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::new(&directory.path().join("out"), None, None);
    let run = run_with(good_records(), Ending::Verdict(Verdict::Pass));
    let plots = write(&paths, &Report::new(&run, &machine(4), 2, None), &run).unwrap();
    assert_eq!(plots, Vec::<std::path::PathBuf>::new());
    assert_eq!(std::fs::read_dir(directory.path().join("out")).unwrap().count(), 3);
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(directory.path().join("out/report.json")).unwrap())
            .unwrap();
    assert_eq!(json["format"], 1);
    assert_eq!(json["status"], 0);
    assert_eq!(json["host"]["first_line_ns"], 180_000_000);
    assert_eq!(json["boot"]["cpus_online"], 3);
    assert_eq!(json["jobs"][1]["speedup"], 1.875);
    assert_eq!(json["jobs"][1]["unit"], "page-4k");
    assert_eq!(json["jobs"].as_array().unwrap().len(), 3, "a row for each number of threads");
    assert_eq!(json["jobs_auto"].as_array().unwrap().len(), 1, "a row for each job");
    assert_eq!(json["jobs_auto"][0]["threads"], 2);
    assert_eq!(json["jobs_auto"][0]["speedup"], 2.0);
    assert_eq!(json["jobs_auto"][0]["efficiency"], 1.0);
    let read = |name| std::fs::read_to_string(directory.path().join("out").join(name)).unwrap();
    assert_eq!(read("serial.log"), "first\nsecond\n");
    assert_eq!(read("records.jsonl"), "{}\n");
}

#[test]
fn benchmarks_are_plotted_beside_the_report() {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::new(&directory.path().join("out"), Some(&directory.path().join("else/x.json")), None);
    let point = |n, value| Record::Bench {
        t_ns: 1,
        name: "sched/switch-among".into(),
        n,
        of: "threads".into(),
        value,
        unit: "ticks".into(),
    };
    let run = run_with(vec![point(2, 240), point(1000, 600)], Ending::Verdict(Verdict::Pass));
    let plots = write(&paths, &Report::new(&run, &machine(4), 2, None), &run).unwrap();
    assert_eq!(plots, [directory.path().join("else/bench-sched-switch-among-ticks-by-threads.svg")]);
    assert!(std::fs::read_to_string(&plots[0]).unwrap().starts_with("<svg"));
}

#[test]
fn files_go_to_the_requested_paths() {
    let paths = Paths::new("out".as_ref(), Some("a/b.json".as_ref()), Some("c.log".as_ref()));
    assert_eq!(paths.json, std::path::Path::new("a/b.json"));
    assert_eq!(paths.records, std::path::Path::new("a/records.jsonl"));
    assert_eq!(paths.serial, std::path::Path::new("c.log"));
}

#[test]
fn unwritable_file_is_a_failure_with_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let blocked = directory.path().join("file");
    std::fs::write(&blocked, "").unwrap();
    let run = run_with(vec![], Ending::Verdict(Verdict::Pass));
    let paths = Paths::new(&blocked, None, None);
    let failure = write(&paths, &Report::new(&run, &machine(1), 2, None), &run).unwrap_err();
    assert!(failure.message.starts_with(&format!("cannot write {}", blocked.display())), "{failure}");
}
