//! Output of the timing run: complete and possible. No test judges speed.

use super::scenario::{Scenario, ensure};
use crate::lab::{Evidence, Lab, expect_verdict};
use crate::shape::{NUMA2, SMP1, SMP2, SMP4, SPARSE_6G, Shape};
use ktask_boot::report::JobRow;
use libtest_mimic::Failed;
use protocol::exit::Verdict;
use protocol::record::{Record, Unit};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("smp1::timing::is_complete_and_sane", one),
    ("smp2::timing::is_complete_and_sane", two),
    ("smp4::timing::is_complete_and_sane", four),
    ("numa2::timing::chunks_of_nodes_sum_to_those_of_the_job", two_nodes),
    ("smp2::timing::defaults_reach_every_cpu", defaults),
    ("sparse_6g::timing::a_page_of_1g_is_shared_out", gigantic),
];

/// The jobs that every kernel times. There may be others.
pub(super) const JOBS: [&str; 9] = [
    "memory-map-init",
    "zero-pages",
    "huge-reserve",
    "huge-pool",
    "fallocate",
    "punch-hole",
    "truncate",
    "drop",
    "evict-cache",
];

/// Those that name the nodes of the frames that they touch.
const WITH_NODES: [&str; 4] = ["zero-pages", "huge-reserve", "huge-pool", "fallocate"];

const BYTES: u64 = 64 << 20;

fn one(lab: &Lab) -> Result<(), Failed> {
    let evidence = timed(lab, &SMP1, &[1])?;
    let measured = evidence.report.jobs.iter().find(|row| row.speedup.is_some());
    ensure(&evidence, measured.is_none(), format_args!("a speedup that was not measured: {measured:?}"))
}

fn two(lab: &Lab) -> Result<(), Failed> {
    timed(lab, &SMP2, &[1, 2]).map(drop)
}

fn four(lab: &Lab) -> Result<(), Failed> {
    timed(lab, &SMP4, &[1, 3, 4]).map(drop)
}

/// Each node has a part of the memory that a job works on.
fn two_nodes(lab: &Lab) -> Result<(), Failed> {
    let evidence = timed(lab, &NUMA2, &[1, 4])?;
    let auto = evidence.report.jobs_auto.iter();
    for row in evidence.report.jobs.iter().chain(auto).filter(|row| WITH_NODES.contains(&row.job.as_str())) {
        let nodes: Vec<_> = row.by_node.iter().map(|count| count.node).collect();
        ensure(&evidence, nodes == [0, 1], format_args!("chunks of the nodes {nodes:?}: {row:?}"))?;
        let is_sum = sum_of_nodes(row) == (row.chunks, row.local_chunks);
        ensure(&evidence, is_sum, format_args!("the chunks of the nodes are not those of the job: {row:?}"))?;
    }
    Ok(())
}

fn defaults(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP2, "timing.bytes=32M timing.repeat=1")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    for job in JOBS {
        let threads: Vec<_> = rows(&evidence, job).map(|row| row.threads).collect();
        ensure(&evidence, threads == [1, 2], format_args!("{job} ran on {threads:?} threads, not 1 and 2"))?;
    }
    Ok(())
}

/// Times the jobs that clear one page of 1 GiB: all threads work on it.
fn gigantic(lab: &Lab) -> Result<(), Failed> {
    let command_line = "timing.bytes=1G timing.repeat=1 timing.threads=2";
    let evidence = lab.boot(&SPARSE_6G, command_line)?;
    expect_verdict(&evidence, Verdict::Pass)?;
    for job in ["huge-reserve", "fallocate", "gigantic-page", "gigantic-fault"] {
        let row = rows(&evidence, job).find(|row| row.unit == Unit::Page1G);
        let is_shared = row.is_some_and(|row| (row.units, row.threads_used) == (1, 2) && row.ok);
        ensure(&evidence, is_shared, format_args!("{job}: one page of 1 GiB on two threads: {row:?}"))?;
    }
    Ok(())
}

fn rows<'a>(evidence: &'a Evidence, job: &'a str) -> impl Iterator<Item = &'a JobRow> {
    evidence.report.jobs.iter().filter(move |row| row.job == job)
}

/// Times the jobs on each of `threads`, and checks the properties that hold on every machine.
fn timed(lab: &Lab, shape: &Shape, threads: &[u32]) -> Result<Evidence, Failed> {
    let list: Vec<_> = threads.iter().map(u32::to_string).collect();
    let command_line = format!("timing.bytes={BYTES} timing.repeat=1 timing.threads={}", list.join(","));
    let evidence = lab.boot(shape, &command_line)?;
    expect_verdict(&evidence, Verdict::Pass)?;
    for job in JOBS {
        let timed: Vec<_> = rows(&evidence, job).map(|row| row.threads).collect();
        ensure(&evidence, timed == threads, format_args!("{job} ran on {timed:?} threads, not {threads:?}"))?;
    }
    ensure_each_job_is_whole(&evidence, threads)?;
    for row in &evidence.report.jobs {
        let wrong = impossible(row);
        ensure(&evidence, wrong.is_none(), format_args!("{}: {row:?}", wrong.unwrap_or_default()))?;
    }
    let zeroed = rows(&evidence, "zero-pages").all(|row| row.bytes == BYTES);
    ensure(&evidence, zeroed, "zero-pages did not clear the requested memory")?;
    ensure_boot_records(&evidence)?;
    Ok(evidence)
}

/// Checks that each job which the kernel began has a row for each of `threads`, or none and a line that says why.
fn ensure_each_job_is_whole(evidence: &Evidence, threads: &[u32]) -> Result<(), Failed> {
    for record in evidence.records() {
        let Record::Progress { what: job, .. } = record else { continue };
        let timed: Vec<_> = rows(evidence, job).map(|row| row.threads).collect();
        let is_left_out = || {
            let is_of_job = |line: &String| {
                line.contains(&format!("] {job}: ")) || line.contains(&format!("{job} is skipped"))
            };
            timed.is_empty() && evidence.run.log.iter().any(is_of_job)
        };
        let is_whole = timed == threads || is_left_out();
        ensure(evidence, is_whole, format_args!("{job} ran on {timed:?} threads, not {threads:?}"))?;
    }
    Ok(())
}

/// Returns what is impossible about a row, if anything.
fn impossible(row: &JobRow) -> Option<&'static str> {
    let unit_bytes = match row.unit {
        Unit::Page4K => 4 << 10,
        Unit::Page2M => 2 << 20,
        Unit::Page1G => 1 << 30,
    };
    // Each thread's time is a difference of readings of different CPUs' clocks.
    let slack_ns = 2_000_000;
    let checks = [
        (row.ok, "the result was wrong"),
        (row.units > 0, "no unit was processed"),
        (row.bytes == row.units * unit_bytes, "bytes and units disagree"),
        (row.ns > 0, "it took no time"),
        ((1..=row.threads).contains(&row.threads_used), "more threads worked than requested, or none"),
        (row.chunks >= u64::from(row.threads_used), "a thread worked without a chunk"),
        (row.local_chunks.is_none_or(|local| local <= row.chunks), "more local chunks than chunks"),
        (
            !JOBS.contains(&row.job.as_str())
                || row.local_chunks.is_some() == WITH_NODES.contains(&row.job.as_str()),
            "local chunks of a job without nodes, or none of a job with them",
        ),
        (
            row.by_node.is_empty() == row.local_chunks.is_none(),
            "chunks of nodes without local chunks, or the reverse",
        ),
        (
            row.by_node.is_empty() || sum_of_nodes(row) == (row.chunks, row.local_chunks),
            "the chunks of the nodes are not those of the job",
        ),
        (row.cpu_ns > 0, "it took no CPU time"),
        (
            // Of all threads, also those that found no work left.
            row.cpu_ns <= row.ns * u64::from(row.threads) + slack_ns,
            "more CPU time than threads and time allow",
        ),
        (row.spread_ns <= row.ns + slack_ns, "threads finished further apart than the job took"),
    ];
    checks.into_iter().find(|(holds, _)| !holds).map(|(_, what)| what)
}

/// Returns the sums of chunks and local chunks of all nodes.
fn sum_of_nodes(row: &JobRow) -> (u64, Option<u64>) {
    let counts = &row.by_node;
    (counts.iter().map(|count| count.chunks).sum(), Some(counts.iter().map(|count| count.local_chunks).sum()))
}

/// Checks the boot's records: the machine, the phases, the method to clear memory, and the end.
fn ensure_boot_records(evidence: &Evidence) -> Result<(), Failed> {
    let records = evidence.records();
    let Some(Record::Boot { version, nodes, memory_bytes, tsc_hz, .. }) = &evidence.report.boot else {
        return Err(evidence.fail("no boot record"));
    };
    ensure(evidence, !version.is_empty() && *nodes >= 1, "the boot record is incomplete")?;
    let machine_bytes = evidence.report.machine.memory_bytes;
    let usable = (machine_bytes * 8 / 10..=machine_bytes).contains(memory_bytes);
    ensure(evidence, usable, format_args!("{memory_bytes} of {machine_bytes} bytes are usable"))?;
    let plausible = (100_000_000..=10_000_000_000).contains(tsc_hz);
    ensure(evidence, plausible, format_args!("a time stamp counter of {tsc_hz} Hz"))?;
    for name in ["ap-start", "memory-map-init"] {
        let reported = evidence.report.phases.iter().any(|phase| phase.name == name);
        ensure(evidence, reported, format_args!("there is no record of phase {name}"))?;
    }
    let chosen = evidence.report.zero_methods.iter().filter(|method| method.chosen && method.bytes_per_s > 0);
    ensure(evidence, chosen.count() == 1, "not exactly one method to clear memory is chosen")?;
    ensure(evidence, matches!(records.last(), Some(Record::End { .. })), "the last record is not the end")
}
