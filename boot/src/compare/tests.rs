//! Comparisons of reports that were made here.

use super::rows::{Cell, Row};
use super::*;
use crate::report::JobRow;
use crate::report::tests::{good_records, report};
use crate::run::Ending;
use protocol::exit::Verdict;
use protocol::record::{JobRun, Record};

/// Returns a good run with its records changed.
fn side(label: &str, change: impl Fn(&mut JobRun<String>)) -> Side {
    let mut records = good_records();
    for record in &mut records {
        if let Record::Job(run) | Record::JobAuto(run) = record {
            change(run);
        }
    }
    Side { label: label.into(), report: report(records, Ending::Verdict(Verdict::Pass), 4) }
}

fn compared(sides: Vec<Side>) -> Comparison {
    Comparison::of(sides, Matching::SameThreads).unwrap()
}

fn ratios(comparison: &Comparison) -> Vec<(String, String, Vec<Option<f64>>)> {
    let ratio = |cell: &Option<Cell>| {
        cell.as_ref().and_then(|cell| cell.ratio).map(|ratio| (ratio * 100.0).round() / 100.0)
    };
    let row =
        |row: &Row| (row.job.clone(), row.threads.short(), row.cells.iter().skip(1).map(ratio).collect());
    comparison.rows.iter().map(row).collect()
}

fn row(job: &str, threads: &str, ratio: f64) -> (String, String, Vec<Option<f64>>) {
    (job.into(), threads.into(), vec![Some(ratio)])
}

#[test]
fn ratios_are_speeds_relative_to_the_first_run() {
    let twice = side("twice", |run| run.ns /= 2);
    let comparison = compared(vec![side("first", |_| {}), twice]);
    let expected =
        [("zero-pages", "1"), ("zero-pages", "2"), ("zero-pages", "auto"), ("memory-map-init", "4")];
    assert_eq!(ratios(&comparison), expected.map(|(job, threads)| row(job, threads, 2.0)));
    assert_eq!(comparison.differences, [""; 0]);
    assert_eq!(comparison.regressions(1.9), [""; 0]);
    assert_eq!(comparison.regressions(2.1).len(), 4);
    let phases: Vec<_> = comparison.phases.iter().map(|row| (row.name.as_str(), row.cells[1])).collect();
    assert_eq!(
        phases,
        [
            ("memory-map-init", Some((20_000_000, Some(1.0)))),
            ("memory-map-init/deferred", Some((15_000_000, Some(1.0))))
        ]
    );
}

#[test]
fn amounts_of_work_must_be_nearly_the_same() {
    // A larger kernel: some pages less, in the time that they take.
    let fewer = side("fewer", |run| {
        (run.units, run.ns) = (run.units - run.units / 128, run.ns - run.ns / 128);
    });
    let comparison = compared(vec![side("first", |_| {}), fewer]);
    assert_eq!(ratios(&comparison)[0], row("zero-pages", "1", 1.0));
    // Half of it is another job.
    let half = side("half", |run| run.units /= if run.job == "zero-pages" { 2 } else { 1 });
    let comparison = compared(vec![side("first", |_| {}), half]);
    let shape: Vec<_> = ratios(&comparison).into_iter().map(|(job, _, ratios)| (job, ratios[0])).collect();
    let zero = || ("zero-pages".to_string(), None);
    let expected = [zero(), zero(), zero(), ("memory-map-init".into(), Some(1.0)), zero(), zero(), zero()];
    assert_eq!(shape, expected);
    let error = Comparison::of(
        vec![side("a.json", |_| {}), side("b.json", |run| run.units *= 2)],
        Matching::SameThreads,
    )
    .unwrap_err();
    assert_eq!(error.status.code(), 2);
    assert_eq!(error.message, "no job with the same amount of work is in several of a.json, b.json");
}

#[test]
fn one_way_of_the_first_run_is_beside_each_number_of_threads() {
    let mut first = side("linux", |_| {});
    first.report.jobs_auto.clear();
    first.report.jobs.retain(|row| row.job == "zero-pages" && row.threads == 1);
    let comparison =
        Comparison::of(vec![first, side("ktask", |run| run.ns /= 2)], Matching::FirstHasOneWay).unwrap();
    assert_eq!(
        ratios(&comparison),
        [row("zero-pages", "1", 2.0), row("zero-pages", "2", 3.75), row("zero-pages", "auto", 4.0)]
    );
}

#[test]
fn regressions_are_low_ratios_wrong_results_and_failed_runs() {
    let mut bad = side("bad", |run| {
        run.ns += if run.threads == 2 { run.ns } else { 0 };
        run.ok = run.job != "memory-map-init";
    });
    (bad.report.status, bad.report.ending) = (3, "the kernel panicked\u{1b}[2J".into());
    let comparison = compared(vec![side("good", |_| {}), bad]);
    assert_eq!(
        comparison.regressions(0.9),
        [
            "bad did not pass: the kernel panicked\u{fffd}[2J",
            "bad: zero-pages on 2 threads has the ratio 0.500, below 0.9",
            "bad: zero-pages on as many threads as help has the ratio 0.500, below 0.9",
            "bad: memory-map-init on 4 threads has a wrong result"
        ]
    );
}

#[test]
fn machines_that_differ_are_told_apart() {
    let mut other = side("b", |_| {});
    other.report.machine.cpus = 8;
    other.report.machine.memory_bytes = 4 << 30;
    other.report.machine.qemu = "10.0.2".into();
    other.report.ending = "another ending".into();
    let comparison = compared(vec![side("a", |_| {}), other]);
    assert_eq!(
        comparison.differences,
        [
            "the machines differ in CPUs: 4 in a, 8 in b",
            "the machines differ in memory: 1G in a, 4G in b",
            "the machines differ in QEMU: unknown in a, 10.0.2 in b"
        ]
    );
    let (text, page) = (render(&comparison, false), page::page(&comparison));
    for part in comparison.differences {
        assert!(text.contains(&format!("warning: {part}")), "{text}");
        assert!(page.contains(&part), "{page}");
    }
}

#[test]
fn files_are_named_by_as_many_parts_as_tell_them_apart() {
    let labels = |files: &[&str]| labels(&files.iter().map(PathBuf::from).collect::<Vec<_>>());
    assert_eq!(labels(&["/x/a.json", "b.json"]), ["a.json", "b.json"]);
    assert_eq!(labels(&["old/report.json", "new/report.json"]), ["old/report.json", "new/report.json"]);
    assert_eq!(labels(&["/o/report.json", "report.json"]), ["o/report.json", "report.json"]);
    assert_eq!(labels(&["a.json", "a.json"]), ["a.json #1", "a.json #2"]);
    assert_eq!(labels(&["a\u{1b}[2J", "b"]), ["a\u{fffd}[2J", "b"]);
}

#[test]
fn what_was_not_measured_is_a_dash() {
    let mut few = side("few", |_| {});
    few.report.jobs.truncate(1);
    few.report.jobs_auto.clear();
    let text = render(&compared(vec![side("all", |_| {}), few]), false);
    let line = |part: &str| text.lines().find(|line| line.contains(part)).unwrap().to_string();
    let cells = |line: String| line.split_whitespace().map(str::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(cells(line("zero-pages")), "│ zero-pages 1 131072 x 4K 150 ms 150 ms 1.00x │");
    assert_eq!(cells(line("memory-map-init         4")), "│ memory-map-init 4 131072 x 4K 1.00 ms - - │");
    assert_eq!(cells(line(" auto")), "│ auto 131072 x 4K 75.0 ms - - │");
}

#[test]
fn numbers_of_a_hostile_report_are_survived() {
    let odd = |ns, units| {
        side("odd", move |run| {
            (run.ns, run.units, run.bytes) = (ns, units, u64::MAX);
            run.job += "</style><script>alert(1)</script>";
        })
    };
    for (ns, units) in [(0, u64::MAX), (u64::MAX, 1), (1, u64::MAX), (1, 0)] {
        let sides = vec![odd(1_000, units), odd(ns, units)];
        // Without a ratio there is nothing to compare.
        let Ok(comparison) = Comparison::of(sides, Matching::SameThreads) else { continue };
        let (text, page) = (render(&comparison, false), page::page(&comparison));
        assert!(!text.contains("NaN") && !page.contains("NaN") && !page.contains("inf%"), "{text}\n{page}");
        assert!(!page.contains("<script"), "{page}");
    }
}

#[test]
fn page_is_whole_and_loads_nothing() {
    let comparison = compared(vec![side("one.json", |_| {}), side("two.json", |run| run.ns *= 2)]);
    let page = page::page(&comparison);
    for part in [
        "<!DOCTYPE html>",
        "one.json",
        "two.json",
        "prefers-color-scheme: dark",
        "class=\"slower\">0.50x<",
        "131072 × 4K",
        "as many threads as help",
        "memory-map-init/deferred",
        "qemu-system-x86_64",
    ] {
        assert!(page.contains(part), "{part:?} is not in:\n{page}");
    }
    for part in ["http://", "https://", "src=", "<script", "The machines differ"] {
        assert!(!page.contains(part), "{part:?} is in:\n{page}");
    }
}

#[test]
fn rows_of_a_report_are_compared_once() {
    let mut doubled = side("doubled", |_| {});
    let jobs: Vec<JobRow> = doubled.report.jobs.clone();
    doubled.report.jobs.extend(jobs);
    assert_eq!(compared(vec![side("once", |_| {}), doubled]).rows.len(), 4);
}
