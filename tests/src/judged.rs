//! Scenarios that an onlooker judges.

mod bench;
mod clock;
mod console;
mod counted;
mod faults;
mod firmware;
mod hostile_memory;
mod kvm;
mod machines;
mod memory;
mod misuse;
mod other_qemu;
mod parameters;
mod power;
mod registers;
mod shell;
mod timing;
mod trace;

use crate::lab::{Evidence, Lab, expect_verdict};
use libtest_mimic::{Failed, Trial};
use protocol::exit::Verdict;
use protocol::ktap::{Line, Outcome};
use protocol::record::Record;

/// A scenario: its name as `scenario::suite::test`, and the judge.
type Scenario = (&'static str, fn(&Lab) -> Result<(), Failed>);

/// The trials of all scenarios.
pub fn trials(lab: &Lab) -> Vec<Trial> {
    let scenarios = [
        bench::SCENARIOS,
        clock::SCENARIOS,
        console::SCENARIOS,
        counted::SCENARIOS,
        faults::SCENARIOS,
        hostile_memory::SCENARIOS,
        machines::SCENARIOS,
        memory::SCENARIOS,
        parameters::SCENARIOS,
        power::SCENARIOS,
        registers::SCENARIOS,
        shell::SCENARIOS,
        timing::SCENARIOS,
        trace::SCENARIOS,
    ]
    .concat();
    let trial = |(name, judge): Scenario| {
        let lab = lab.clone();
        Trial::test(name, move || judge(&lab))
    };
    let mut trials: Vec<_> = scenarios.into_iter().map(trial).collect();
    trials.extend(misuse::trials(lab));
    trials.extend(firmware::trials(lab));
    trials.extend(kvm::trials(lab));
    trials.extend(other_qemu::trials(lab));
    trials
}

/// Fails unless `condition` holds.
fn ensure(evidence: &Evidence, condition: bool, what: impl std::fmt::Display) -> Result<(), Failed> {
    if condition { Ok(()) } else { Err(evidence.fail(what)) }
}

/// Fails unless the kernel passed, and of its tests at least `least` ran and none failed or skipped.
fn ensure_all_pass(evidence: &Evidence, least: usize) -> Result<(), Failed> {
    expect_verdict(evidence, Verdict::Pass)?;
    let outcomes = evidence.run.log.iter().filter_map(|line| match Line::parse(line) {
        Some(Line::Result { name, outcome, .. }) => Some((name, outcome)),
        _ => None,
    });
    let outcomes: Vec<_> = outcomes.collect();
    let other = outcomes.iter().find(|(_, outcome)| *outcome != Outcome::Passed);
    ensure(evidence, other.is_none(), format_args!("a test did not pass: {other:?}"))?;
    ensure(evidence, outcomes.len() >= least, format_args!("{} tests ran, not {least}", outcomes.len()))
}

/// CPUs that the firmware named, and those that run, by the one boot record.
fn cpus(evidence: &Evidence) -> Result<(u32, u32), Failed> {
    let counts = evidence.records().iter().filter_map(|record| match record {
        Record::Boot { cpus_found, cpus_online, .. } => Some((*cpus_found, *cpus_online)),
        _ => None,
    });
    match counts.collect::<Vec<_>>()[..] {
        [counts] => Ok(counts),
        [] => Err(evidence.fail("no boot record")),
        _ => Err(evidence.fail("more than one boot record")),
    }
}

/// The texts of all warning records.
fn warnings(evidence: &Evidence) -> Vec<&str> {
    let texts = evidence.records().iter().filter_map(|record| match record {
        Record::Warning { what, .. } => Some(what.as_str()),
        _ => None,
    });
    texts.collect()
}

/// Fails unless one warning holds all `parts`.
fn ensure_warning(evidence: &Evidence, parts: &[&str]) -> Result<(), Failed> {
    let found = warnings(evidence).iter().any(|warning| parts.iter().all(|part| warning.contains(part)));
    ensure(evidence, found, format_args!("no warning record holds all of {parts:?}"))
}
