//! Where time is instructions. The tests of shares of time skip when the host takes CPUs away; here it cannot, so here
//! they have to pass.

use super::{Scenario, ensure};
use crate::lab::{Lab, expect_verdict};
use crate::shape::COUNTED;
use libtest_mimic::Failed;
use protocol::exit::Verdict;
use protocol::ktap::{Line, Outcome};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("icount::sched::shares_are_kept", shares),
    ("icount::sched::switches_cost_as_little_as_said", switches),
    ("icount::mm::things_cost_as_little_as_said", costs),
];

fn shares(lab: &Lab) -> Result<(), Failed> {
    all_pass(lab, "equal_threads,follows_weight,load_little,weight_is_used,new_weight,no_debt", 6)
}

fn costs(lab: &Lab) -> Result<(), Failed> {
    all_pass(lab, "counted::", 4)
}

fn switches(lab: &Lab) -> Result<(), Failed> {
    all_pass(lab, "counted_sched::", 3)
}

/// Runs the tests that `pattern` chooses: at least `least`, and all of them pass, none skips.
fn all_pass(lab: &Lab, pattern: &str, least: usize) -> Result<(), Failed> {
    let evidence = lab.boot(&COUNTED, &format!("run=test:{pattern}"))?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let outcomes = evidence.run.log.iter().filter_map(|line| match Line::parse(line) {
        Some(Line::Result { name, outcome, .. }) => Some((name, outcome)),
        _ => None,
    });
    let outcomes: Vec<_> = outcomes.collect();
    let other = outcomes.iter().find(|(_, outcome)| *outcome != Outcome::Passed);
    ensure(&evidence, other.is_none(), format_args!("a test did not pass: {other:?}"))?;
    ensure(&evidence, outcomes.len() >= least, format_args!("{} tests ran, not {least}", outcomes.len()))
}
