//! Counted runs, where time is instructions. Tests of shares of time skip if the host preempts virtual CPUs. In a counted run
//! it cannot, so the tests must pass.

use super::scenario::{Scenario, ensure, ensure_all_pass};
use crate::lab::{Evidence, Lab, expect_verdict};
use crate::shape::{COUNTED, COUNTED_SMP4, Shape};
use libtest_mimic::Failed;
use protocol::exit::Verdict;
use protocol::record::Record;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("icount::sched::shares_are_kept", shares),
    ("icount::sched::requester_pays_exactly", accounts),
    ("icount::sched::switches_stay_within_the_limit", switches),
    ("icount_smp4::sched::a_load_loses_little_to_jobs", beside_jobs),
    ("icount::mm::costs_stay_within_the_limits", costs),
    ("icount::memory_map_init::costs_the_same_up_to_256_gib", flat),
];

fn shares(lab: &Lab) -> Result<(), Failed> {
    all_pass(
        lab,
        "equal_threads,follows_weight,load_little,weight_is_used,new_weight,no_debt,a_quota_is,short_bursts,owner_of_a",
        9,
    )
}

fn accounts(lab: &Lab) -> Result<(), Failed> {
    all_pass(lab, "accounts_add_up,weight_counts_from", 2)
}

fn costs(lab: &Lab) -> Result<(), Failed> {
    all_pass(lab, "counted::,heap::a_deallocation", 5)
}

fn switches(lab: &Lab) -> Result<(), Failed> {
    all_pass(lab, "counted_sched::", 5)
}

fn beside_jobs(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&COUNTED_SMP4, "run=test:a_load_loses_little")?;
    ensure_all_pass(&evidence, 1)
}

/// Runs the tests that `pattern` selects: at least `least` run, all pass, and none skips.
fn all_pass(lab: &Lab, pattern: &str, least: usize) -> Result<(), Failed> {
    let evidence = lab.boot(&COUNTED, &format!("run=test:{pattern}"))?;
    ensure_all_pass(&evidence, least)
}

/// A page costs the same on machines with little and with much memory. Of the 256 GiB, only the descriptors are touched, 1 GiB.
fn flat(lab: &Lab) -> Result<(), Failed> {
    const LITTLE: Shape = Shape { memory_mib: 1 << 10, ..COUNTED };
    const MUCH: Shape = Shape {
        memory_mib: 256 << 10,
        extra: &[
            "-icount",
            "shift=0",
            "-object",
            "memory-backend-ram,id=m0,size=256G,reserve=off",
            "-machine",
            "memory-backend=m0",
        ],
        ..COUNTED
    };
    let (_, little) = cost_of_a_section(lab, &LITTLE)?;
    let (evidence, much) = cost_of_a_section(lab, &MUCH)?;
    let is_flat = little.abs_diff(much) * 10 <= little;
    ensure(&evidence, is_flat, format_args!("{much} ns for a section, and {little} with little memory"))
}

/// Returns the time of the deferred part of memory map init for 128 MiB, in ns, which are instructions.
fn cost_of_a_section(lab: &Lab, shape: &Shape) -> Result<(Evidence, u64), Failed> {
    let evidence = lab.boot(shape, "run=none")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let sections = evidence.run.log.iter().find_map(|line| {
        let (before, _) = line.split_once(" sections of 128 MiB deferred")?;
        before.rsplit(' ').next()?.parse::<u64>().ok()
    });
    let ns = evidence.records().iter().find_map(|record| match record {
        Record::Phase { name, ns, .. } if name == "memory-map-init" => Some(*ns),
        _ => None,
    });
    match (sections, ns) {
        (Some(sections), Some(ns)) if sections >= shape.memory_mib / 128 - 2 => Ok((evidence, ns / sections)),
        reported => Err(evidence.fail(format_args!("sections and time of memory map init: {reported:?}"))),
    }
}
