//! Traces of runs. Checks rules about the scheduler and jobs that hold at every moment and across all CPUs, which no in-kernel
//! test can observe. Checks that the exported file is valid for viewers.

mod format;
mod rules;

use super::scenario::{Scenario, ensure, ensure_all_pass, warnings};
use crate::lab::{Evidence, Lab, expect_verdict};
use crate::shape::{SMP1, SMP2, SMP4, Shape};
use ktask_boot::trace::chrome;
use ktask_boot::trace::collect::Trace;
use libtest_mimic::Failed;
use protocol::exit::Verdict;
use protocol::record::{JobRun, Record};
use rules::TracedJob;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("smp1::trace::rules_hold", one),
    ("smp2::trace::rules_hold", two),
    ("smp8::trace::rules_hold", eight),
    ("numa2::trace::rules_hold", nodes),
    ("smp4::trace::rules_hold_in_the_tests_of_threads", busy),
    ("smp16::trace::interrupts_only_cpus_that_help", many),
    ("trace_small::trace::lost_events_are_counted", small_buffer),
    ("trace_classes::trace::has_only_the_requested_classes", classes),
    ("trace_panic::panic::ends_with_the_last_events", panic),
];

/// Parameters of a short timing run with buffers for all of its events.
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

/// Traces the timing run and checks all rules. Every timed job must be in the trace, with the chunks of its record.
fn timing(lab: &Lab, shape: &Shape) -> Result<(), Failed> {
    let evidence = lab.boot(shape, TRACED_TIMING)?;
    let (trace, jobs) = judge(&evidence, shape)?;
    let cpus = trace.cpus.len();
    ensure(&evidence, cpus == shape.cpus as usize, format_args!("{cpus} CPUs left a trace"))?;
    for record in evidence.records() {
        let Record::Job(JobRun { job: name, threads_used, chunks, bytes, .. }) = record else { continue };
        // For these, one run of the timed function is one job.
        if !["zero-pages", "huge-reserve", "fallocate"].contains(&name.as_str()) {
            continue;
        }
        let is_same = |job: &&TracedJob| {
            // These jobs count pages of 4 KiB, whatever the size of the pages that they clear.
            (job.name.as_str(), job.units, job.chunks, job.threads)
                == (name, *bytes >> 12, *chunks, *threads_used)
        };
        let found = jobs.iter().any(|job| is_same(&job));
        ensure(&evidence, found, format_args!("the trace has no such job as {record:?}"))?;
    }
    let init = jobs.iter().filter(|job| job.name == "memory-map-init").count();
    ensure(&evidence, init > 0, "the trace has no memory-map-init")
}

/// Threads that are spawned, blocked, migrated, preempted and woken, and CPUs that go offline and online.
fn busy(lab: &Lab) -> Result<(), Failed> {
    const TESTS: &str = "ktask::,an_offline_cpu_leaves,affinity_,cpus_steal,deadlines,wake_one,preempted";
    let command_line = format!("trace.enabled=on trace.buffer_events=262144 run=test:{TESTS}");
    let evidence = lab.boot(&SMP4, &command_line)?;
    judge(&evidence, &SMP4).map(drop)
}

/// Counts the interrupts of wake-ups where many CPUs idle.
fn many(lab: &Lab) -> Result<(), Failed> {
    const SMP16: Shape = Shape { name: "smp16", cpus: 16, ..SMP4 };
    let evidence = lab.boot(&SMP16, "run=test:sends_one_interrupt,interrupt_no_other_cpu")?;
    ensure_all_pass(&evidence, 2)
}

/// Checks every rule for a run with a complete trace.
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

/// A ring that is far too small: it has the end of the run and the number of lost events.
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
    ensure(&evidence, other.is_none(), format_args!("{other:?} was not requested"))?;
    ensure(&evidence, events().any(|event| matches!(event, Event::ChunkEnd { .. })), "there are no chunks")?;
    rules::chunks_tile_jobs(&trace).map_err(|what| evidence.fail(what))?;
    format::check(&json_of(&trace)?).map_err(|what| evidence.fail(what))
}

/// The log of a panic has the last events of each CPU, including the thread that panicked.
fn panic(lab: &Lab) -> Result<(), Failed> {
    // Idle CPUs would record pages that they clear, and overwrite the expected events.
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
