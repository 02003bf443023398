//! Scenarios, and the checks that they share.

use crate::lab::{Evidence, Lab, expect_verdict};
use libtest_mimic::Failed;
use protocol::exit::Verdict;
use protocol::ktap::{Line, Outcome};
use protocol::record::Record;

/// A scenario: its name as `scenario::suite::test`, and the function that judges it.
pub(super) type Scenario = (&'static str, fn(&Lab) -> Result<(), Failed>);

/// Fails unless `condition` holds.
pub(super) fn ensure(
    evidence: &Evidence,
    condition: bool,
    what: impl std::fmt::Display,
) -> Result<(), Failed> {
    if condition { Ok(()) } else { Err(evidence.fail(what)) }
}

/// Fails unless the kernel passed, at least `least` tests ran, and none of them failed or was skipped.
pub(super) fn ensure_all_pass(evidence: &Evidence, least: usize) -> Result<(), Failed> {
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

/// Returns the numbers of CPUs found and online, from the single boot record.
pub(super) fn cpus(evidence: &Evidence) -> Result<(u32, u32), Failed> {
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

/// Returns the texts of all warning records.
pub(super) fn warnings(evidence: &Evidence) -> Vec<&str> {
    let texts = evidence.records().iter().filter_map(|record| match record {
        Record::Warning { what, .. } => Some(what.as_str()),
        _ => None,
    });
    texts.collect()
}

/// Fails unless one warning contains all `parts`.
pub(super) fn ensure_warning(evidence: &Evidence, parts: &[&str]) -> Result<(), Failed> {
    let found = warnings(evidence).iter().any(|warning| parts.iter().all(|part| warning.contains(part)));
    ensure(evidence, found, format_args!("no warning record contains all of {parts:?}"))
}
