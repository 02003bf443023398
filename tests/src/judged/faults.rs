//! Machines and kernels with faults: what is lost is told, what is left goes on, and nothing ends in silence.

use super::scenario::{Scenario, cpus, ensure, ensure_warning, warnings};
use crate::lab::{Evidence, Lab, expect_verdict};
use crate::shape::{SMP1, SMP2, SMP4, Shape};
use ktask_boot::run::{Ending, Limits};
use libtest_mimic::Failed;
use protocol::exit::Verdict;
use protocol::ktap::Line;
use protocol::record::{Record, Status};
use std::time::Duration;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("ap_silent::boot::goes_on_without_it", ap_silent),
    ("smp64::boot::every_cpu_comes", smp64),
    ("smp255::boot::every_cpu_comes", smp255),
    ("no_acpi::boot::finds_its_cpus_by_the_mp_tables", no_acpi),
    ("no_record_port::boot::passes_and_tells_the_log", no_record_port),
    ("panic_on_ap::panic::is_told_with_cpu_thread_and_place", panic_on_ap),
    ("panic_on_boot_cpu::panic::is_told_with_cpu_thread_and_place", panic_on_boot_cpu),
    ("stack_overflow::fault::is_told_as_what_it_is", stack_overflow),
    ("stack_overflow_on_ap::fault::is_told_as_what_it_is", stack_overflow_on_ap),
    ("hang::onlooker::names_where_every_cpu_stood", hang),
    ("stuck_cpu::watchdog::ends_the_run_and_tells_where", stuck_cpu),
    ("stuck_boot_cpu::watchdog::ends_the_run_and_tells_where", stuck_boot_cpu),
    ("stuck_only_cpu::watchdog::ends_the_run_and_tells_where", stuck_only_cpu),
    ("hogged_only_cpu::watchdog::ends_the_run_and_tells_where", hogged_only_cpu),
    ("hogged_cpu::watchdog::ends_the_run_and_tells_where", hogged_cpu),
    ("busy_only_cpu::watchdog::leaves_it_alone", busy_only_cpu),
    ("rightly_kept_only_cpu::watchdog::leaves_it_alone", rightly_kept_only_cpu),
    ("no_helpers::jobs::run_on_their_caller", no_helpers),
    ("allocation_fails::jobs::is_told_and_the_run_goes_on", allocation_fails),
    ("small_memory::jobs::are_fitted_or_skipped", small_memory),
];

/// Enough work to use every CPU, little enough to be quick.
const QUICK_TIMING: &str = "timing.bytes=32M timing.repeat=1";

fn ap_silent(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP4, &format!("fault.ap_silent=1 {QUICK_TIMING}"))?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let counts = cpus(&evidence)?;
    ensure(&evidence, counts == (4, 3), format_args!("found and online are {counts:?}, not (4, 3)"))?;
    ensure_warning(&evidence, &["cpu 1"])
}

fn smp64(lab: &Lab) -> Result<(), Failed> {
    all_come(lab, 64)
}

/// As many as identifiers of eight bits can name.
fn smp255(lab: &Lab) -> Result<(), Failed> {
    all_come(lab, 255)
}

fn all_come(lab: &Lab, count: u32) -> Result<(), Failed> {
    let evidence = lab.boot(&Shape { cpus: count, ..SMP2 }, "run=none")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let counts = cpus(&evidence)?;
    ensure(&evidence, counts == (count, count), format_args!("found and online are {counts:?}, not {count}"))
}

/// A machine without tables, and without firmware that would make some up. Of two `-machine` the later one wins.
pub(super) const NO_ACPI: [&str; 2] = ["-machine", "microvm,acpi=off,pic=on,pit=on,rtc=on"];

fn no_acpi(lab: &Lab) -> Result<(), Failed> {
    // This machine has one serial port of its own; the second one is for the records.
    const EXTRA: [&str; 4] =
        [NO_ACPI[0], NO_ACPI[1], "-device", "isa-serial,iobase=0x2f8,irq=3,chardev=records"];
    let evidence = lab.boot(&Shape { extra: &EXTRA, ..SMP2 }, QUICK_TIMING)?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let counts = cpus(&evidence)?;
    ensure(&evidence, counts == (2, 2), format_args!("found and online are {counts:?}, not (2, 2)"))?;
    let is_told = evidence.run.log.iter().any(|line| line.contains("acpi: ") && line.contains("mp tables"));
    ensure(&evidence, is_told, "the log does not tell that the CPUs are the MP tables'")
}

fn no_record_port(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&Shape { extra: &NO_ACPI, ..SMP2 }, QUICK_TIMING)?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure(&evidence, evidence.run.record_lines.is_empty(), "records came through a port that is not there")?;
    let table = evidence.run.log.iter().any(|line| line.contains("zero-pages"));
    ensure(&evidence, table, "the log does not tell of the jobs")
}

fn panic_on_ap(lab: &Lab) -> Result<(), Failed> {
    panic_on(lab, 1)
}

fn panic_on_boot_cpu(lab: &Lab) -> Result<(), Failed> {
    panic_on(lab, 0)
}

fn panic_on(lab: &Lab, cpu: u32) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP2, &format!("fault.panic_cpu={cpu}"))?;
    expect_verdict(&evidence, Verdict::Panic)?;
    let told = evidence.records().iter().any(|record| match record {
        Record::Panic { cpu: told, thread, message, location, .. } => {
            *told == cpu
                && !thread.is_empty()
                && message.contains("fault.panic_cpu")
                && location.contains("kernel/src/debug/fault.rs")
        }
        _ => false,
    });
    ensure(
        &evidence,
        told,
        format_args!("no panic record names cpu {cpu}, its thread, the reason and the place"),
    )?;
    ensure_symbols(&evidence, "inject")?;
    ensure_ended_as_failed(&evidence)
}

fn stack_overflow(lab: &Lab) -> Result<(), Failed> {
    overflow_on(lab, &SMP1, 0)
}

fn stack_overflow_on_ap(lab: &Lab) -> Result<(), Failed> {
    overflow_on(lab, &SMP2, 1)
}

fn overflow_on(lab: &Lab, shape: &Shape, cpu: u32) -> Result<(), Failed> {
    let evidence = lab.boot(shape, &format!("fault.stack_overflow={cpu}"))?;
    expect_verdict(&evidence, Verdict::Panic)?;
    let told = evidence.records().iter().any(|record| match record {
        Record::Fault { cpu: told, thread, message, .. } => {
            *told == cpu && !thread.is_empty() && message.contains("stack overflow")
        }
        _ => false,
    });
    ensure(
        &evidence,
        told,
        format_args!("no fault record tells of a stack overflow on cpu {cpu} and its thread"),
    )?;
    let in_log = evidence.run.log.iter().any(|line| line.contains("stack overflow"));
    ensure(&evidence, in_log, "the log does not tell of a stack overflow")?;
    ensure_symbols(&evidence, "overflow")?;
    ensure_ended_as_failed(&evidence)
}

/// The backtrace names `function`, and a line of the file that it is in.
fn ensure_symbols(evidence: &Evidence, function: &str) -> Result<(), Failed> {
    let traced: Vec<_> = evidence.report.trouble.iter().skip(1).collect();
    let named = traced.iter().any(|line| line.contains(function));
    ensure(evidence, named, format_args!("the backtrace does not name {function}"))?;
    let placed = traced.iter().any(|line| line.contains(" at kernel/src/debug/fault.rs:"));
    ensure(evidence, placed, format_args!("the backtrace does not name the line in {function}"))
}

/// The last record is the end of a failed run.
fn ensure_ended_as_failed(evidence: &Evidence) -> Result<(), Failed> {
    let last = evidence.records().last();
    let failed = matches!(last, Some(Record::End { status: Status::Fail, reason, .. }) if !reason.is_empty());
    ensure(evidence, failed, "the last record is not the end of a failed run, with its reason")
}

fn hang(lab: &Lab) -> Result<(), Failed> {
    let limits = Limits { total: Some(Duration::from_secs(60)), silence: Some(Duration::from_secs(6)) };
    let evidence = lab.boot_within(&SMP2, "fault.hang_cpu=1", limits)?;
    let Ending::Hang(hang) = &evidence.run.ending else {
        return Err(evidence.fail("the run did not end as a hang"));
    };
    ensure(
        &evidence,
        hang.reason.starts_with("silent for"),
        "the hang was not found by the kernel's silence",
    )?;
    let stuck = |line: &String| {
        line.starts_with("cpu 1: running, interrupts off, ") && line.contains("kernel/src/debug/fault.rs:")
    };
    let lines = &evidence.report.trouble;
    let waits = lines.iter().any(|line| line.starts_with("cpu 0: ") && line.contains(" at kernel/src/"));
    ensure(&evidence, waits, "where cpu 0 stood is not told by name")?;
    ensure(&evidence, lines.iter().any(stuck), "where cpu 1 is stuck is not told by name")
}

fn stuck_cpu(lab: &Lab) -> Result<(), Failed> {
    stuck_on(lab, 1)
}

fn stuck_boot_cpu(lab: &Lab) -> Result<(), Failed> {
    stuck_on(lab, 0)
}

/// Nobody else is there to see it: the CPU is interrupted by NMI.
fn stuck_only_cpu(lab: &Lab) -> Result<(), Failed> {
    found_by_watchdog(lab, &SMP1, "fault.hang_cpu", 0, "answers no interrupt")
}

/// Interrupts are on, but the CPU lets none through: the thread that waits never gets it.
fn hogged_only_cpu(lab: &Lab) -> Result<(), Failed> {
    found_by_watchdog(lab, &SMP1, "fault.hog_cpu", 0, "runs one thread")
}

fn hogged_cpu(lab: &Lab) -> Result<(), Failed> {
    found_by_watchdog(lab, &SMP2, "fault.hog_cpu", 1, "answers no interrupt")
}

/// Work that takes several times as long as the watchdog allows is no reason to bark: the CPU takes interrupts meanwhile.
fn busy_only_cpu(lab: &Lab) -> Result<(), Failed> {
    const REPEAT: u64 = 5;
    let evidence =
        lab.boot(&SMP1, &format!("timing.bytes=256M timing.repeat={REPEAT} watchdog.timeout_ms=100"))?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let is_watched = !evidence.run.log.iter().any(|line| line.contains("watchdog:"));
    ensure(&evidence, is_watched, "nobody watched")?;
    // A row tells of the run of median time.
    let ran_ns = REPEAT * evidence.report.jobs.iter().map(|row| row.ns).sum::<u64>();
    ensure(
        &evidence,
        ran_ns > 300_000_000,
        format_args!("the jobs took {ran_ns} ns, too little to say anything"),
    )
}

/// Nor is it that one thread runs for as long, slice after slice, while those that wait are of the idle class.
fn rightly_kept_only_cpu(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP1, "run=test:sched::the_idle_class watchdog.timeout_ms=40")?;
    // The host may take the CPU away, and the test skip: what counts is that nobody barks.
    expect_verdict(&evidence, Verdict::Pass)?;
    let is_result = |line: &String| matches!(Line::parse(line), Some(Line::Result { .. }));
    let has_run = evidence.run.log.iter().any(is_result);
    ensure(&evidence, has_run, "nothing ran")
}

fn stuck_on(lab: &Lab, cpu: u32) -> Result<(), Failed> {
    found_by_watchdog(lab, &SMP2, "fault.hang_cpu", cpu, "answers no interrupt")
}

/// The fault `parameter` on `cpu` ends the run, with the thread, the reason and the place.
fn found_by_watchdog(
    lab: &Lab,
    shape: &Shape,
    parameter: &str,
    cpu: u32,
    reason: &str,
) -> Result<(), Failed> {
    let evidence = lab.boot(shape, &format!("{parameter}={cpu} watchdog.timeout_ms=2000"))?;
    expect_verdict(&evidence, Verdict::Watchdog)?;
    let told = evidence.records().iter().any(|record| match record {
        Record::Panic { cpu: told, thread, message, .. } => {
            *told == cpu && thread.starts_with(parameter) && message.contains(reason)
        }
        _ => false,
    });
    ensure(&evidence, told, format_args!("no record names cpu {cpu}, its thread, and that it {reason}"))?;
    ensure_symbols(&evidence, "inject")?;
    ensure_ended_as_failed(&evidence)
}

fn no_helpers(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP4, &format!("fault.helper_spawn=1 {QUICK_TIMING}"))?;
    expect_verdict(&evidence, Verdict::Pass)?;
    // The bare store loop is no job: it has threads of its own.
    let rows: Vec<_> = evidence.report.jobs.iter().filter(|row| row.job != "store-loop").collect();
    ensure(&evidence, rows.iter().any(|row| row.threads > 1), "no job was asked to use more threads")?;
    ensure(&evidence, rows.iter().all(|row| row.threads_used == 1), "a job had helpers where none can be had")
}

/// The kernel's own tests show that what was taken is given back; here, that the run is told of it and goes on.
fn allocation_fails(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP2, &format!("fault.alloc=3 {QUICK_TIMING}"))?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_warning(&evidence, &["huge-reserve", "failed"])?;
    let zeroed = evidence.report.jobs.iter().filter(|row| row.job == "zero-pages" && row.ok).count();
    ensure(&evidence, zeroed == 2, "the jobs that need no allocation did not all run")
}

fn small_memory(lab: &Lab) -> Result<(), Failed> {
    const MEMORY_MIB: u64 = 16;
    let shape = Shape { memory_mib: MEMORY_MIB, ..SMP2 };
    let evidence = lab.boot(&shape, "timing.bytes=1G timing.repeat=1")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let too_much = evidence.report.jobs.iter().find(|row| row.bytes > MEMORY_MIB << 20);
    ensure(
        &evidence,
        too_much.is_none(),
        format_args!("a job claims more memory than there is: {too_much:?}"),
    )?;
    for job in super::timing::JOBS {
        let ran = evidence.report.jobs.iter().any(|row| row.job == job && row.ok);
        let skipped = warnings(&evidence).iter().any(|warning| warning.contains(job));
        ensure(&evidence, ran || skipped, format_args!("{job} neither ran nor is said to be skipped"))?;
    }
    Ok(())
}
