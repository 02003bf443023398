//! The job of the guide `docs/your-first-job.md`. Debug kernels have it as a file that nothing else names.

use super::scenario::{Scenario, ensure};
use crate::lab::{Lab, expect_verdict};
use crate::shape::DEBUG_SMP2;
use ktask_boot::report::{Content, page};
use ktask_boot::trace::chrome;
use ktask_boot::trace::collect::Trace;
use libtest_mimic::Failed;
use protocol::exit::Verdict;
use std::path::Path;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("first_job::guide::has_the_code_of_the_file", same_code),
    ("debug_smp2::first_job::is_seen_everywhere", seen),
];

const GUIDE: &str = include_str!("../../../docs/your-first-job.md");
const FILE: &str = include_str!("../../../kernel/src/jobs/timed/mix_numbers.rs");
const NAME: &str = "mix-numbers";
/// The first line of the file, which the guide leaves out: only debug kernels have the job.
const ONLY_IN_DEBUG: &str = "#![cfg(debug_assertions)]\n";

/// Compares the code of the guide with the file, and searches the sources for other lines that know the job.
fn same_code(_: &Lab) -> Result<(), Failed> {
    let code = GUIDE.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next());
    if code != FILE.strip_prefix(ONLY_IN_DEBUG) {
        return Err(format!("the guide has other code than the file: {code:?}").into());
    }
    if FILE.lines().count() >= 30 {
        return Err("the file has 30 lines or more".into());
    }
    let root = ktask_boot::kernel::workspace();
    let mut found = Vec::new();
    for folder in ["kernel", "boot"] {
        collect_mentions(&root.join(folder), &mut found)?;
    }
    match found.as_slice() {
        [only] if only.ends_with("timed/mix_numbers.rs") => Ok(()),
        _ => Err(format!("the job is named in {found:?}, not in its file alone").into()),
    }
}

/// Adds the files below `folder` that name the job.
fn collect_mentions(folder: &Path, found: &mut Vec<String>) -> Result<(), Failed> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            collect_mentions(&path, found)?;
        } else if let Ok(text) = std::fs::read_to_string(&path)
            && (text.contains(NAME) || text.contains("mix_numbers"))
        {
            found.push(path.display().to_string());
        }
    }
    Ok(())
}

/// Times and tests the job from the shell of a traced kernel, and looks for it in table, records, page and trace.
fn seen(lab: &Lab) -> Result<(), Failed> {
    let command_line =
        "trace.enabled=on trace.events=job,chunk trace.buffer_events=16384 timing.bytes=16M timing.repeat=1";
    let evidence = lab.converse(&DEBUG_SMP2, command_line, |shell| {
        let table = shell.works(&format!("timing {NAME}"))?;
        let threads: Vec<_> =
            table.iter().filter_map(|line| line.strip_prefix(NAME)?.split_whitespace().next()).collect();
        if threads != ["1", "2", "auto"] {
            return Err(format!("timed on {threads:?} threads: {table:#?}"));
        }
        shell.works(&format!("test jobs::timed::{NAME}"))?;
        shell.end("poweroff")
    })?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let report = &evidence.report;
    let rows: Vec<_> = report.jobs.iter().filter(|row| row.job == NAME).collect();
    let are_right = rows.iter().map(|row| row.threads).eq([1, 2]) && rows.iter().all(|row| row.ok);
    ensure(&evidence, are_right, format_args!("the report has the rows {rows:?}"))?;
    let is_named = |text: &str, what: &str| {
        ensure(&evidence, text.contains(NAME), format_args!("the {what} has no {NAME}"))
    };
    let json = serde_json::to_string(report).map_err(|error| Failed::from(error.to_string()))?;
    is_named(&json, "report")?;
    is_named(&page(&Content { report, records: evidence.records(), files: Vec::new() }), "page")?;
    let trace = Trace::from_records(evidence.records()).map_err(|why| evidence.fail(why))?;
    let mut text = Vec::new();
    chrome::write(&trace, &mut text).map_err(|error| Failed::from(error.to_string()))?;
    is_named(&String::from_utf8_lossy(&text), "trace")
}
