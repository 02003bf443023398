//! Scenarios for a newer QEMU than most systems have, or for both: counted runs, and more CPUs than APIC ids of eight bits.

use super::scenario::{Scenario, cpus, ensure, warnings};
use super::{counted, timing};
use crate::lab::{Lab, expect_verdict};
use crate::shape::{SMP2, Shape};
use libtest_mimic::{Completion, Failed, Trial};
use protocol::exit::Verdict;

/// Scenarios that need x2APIC, on either QEMU.
const X2APIC: &[Scenario] =
    &[("smp288::boot::every_cpu_comes", smp288), ("smp256::boot::every_cpu_comes", smp256)];

/// Returns the trials; those whose QEMU is missing are ignored, with the reason.
pub(super) fn trials(lab: &Lab) -> Vec<Trial> {
    let second = lab.on_second_qemu();
    // Only scenarios of a few seconds: every QEMU executes the same instructions, and this tests whether it counts them.
    let is_quick = |name: &str| name.contains("switches") || name.contains("things_cost");
    let counted = counted::SCENARIOS.iter().filter(|(name, _)| is_quick(name)).copied();
    let again = counted
        .chain(timing::SCENARIOS[..2].iter().copied())
        .map(|(name, judge)| trial(format!("qemu2_{name}"), second.clone(), judge));
    let x2apic = lab.with_x2apic();
    let needing = X2APIC.iter().map(|(name, judge)| trial((*name).to_string(), x2apic.clone(), *judge));
    again.chain(needing).collect()
}

fn trial(name: String, lab: Result<Lab, String>, judge: fn(&Lab) -> Result<(), Failed>) -> Trial {
    Trial::ignorable_test(name, move || match &lab {
        Ok(lab) => judge(lab).map(|()| Completion::Completed),
        Err(reason) => Ok(Completion::ignored_with(reason)),
    })
}

/// One CPU more than APIC ids of eight bits allow.
fn smp256(lab: &Lab) -> Result<(), Failed> {
    all_come_online(lab, 256)
}

/// APIC ids of nine bits.
fn smp288(lab: &Lab) -> Result<(), Failed> {
    all_come_online(lab, 288)
}

fn all_come_online(lab: &Lab, count: u32) -> Result<(), Failed> {
    let evidence = lab.boot(&Shape { cpus: count, ..SMP2 }, "run=none")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let counts = cpus(&evidence)?;
    ensure(
        &evidence,
        counts == (count, count),
        format_args!("found and online are {counts:?}, not {count}"),
    )?;
    let reported = warnings(&evidence);
    ensure(&evidence, reported.is_empty(), format_args!("warnings: {reported:?}"))
}
