//! Benchmarks whose results are checked.

use super::scenario::{Scenario, ensure};
use crate::lab::{Lab, expect_verdict};
use crate::shape::SMP4;
use libtest_mimic::Failed;
use protocol::exit::Verdict;
use protocol::record::Record;

pub(super) const SCENARIOS: &[Scenario] = &[("smp4::bench::a_million_wake_ups_lose_nothing", block_wake)];

/// A thousand threads block and wake a million times. A lost wake-up would end in silence, lost memory in a failure.
fn block_wake(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP4, "run=bench:sched:block-wake")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let found = |wanted: &str| {
        evidence.records().iter().find_map(|record| match record {
            Record::Bench { name, n, value, .. } if name == wanted => Some((*n, *value)),
            _ => None,
        })
    };
    let each = found("sched/block-wake/each");
    ensure(
        &evidence,
        each.is_some_and(|(n, _)| n == 1_000_000),
        format_args!("{each:?} pairs, not a million"),
    )?;
    let longest = found("sched/block-wake/longest-queue");
    ensure(
        &evidence,
        longest.is_some_and(|(_, threads)| threads <= 1008),
        format_args!("a queue of {longest:?}"),
    )
}
