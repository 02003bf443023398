//! Runs under chaos, and what failures say of themselves.

use super::scenario::{Scenario, ensure, ensure_warning};
use crate::lab::{Evidence, Lab, expect_verdict};
use crate::shape::{DEBUG_SMP2, REPEATABLE, SMP2};
use libtest_mimic::Failed;
use protocol::exit::Verdict;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("repeatable::chaos::a_seed_decides_the_same_in_each_boot", same_seed),
    ("release_build::chaos::is_refused_in_one_line", release_build),
    ("failing_test::report::has_seed_scenario_command_and_events", failing_test),
];

/// Two boots with one seed make the same decisions, in a sequence of thousands; another seed makes others.
fn same_seed(lab: &Lab) -> Result<(), Failed> {
    let sequence = |seed: u32| {
        let command_line = format!("run=test:=stress::completions_race chaos.seed={seed}");
        let evidence = lab.boot(&REPEATABLE, &command_line)?;
        expect_verdict(&evidence, Verdict::Pass)?;
        let told = evidence.run.log.iter().rev().find(|line| line.starts_with("chaos.seed="));
        match told.and_then(|line| line.split_once(": ")).map(|(_, told)| told.to_string()) {
            Some(told) => Ok((evidence, told)),
            None => Err(evidence.fail("the log does not tell the sequence")),
        }
    };
    let ((_, first), (again, second), (other, third)) = (sequence(7)?, sequence(7)?, sequence(8)?);
    let points = first.split(' ').next().and_then(|count| count.parse::<u64>().ok());
    ensure(&again, points > Some(10_000), format_args!("a run of few points: {first}"))?;
    ensure(&again, first == second, format_args!("one seed, two sequences: {first}, then {second}"))?;
    ensure(&other, first != third, format_args!("two seeds, one sequence: {first}"))
}

fn release_build(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP2, "run=none chaos.seed=7")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let lines = evidence.run.log.iter().filter(|line| line.contains("chaos.seed=7: ")).count();
    ensure(&evidence, lines == 1, format_args!("{lines} lines about chaos.seed, not one"))?;
    ensure_warning(&evidence, &["chaos.seed=7", "no switch points", "kernel-debug"])
}

/// The evidence of a failed test has the seed, the scenario, the command to repeat the boot, and what every CPU did last.
fn failing_test(lab: &Lab) -> Result<(), Failed> {
    let evidence =
        lab.boot(&DEBUG_SMP2, "run=test:=sched::a_held_mutex_is_not_available chaos.seed=9 fault.test=1")?;
    expect_verdict(&evidence, Verdict::Fail)?;
    let message = evidence.fail("failed").message().unwrap_or_default().to_string();
    for part in [
        "scenario: debug_smp2",
        "seed: chaos.seed=9: ",
        "to repeat: ",
        "chaos.seed=9 fault.test=1",
        "cpu 0, the last of ",
        "cpu 1, the last of ",
        "fault.test asked for this",
    ] {
        ensure(&evidence, message.contains(part), format_args!("the evidence lacks `{part}`"))?;
    }
    ensure_events(&evidence, 2)
}

/// Fails unless each of `cpus` CPUs has a line with an event.
pub(super) fn ensure_events(evidence: &Evidence, cpus: usize) -> Result<(), Failed> {
    let text = |line: &'_ String| line.strip_prefix("# ").unwrap_or(line).to_string();
    let lines: Vec<_> = evidence.run.log.iter().map(text).collect();
    for cpu in 0..cpus {
        let start = format!("cpu {cpu}, the last of ");
        let at = lines.iter().position(|line| line.starts_with(&start));
        let event = at.and_then(|at| lines.get(at + 1)).filter(|line| line.starts_with("    "));
        ensure(evidence, event.is_some(), format_args!("the log has no last event of cpu {cpu}"))?;
    }
    Ok(())
}
