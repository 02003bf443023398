//! Extreme machines: many CPUs with jobs of default sizes, CPUs without common features, and little memory.

use super::scenario::{Scenario, cpus, ensure, ensure_all_pass, warnings};
use crate::lab::{Evidence, Lab, expect_verdict};
use crate::shape::{SMP1, SMP2, SMP4, Shape};
use libtest_mimic::Failed;
use protocol::exit::Verdict;
use protocol::ktap::Results;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("smp129::timing::default_sizes_work", timing_129),
    ("smp129::ktask::default_sizes_work", |lab| ktask_tests(lab, 129)),
    ("smp200::ktask::default_sizes_work", |lab| ktask_tests(lab, 200)),
    ("smp255::ktask::default_sizes_work", |lab| ktask_tests(lab, 255)),
    ("max_cpus::boot::reports_unused_cpus", max_cpus),
    ("pc_smp1::boot::ticks_of_the_pit_are_no_nmis", pc_alone),
    // XSAVE without its extensions.
    ("cpu_opteron_g4::boot::passes", |lab| boots(lab, "Opteron_G4")),
    ("cpu_without_xsave_extensions::boot::passes", |lab| boots(lab, "max,-xsaveopt,-xsavec,-xsaves")),
    ("cpu_without_xsave::boot::passes", |lab| boots(lab, "max,-xsave")),
    ("cpu_without_long_mode::boot::names_what_is_missing", |lab| lacks(lab, "max,-lm", "long mode")),
    ("cpu_without_sse2::boot::names_what_is_missing", |lab| lacks(lab, "max,-sse2", "sse2")),
    ("memory_8m::tests::pass_or_skip", |lab| little_memory(lab, 8, OF_MEMORY)),
    ("memory_12m::tests::pass_or_skip", |lab| little_memory(lab, 12, OF_MEMORY)),
    ("memory_16m::tests::pass_or_skip", |lab| little_memory(lab, 16, OF_MEMORY)),
    ("memory_20m::tests::pass_or_skip", |lab| little_memory(lab, 20, OF_MEMORY)),
];

/// Tests that need memory.
const OF_MEMORY: &str = "test:mm::,heap::,huge::,jobs::,stress::,trace::,sched::threads";

/// More than 128 threads take another path through the framework, with more state on the caller's stack.
fn timing_129(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&Shape { cpus: 129, ..SMP2 }, "run=timing")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    for job in super::timing::JOBS {
        let on_all = evidence.report.jobs.iter().any(|row| row.job == job && row.threads == 129 && row.ok);
        ensure(&evidence, on_all, format_args!("{job} was not timed on 129 threads, and right"))?;
    }
    Ok(())
}

fn ktask_tests(lab: &Lab, count: u32) -> Result<(), Failed> {
    let evidence = lab.boot(&Shape { cpus: count, ..SMP2 }, "run=test:ktask::")?;
    ensure_all_pass(&evidence, 5)
}

fn max_cpus(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP4, "smp.max_cpus=2 run=none")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let counts = cpus(&evidence)?;
    ensure(&evidence, counts == (4, 2), format_args!("found and online are {counts:?}, not (4, 2)"))?;
    // The user's own limit is reported by a line, not by a warning.
    let reported = warnings(&evidence);
    ensure(&evidence, reported.is_empty(), format_args!("warnings: {reported:?}"))?;
    ensure_line(&evidence, "2 of 4 cpus used")
}

/// On `pc`, HPET and PIT share a pin of the I/O APIC, which is the watchdog's NMI where there is one CPU.
fn pc_alone(lab: &Lab) -> Result<(), Failed> {
    // Longer than two ticks of the PIT.
    let evidence =
        lab.boot(&Shape { extra: &["-machine", "pc"], ..SMP1 }, "run=test:arch::time_goes_forward_and")?;
    ensure_all_pass(&evidence, 1)
}

fn boots(lab: &Lab, model: &'static str) -> Result<(), Failed> {
    let evidence = lab.boot(&Shape { cpu_model: Some(model), ..SMP2 }, "run=none")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let counts = cpus(&evidence)?;
    ensure(&evidence, counts == (2, 2), format_args!("found and online are {counts:?}, not (2, 2)"))
}

/// Before it has a console, the kernel prints a single line and fails.
fn lacks(lab: &Lab, model: &'static str, feature: &str) -> Result<(), Failed> {
    let evidence = lab.boot(&Shape { cpu_model: Some(model), ..SMP1 }, "run=none")?;
    expect_verdict(&evidence, Verdict::Fail)?;
    let lines = evidence.run.log.iter().filter(|line| !line.trim().is_empty());
    let lines: Vec<_> = lines.map(|line| line.to_lowercase()).collect();
    let is_named = matches!(&lines[..], [line] if line.contains(feature));
    ensure(&evidence, is_named, format_args!("no single line names {feature}: {lines:?}"))
}

/// Tests that need more memory skip; none fails, and the last test runs.
fn little_memory(lab: &Lab, memory_mib: u64, run: &str) -> Result<(), Failed> {
    let evidence = lab.boot(&Shape { memory_mib, ..SMP2 }, &format!("run={run}"))?;
    let mut results = Results::default();
    for line in &evidence.run.log {
        results.line(line);
    }
    let failed: Vec<_> = results.tests.iter().filter(|test| !test.passed).map(|test| &test.name).collect();
    ensure(&evidence, failed.is_empty(), format_args!("failed: {failed:?}"))?;
    ensure(&evidence, results.is_complete(), "not all results arrived")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let ran = results.tests.iter().filter(|test| test.skip_reason.is_none()).count();
    ensure(&evidence, ran > 0, "every test was skipped")
}

fn ensure_line(evidence: &Evidence, part: &str) -> Result<(), Failed> {
    let is_reported = evidence.run.log.iter().any(|line| line.contains(part));
    ensure(evidence, is_reported, format_args!("no line {part:?}"))
}
