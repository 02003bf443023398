//! What the trace of a run says about the scheduler and about jobs: rules that hold at every moment and over all
//! CPUs, which no test inside the kernel can see; and that the file made of it is what viewers read.

mod format;
mod rules;

use super::scenario::{Scenario, ensure, warnings};
use crate::lab::{Evidence, Lab, expect_verdict};
use crate::shape::{SMP1, SMP2, SMP4, Shape};
use ktask_boot::trace::chrome;
use ktask_boot::trace::collect::Trace;
use libtest_mimic::Failed;
use protocol::exit::Verdict;
use protocol::record::Record;
use rules::TracedJob;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("smp1::trace::rules_hold", one),
    ("smp2::trace::rules_hold", two),
    ("smp8::trace::rules_hold", eight),
    ("numa2::trace::rules_hold", nodes),
    ("smp4::trace::rules_hold_in_the_tests_of_threads", busy),
    ("trace_small::trace::what_is_lost_is_told", small_buffer),
    ("trace_classes::trace::only_what_was_asked_for", classes),
    ("trace_panic::panic::ends_with_the_last_events", panic),
];

/// Room for every event of such a run.
const TRACED_TIMING: &str = "trace.enabled=on trace.buffer_events=65536 timing.bytes=32M timing.repeat=1";

const SMP8: Shape = Shape { name: "smp8", cpus: 8, ..SMP2 };
const NUMA2: Shape = Shape { name: "numa2", nodes: 2, ..SMP4 };

fn one(lab: &Lab) -> Result<(), Failed> {
    timing(lab, &SMP1)
}

fn two(lab: &Lab) -> Result<(), Failed> {
    timing(lab, &SMP2)
}

fn eight(lab: &Lab) -> Result<(), Failed> {
    timing(lab, &SMP8)
}

fn nodes(lab: &Lab) -> Result<(), Failed> {
    timing(lab, &NUMA2)
}

/// The timing run, traced: all rules, and every timed job is there with as many chunks as its record says.
fn timing(lab: &Lab, shape: &Shape) -> Result<(), Failed> {
    let evidence = lab.boot(shape, TRACED_TIMING)?;
    let (trace, jobs) = judge(&evidence, shape)?;
    let cpus = trace.cpus.len();
    ensure(&evidence, cpus == shape.cpus as usize, format_args!("{cpus} CPUs left a trace"))?;
    for record in evidence.records() {
        let Record::Job { job: name, threads_used, chunks, units, .. } = record else { continue };
        // Of these, one run of the timed function is one job.
        if !["zero-pages", "huge-reserve", "fallocate"].contains(&name.as_str()) {
            continue;
        }
        let is_it = |job: &&TracedJob| {
            (job.name.as_str(), job.units, job.chunks, job.threads) == (name, *units, *chunks, *threads_used)
        };
        let found = jobs.iter().any(|job| is_it(&job));
        ensure(&evidence, found, format_args!("the trace has no such job as {record:?}"))?;
    }
    let init = jobs.iter().filter(|job| job.name == "memory-map-init").count();
    ensure(&evidence, init > 0, "the trace has no memory-map-init")
}

/// Threads that are spawned, blocked, moved, preempted and woken, and CPUs that go and come.
fn busy(lab: &Lab) -> Result<(), Failed> {
    const TESTS: &str = "ktask::,a_cpu_that_goes,affinity_,fetch_waiting,deadlines,wake_one,preempted";
    let command_line = format!("trace.enabled=on trace.buffer_events=262144 run=test:{TESTS}");
    let evidence = lab.boot(&SMP4, &command_line)?;
    judge(&evidence, &SMP4).map(drop)
}

/// All that holds of any run whose trace is whole.
fn judge(evidence: &Evidence, shape: &Shape) -> Result<(Trace, Vec<TracedJob>), Failed> {
    expect_verdict(evidence, Verdict::Pass)?;
    let warnings = warnings(evidence);
    ensure(evidence, warnings.is_empty(), format_args!("warnings: {warnings:?}"))?;
    let trace = trace_of(evidence)?;
    for (cpu, of_cpu) in &trace.cpus {
        ensure(evidence, of_cpu.lost == 0, format_args!("cpu {cpu} lost {} events", of_cpu.lost))?;
        ensure(evidence, of_cpu.gaps.is_empty(), format_args!("the trace of cpu {cpu} has gaps"))?;
    }
    let fail = |what: String| evidence.fail(format_args!("{}: {what}", shape.name));
    rules::one_thread_at_a_time(&trace).map_err(fail)?;
    rules::threads_are_on_one_cpu(&trace).map_err(fail)?;
    rules::wake_ups_are_answered(&trace).map_err(fail)?;
    let jobs = rules::chunks_tile_jobs(&trace).map_err(fail)?;
    format::check(&json_of(&trace)?).map_err(fail)?;
    Ok((trace, jobs))
}

fn trace_of(evidence: &Evidence) -> Result<Trace, Failed> {
    Trace::from_records(evidence.records()).map_err(|why| evidence.fail(why))
}

fn json_of(trace: &Trace) -> Result<String, Failed> {
    let mut text = Vec::new();
    chrome::write(trace, &mut text).map_err(|error| Failed::from(error.to_string()))?;
    String::from_utf8(text).map_err(|error| Failed::from(error.to_string()))
}

/// A ring that is far too small: the end of the run is there, and how much is not.
fn small_buffer(lab: &Lab) -> Result<(), Failed> {
    const KEPT: usize = 64;
    let evidence =
        lab.boot(&SMP2, "trace.enabled=on trace.buffer_events=60 timing.bytes=16M timing.repeat=1")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let trace = trace_of(&evidence)?;
    for (cpu, of_cpu) in &trace.cpus {
        let (kept, lost) = (of_cpu.events.len(), of_cpu.lost);
        ensure(&evidence, kept == KEPT, format_args!("cpu {cpu} kept {kept} events"))?;
        ensure(&evidence, lost > 0, format_args!("cpu {cpu} lost nothing"))?;
    }
    format::check(&json_of(&trace)?).map_err(|what| evidence.fail(what))
}

fn classes(lab: &Lab) -> Result<(), Failed> {
    use trace::Event;
    let evidence = lab.boot(
        &SMP2,
        "trace.enabled=on trace.events=job,chunk trace.buffer_events=4096 timing.bytes=16M timing.repeat=1",
    )?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let trace = trace_of(&evidence)?;
    let events = || trace.cpus.values().flat_map(|cpu| &cpu.events).map(|stamped| stamped.event);
    let other = events().find(|event| {
        !matches!(
            event,
            Event::JobBegin { .. }
                | Event::JobEnd { .. }
                | Event::ChunkBegin { .. }
                | Event::ChunkEnd { .. }
                | Event::Name { .. }
        )
    });
    ensure(&evidence, other.is_none(), format_args!("nobody asked for {other:?}"))?;
    ensure(&evidence, events().any(|event| matches!(event, Event::ChunkEnd { .. })), "there are no chunks")?;
    rules::chunks_tile_jobs(&trace).map_err(|what| evidence.fail(what))?;
    format::check(&json_of(&trace)?).map_err(|what| evidence.fail(what))
}

/// The log of a panic has the last events of each CPU, that of the thread that panicked among them.
fn panic(lab: &Lab) -> Result<(), Failed> {
    // Idle CPUs would tell of pages that they clear, and push out what is looked for.
    let evidence = lab.boot(&SMP2, "trace.enabled=on fault.panic_cpu=1 zero.pool_pages=0")?;
    expect_verdict(&evidence, Verdict::Panic)?;
    let has =
        |parts: &[&str]| evidence.run.log.iter().any(|line| parts.iter().all(|part| line.contains(part)));
    for parts in [
        &["cpu 0, the last of", "trace events:"][..],
        &["cpu 1, the last of", "trace events:"],
        &["main: wakes fault.panic_cpu on cpu 1"],
        &["switch to fault.panic_cpu"],
    ] {
        ensure(&evidence, has(parts), format_args!("no line of the log has {parts:?}"))?;
    }
    Ok(())
}
