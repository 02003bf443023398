//! Machines and kernels with faults: the kernel reports what it lost, continues with the rest, and never hangs silently.

use super::chaos::ensure_events;
use super::scenario::{Scenario, cpus, ensure, ensure_warning, warnings};
use crate::lab::{Evidence, Lab, expect_verdict};
use crate::shape::{COUNTED, SMP1, SMP2, SMP4, Shape};
use ktask_boot::run::{Ending, Limits};
use libtest_mimic::Failed;
use protocol::exit::Verdict;
use protocol::ktap::Line;
use protocol::record::{Record, Status};
use std::time::Duration;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("ap_silent::boot::continues_without_the_cpu", ap_silent),
    ("smp64::boot::every_cpu_comes_online", smp64),
    ("smp255::boot::every_cpu_comes_online", smp255),
    ("no_acpi::boot::finds_cpus_in_the_mp_tables", no_acpi),
    ("no_record_port::boot::passes_and_writes_the_log", no_record_port),
    ("panic_on_ap::panic::is_reported_with_cpu_thread_and_location", panic_on_ap),
    ("panic_on_boot_cpu::panic::is_reported_with_cpu_thread_and_location", panic_on_boot_cpu),
    ("stack_overflow::fault::is_reported_as_such", stack_overflow),
    ("stack_overflow_on_ap::fault::is_reported_as_such", stack_overflow_on_ap),
    ("hang::host::names_the_state_of_every_cpu", hang),
    ("stuck_cpu::watchdog::ends_the_run_with_the_location", stuck_cpu),
    ("stuck_boot_cpu::watchdog::ends_the_run_with_the_location", stuck_boot_cpu),
    ("stuck_only_cpu::watchdog::ends_the_run_with_the_location", stuck_only_cpu),
    ("hogged_only_cpu::watchdog::ends_the_run_with_the_location", hogged_only_cpu),
    ("hogged_cpu::watchdog::ends_the_run_with_the_location", hogged_cpu),
    ("busy_only_cpu::watchdog::reports_nothing", busy_only_cpu),
    ("fair_only_cpu::watchdog::reports_nothing", fair_only_cpu),
    ("no_helpers::jobs::run_on_their_caller", no_helpers),
    ("allocation_fails::jobs::is_reported_and_the_run_continues", allocation_fails),
    ("small_memory::jobs::are_shrunk_or_skipped", small_memory),
];

/// Enough work for every CPU, and quick.
const QUICK_TIMING: &str = "timing.bytes=32M timing.repeat=1";

fn ap_silent(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP4, &format!("fault.ap_silent=1 {QUICK_TIMING}"))?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let counts = cpus(&evidence)?;
    ensure(&evidence, counts == (4, 3), format_args!("found and online are {counts:?}, not (4, 3)"))?;
    ensure_warning(&evidence, &["cpu 1"])
}

fn smp64(lab: &Lab) -> Result<(), Failed> {
    all_come_online(lab, 64)
}

/// The most CPUs with APIC ids of eight bits.
fn smp255(lab: &Lab) -> Result<(), Failed> {
    all_come_online(lab, 255)
}

fn all_come_online(lab: &Lab, count: u32) -> Result<(), Failed> {
    let evidence = lab.boot(&Shape { cpus: count, ..SMP2 }, "run=none")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let counts = cpus(&evidence)?;
    ensure(&evidence, counts == (count, count), format_args!("found and online are {counts:?}, not {count}"))
}

/// A machine without ACPI tables, and without firmware that would create them. Of two `-machine` options the later one wins.
pub(super) const NO_ACPI: [&str; 2] = ["-machine", "microvm,acpi=off,pic=on,pit=on,rtc=on"];

fn no_acpi(lab: &Lab) -> Result<(), Failed> {
    // This machine has one serial port; the argument adds a second one for the records.
    const EXTRA: [&str; 4] =
        [NO_ACPI[0], NO_ACPI[1], "-device", "isa-serial,iobase=0x2f8,irq=3,chardev=records"];
    let evidence = lab.boot(&Shape { extra: &EXTRA, ..SMP2 }, QUICK_TIMING)?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let counts = cpus(&evidence)?;
    ensure(&evidence, counts == (2, 2), format_args!("found and online are {counts:?}, not (2, 2)"))?;
    let is_reported =
        evidence.run.log.iter().any(|line| line.contains("acpi: ") && line.contains("mp tables"));
    ensure(&evidence, is_reported, "the log does not name the MP tables as the source of the CPUs")
}

fn no_record_port(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&Shape { extra: &NO_ACPI, ..SMP2 }, QUICK_TIMING)?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure(&evidence, evidence.run.record_lines.is_empty(), "records arrived through a missing port")?;
    let table = evidence.run.log.iter().any(|line| line.contains("zero-pages"));
    ensure(&evidence, table, "the log does not contain the jobs")
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
    let reported = evidence.records().iter().any(|record| match record {
        Record::Panic { cpu: reported, thread, message, location, .. } => {
            *reported == cpu
                && !thread.is_empty()
                && message.contains("fault.panic_cpu")
                && location.contains("kernel/src/debug/fault.rs")
        }
        _ => false,
    });
    ensure(
        &evidence,
        reported,
        format_args!("no panic record names cpu {cpu}, its thread, the reason and the location"),
    )?;
    ensure_symbols(&evidence, "inject")?;
    ensure_events(&evidence, 2)?;
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
    let reported = evidence.records().iter().any(|record| match record {
        Record::Fault { cpu: reported, thread, message, .. } => {
            *reported == cpu && !thread.is_empty() && message.contains("stack overflow")
        }
        _ => false,
    });
    ensure(
        &evidence,
        reported,
        format_args!("no fault record reports a stack overflow on cpu {cpu} and its thread"),
    )?;
    let in_log = evidence.run.log.iter().any(|line| line.contains("stack overflow"));
    ensure(&evidence, in_log, "the log does not report a stack overflow")?;
    ensure_symbols(&evidence, "overflow")?;
    ensure_ended_as_failed(&evidence)
}

/// Fails unless the backtrace names `function` and a line of its file.
fn ensure_symbols(evidence: &Evidence, function: &str) -> Result<(), Failed> {
    let traced: Vec<_> = evidence.report.trouble.iter().skip(1).collect();
    let named = traced.iter().any(|line| line.contains(function));
    ensure(evidence, named, format_args!("the backtrace does not name {function}"))?;
    let placed = traced.iter().any(|line| line.contains(" at kernel/src/debug/fault.rs:"));
    ensure(evidence, placed, format_args!("the backtrace does not name the line in {function}"))
}

/// Fails unless the last record is the end of a failed run.
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
    ensure(&evidence, waits, "the location of cpu 0 has no name")?;
    ensure(&evidence, lines.iter().any(stuck), "the location of cpu 1 has no name")?;
    // The kernel tells, asked by NMI: also the CPU that takes no other interrupt.
    ensure_events(&evidence, 2)
}

fn stuck_cpu(lab: &Lab) -> Result<(), Failed> {
    stuck_on(lab, 1)
}

fn stuck_boot_cpu(lab: &Lab) -> Result<(), Failed> {
    stuck_on(lab, 0)
}

/// No other CPU could notice the hang: the watchdog interrupts the CPU by NMI.
fn stuck_only_cpu(lab: &Lab) -> Result<(), Failed> {
    found_by_watchdog(lab, &SMP1, "fault.hang_cpu", 0, "answers no interrupt")
}

/// Interrupts are on, but the running thread is never preempted: a queued thread never gets the CPU.
fn hogged_only_cpu(lab: &Lab) -> Result<(), Failed> {
    found_by_watchdog(lab, &SMP1, "fault.hog_cpu", 0, "runs one thread")
}

fn hogged_cpu(lab: &Lab) -> Result<(), Failed> {
    found_by_watchdog(lab, &SMP2, "fault.hog_cpu", 1, "answers no interrupt")
}

/// Work that takes several times the watchdog's timeout is no hang, because the CPU would take interrupts, although no other
/// interrupt is due and long parts run with interrupts off. Time is counted: a host that stops the CPU would look like a hang.
fn busy_only_cpu(lab: &Lab) -> Result<(), Failed> {
    const TIMEOUT_MS: u64 = 100;
    let shape = Shape { name: "busy_only_cpu", memory_mib: 512, ..COUNTED };
    let parameters = format!("timing.bytes=128M timing.repeat=5 watchdog.timeout_ms={TIMEOUT_MS}");
    let evidence = lab.boot(&shape, &parameters)?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let is_watched = !evidence.run.log.iter().any(|line| line.contains("watchdog:"));
    ensure(&evidence, is_watched, "the watchdog is off")?;
    // The results are verified too: the only CPU works all the time.
    let worked_ns = evidence.records().iter().find_map(|record| match record {
        Record::End { t_ns, .. } => Some(*t_ns),
        _ => None,
    });
    ensure(
        &evidence,
        worked_ns.is_some_and(|ns| ns > 10 * TIMEOUT_MS * 1_000_000),
        format_args!("the run took {worked_ns:?} ns, too little for this test"),
    )
}

/// One thread that runs for as long, slice after slice, is no hang while the queued threads are of the idle class.
fn fair_only_cpu(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP1, "run=test:sched::the_idle_class watchdog.timeout_ms=40")?;
    // If the host preempts the virtual CPU, the test skips; the watchdog must report nothing in any case.
    expect_verdict(&evidence, Verdict::Pass)?;
    let is_result = |line: &String| matches!(Line::parse(line), Some(Line::Result { .. }));
    let has_run = evidence.run.log.iter().any(is_result);
    ensure(&evidence, has_run, "no test ran")
}

fn stuck_on(lab: &Lab, cpu: u32) -> Result<(), Failed> {
    found_by_watchdog(lab, &SMP2, "fault.hang_cpu", cpu, "answers no interrupt")
}

/// Fails unless the fault `parameter` on `cpu` ends the run, with the thread, the reason and the location.
fn found_by_watchdog(
    lab: &Lab,
    shape: &Shape,
    parameter: &str,
    cpu: u32,
    reason: &str,
) -> Result<(), Failed> {
    let evidence = lab.boot(shape, &format!("{parameter}={cpu} watchdog.timeout_ms=2000"))?;
    expect_verdict(&evidence, Verdict::Watchdog)?;
    let reported = evidence.records().iter().any(|record| match record {
        Record::Panic { cpu: reported, thread, message, .. } => {
            *reported == cpu && thread.starts_with(parameter) && message.contains(reason)
        }
        _ => false,
    });
    ensure(&evidence, reported, format_args!("no record names cpu {cpu}, its thread, and that it {reason}"))?;
    ensure_symbols(&evidence, "inject")?;
    ensure_events(&evidence, shape.cpus as usize)?;
    ensure_ended_as_failed(&evidence)
}

fn no_helpers(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP4, &format!("fault.helper_spawn=1 {QUICK_TIMING}"))?;
    expect_verdict(&evidence, Verdict::Pass)?;
    // The bare store loop is no job: it spawns its threads.
    let rows: Vec<_> = evidence.report.jobs.iter().filter(|row| row.job != "store-loop").collect();
    ensure(&evidence, rows.iter().any(|row| row.threads > 1), "no job was to use more threads")?;
    ensure(
        &evidence,
        rows.iter().all(|row| row.threads_used == 1),
        "a job had helpers although none can be spawned",
    )
}

/// The in-kernel tests check that memory is freed; this one checks that the run reports the failure and continues.
fn allocation_fails(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP2, &format!("fault.alloc=3 {QUICK_TIMING}"))?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_warning(&evidence, &["huge-reserve", "failed"])?;
    let zeroed = evidence.report.jobs.iter().filter(|row| row.job == "zero-pages" && row.ok).count();
    ensure(&evidence, zeroed == 2, "not all jobs without allocations ran")
}

fn small_memory(lab: &Lab) -> Result<(), Failed> {
    const MEMORY_MIB: u64 = 16;
    let shape = Shape { memory_mib: MEMORY_MIB, ..SMP2 };
    let evidence = lab.boot(&shape, "timing.bytes=1G timing.repeat=1")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    // The job on the memory map describes memory that the machine does not have.
    let mut rows = evidence.report.jobs.iter().filter(|row| row.job != "memory-map-init");
    let too_much = rows.find(|row| row.bytes > MEMORY_MIB << 20);
    ensure(
        &evidence,
        too_much.is_none(),
        format_args!("a job reports more memory than exists: {too_much:?}"),
    )?;
    for job in super::timing::JOBS {
        let ran = evidence.report.jobs.iter().any(|row| row.job == job && row.ok);
        let skipped = warnings(&evidence).iter().any(|warning| warning.contains(job));
        ensure(&evidence, ran || skipped, format_args!("{job} neither ran nor is reported as skipped"))?;
    }
    Ok(())
}
