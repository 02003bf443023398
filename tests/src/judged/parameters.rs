//! The kernel's command line: wrong parameters are reported and ignored, right ones take effect.

use super::scenario::{Scenario, cpus, ensure, ensure_warning, warnings};
use crate::lab::{Evidence, Lab, expect_verdict};
use crate::shape::{SMP2, SMP4};
use libtest_mimic::Failed;
use protocol::exit::Verdict;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("parameters::unknown::is_reported_and_ignored", unknown),
    ("parameters::bad_value::is_reported_with_the_allowed_range", bad_value),
    ("parameters::good_values::cause_no_warning", good),
    ("parameters::max_cpus::limits_the_cpus", max_cpus),
    ("ktask_off::jobs::run_on_their_caller", ktask_off),
    ("max_threads_1::jobs::run_on_their_caller", max_threads),
];

fn unknown(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP2, "no.such_name=17 run=none")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_warning(&evidence, &["no.such_name"])?;
    let in_log =
        evidence.run.log.iter().filter(|line| line.contains("WARN") && line.contains("no.such_name"));
    let count = in_log.count();
    ensure(&evidence, count == 1, format_args!("{count} log lines warn of the name, not 1"))
}

fn bad_value(lab: &Lab) -> Result<(), Failed> {
    let evidence =
        lab.boot(&SMP2, "ktask.max_threads=99999 smp.max_cpus=banana ktask.enabled=maybe run=none")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_warning(&evidence, &["ktask.max_threads", "99999", "512"])?;
    ensure_warning(&evidence, &["smp.max_cpus", "banana", "1", "512"])?;
    ensure_warning(&evidence, &["ktask.enabled", "maybe", "on", "off"])?;
    let counts = cpus(&evidence)?;
    ensure(&evidence, counts == (2, 2), "a bad value changed how many CPUs start")
}

fn good(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP2, "ktask.max_threads=2 smp.max_cpus=2 log.level=info run=none")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let warnings = warnings(&evidence);
    ensure(&evidence, warnings.is_empty(), format_args!("warnings: {warnings:?}"))
}

fn max_cpus(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP4, "smp.max_cpus=2 run=none")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let counts = cpus(&evidence)?;
    let is_right = counts == (4, 2);
    ensure(&evidence, is_right, format_args!("CPUs found and online are {counts:?}, not 4 and 2"))?;
    let warnings = warnings(&evidence);
    ensure(&evidence, warnings.is_empty(), format_args!("warnings: {warnings:?}"))
}

fn ktask_off(lab: &Lab) -> Result<(), Failed> {
    all_alone(&lab.boot(&SMP4, "ktask.enabled=off timing.bytes=32M timing.repeat=1")?)
}

fn max_threads(lab: &Lab) -> Result<(), Failed> {
    all_alone(&lab.boot(&SMP4, "ktask.max_threads=1 timing.bytes=32M timing.repeat=1")?)
}

/// Fails unless all jobs ran correctly, on one thread each.
fn all_alone(evidence: &Evidence) -> Result<(), Failed> {
    expect_verdict(evidence, Verdict::Pass)?;
    let rows = &evidence.report.jobs;
    for job in super::timing::JOBS {
        ensure(evidence, rows.iter().any(|row| row.job == job), format_args!("{job} was not timed"))?;
    }
    ensure(evidence, rows.iter().all(|row| row.ok), "a job's result was wrong")?;
    ensure(evidence, rows.iter().all(|row| row.threads_used == 1), "a job ran on more than one thread")
}
