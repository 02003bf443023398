//! Memory: nodes, late initialisation, unavailable huge pages, and very large machines.

use super::scenario::{Scenario, ensure, ensure_all_pass, ensure_warning, warnings};
use crate::lab::{Evidence, Lab, expect_verdict};
use crate::shape::{SMP2, SPARSE_6G, SPARSE_256G, Shape, UNEVEN_NODES};
use libtest_mimic::Failed;
use protocol::exit::Verdict;
use protocol::record::Record;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("numa_uneven::nodes::are_counted_and_reported", uneven_nodes),
    ("memory_early_0::memory_map_init::is_done_on_demand", early_zero),
    ("fault_section::memory_map_init::continues_later", failing_section),
    ("huge_too_many::pools::report_the_available_pages", too_many_huge_pages),
    ("huge_all_or_nothing::pools::stay_empty", all_or_nothing),
    ("huge_most::memory::is_tested_without_huge_pages", most_in_the_pool),
    ("sparse_256g::memory::is_complete", sparse),
    ("sparse_6g::huge1g::pages_are_pooled_mapped_and_freed", pages_of_1g),
    ("no_pages_of_1g::huge1g::missing_feature_is_reported", no_pages_of_1g),
];

fn uneven_nodes(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&UNEVEN_NODES, "run=none log.level=debug")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let nodes = evidence.records().iter().find_map(|record| match record {
        Record::Boot { nodes, .. } => Some(*nodes),
        _ => None,
    });
    ensure(&evidence, nodes == Some(3), format_args!("{nodes:?} nodes, not 3"))?;
    for distances in ["node 0: distances 10 15 40", "node 2: distances 40 30 10"] {
        ensure(&evidence, has_line(&evidence, distances), format_args!("no line {distances:?}"))?;
    }
    let warnings = warnings(&evidence);
    ensure(&evidence, warnings.is_empty(), format_args!("warnings: {warnings:?}"))
}

fn early_zero(lab: &Lab) -> Result<(), Failed> {
    let evidence = passes(lab, &SMP2, "memory.early=0 run=test:mm::every_page_is_accounted_for")?;
    ensure(&evidence, has_line(&evidence, "initialised on demand"), "nothing was initialised on demand")
}

fn failing_section(lab: &Lab) -> Result<(), Failed> {
    let evidence = passes(lab, &SMP2, "fault.section=2 run=test:jobs::more_huge_pages")?;
    ensure_warning(&evidence, &["memory map init", "section", "until they are needed"])
}

fn too_many_huge_pages(lab: &Lab) -> Result<(), Failed> {
    let evidence = passes(lab, &UNEVEN_NODES, "huge.2m=400 huge.policy=bind:0,1 run=none")?;
    ensure_warning(&evidence, &["of 400 wanted", "before:", "node 0 0 free of 0", "node 1", "now:"])
}

fn all_or_nothing(lab: &Lab) -> Result<(), Failed> {
    let evidence = passes(lab, &SMP2, "huge.2m=400 huge.all_or_nothing=on run=none")?;
    ensure_warning(&evidence, &["0 of 400 wanted", "node 0"])
}

/// The pool takes nearly all memory; the tests use the rest.
fn most_in_the_pool(lab: &Lab) -> Result<(), Failed> {
    let evidence = passes(lab, &SMP2, "huge.2m=400 run=test:mm::,jobs::")?;
    ensure_warning(&evidence, &["of 400 wanted", "0 outside"])
}

fn pages_of_1g(lab: &Lab) -> Result<(), Failed> {
    let evidence =
        lab.boot(&SPARSE_6G, "run=test:huge1g::pools,huge1g::a_file,huge1g::a_page,huge1g::failures")?;
    ensure_all_pass(&evidence, 4)
}

fn no_pages_of_1g(lab: &Lab) -> Result<(), Failed> {
    const WITHOUT: Shape = Shape { cpu_model: Some("max,-pdpe1gb"), ..SPARSE_6G };
    let evidence = lab.boot(&WITHOUT, "huge.1g=1 run=test:huge1g::pools,huge1g::a_cpu,mm::every_page")?;
    ensure_all_pass(&evidence, 3)?;
    ensure(&evidence, has_line(&evidence, "1 of 1 GiB in the pool"), "the pool was not filled")
}

fn sparse(lab: &Lab) -> Result<(), Failed> {
    let command_line = "run=test:mm::every_page,mm::holes,mm::memory_comes,jobs::memory_map_init";
    let evidence = passes(lab, &SPARSE_256G, command_line)?;
    let reported = evidence.records().iter().find_map(|record| match record {
        Record::Boot { memory_bytes, .. } => Some(*memory_bytes >> 30),
        _ => None,
    });
    ensure(&evidence, reported == Some(255), format_args!("{reported:?} whole GiB are usable, not 255"))
}

fn passes(lab: &Lab, shape: &Shape, command_line: &str) -> Result<Evidence, Failed> {
    let evidence = lab.boot(shape, command_line)?;
    expect_verdict(&evidence, Verdict::Pass)?;
    Ok(evidence)
}

fn has_line(evidence: &Evidence, part: &str) -> bool {
    evidence.run.log.iter().any(|line| line.contains(part))
}
