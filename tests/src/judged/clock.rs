//! Sources of the clock's rate, and CPUs with wrong counters: good sources are used, wrong ones are reported.

use super::scenario::{Scenario, cpus, ensure, ensure_warning, warnings};
use crate::lab::{Evidence, Lab, expect_verdict};
use crate::shape::{COUNTED, SMP1, SMP2, SMP4, Shape};
use libtest_mimic::Failed;
use protocol::exit::Verdict;
use protocol::record::Record;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("no_timers::clock::is_a_reported_guess", guess),
    ("no_timers::clock::uses_the_rate_of_cpuid", announced),
    ("cpuid_lies::clock::is_measured_and_the_lie_reported", lie),
    ("cpuid_exact::clock::uses_the_rate_of_cpuid", confirmed),
    ("pit_only::clock::is_measured_by_the_pit", pit),
    ("tsc_ahead::clock::is_reported_with_cpu_and_offset", ahead),
    ("tsc_equal::clock::no_cpu_is_reported", together),
    ("icount_max::clock::is_measured", counted),
];

/// No timer of known rate, and no firmware that would invent one. This machine has one serial port; the argument adds a second
/// one for the records.
const NO_TIMERS: Shape = Shape {
    cpu_model: Some("max"),
    extra: &[
        "-machine",
        "microvm,acpi=off,pit=off,rtc=off,pic=off",
        "-device",
        "isa-serial,iobase=0x2f8,irq=3,chardev=records",
    ],
    ..SMP1
};

/// Returns the counter's rate from the boot record.
fn tsc_hz(evidence: &Evidence) -> Result<u64, Failed> {
    let rates = evidence.records().iter().find_map(|record| match record {
        Record::Boot { tsc_hz, .. } => Some(*tsc_hz),
        _ => None,
    });
    rates.ok_or_else(|| evidence.fail("no boot record"))
}

/// Fails unless the log names `source` as the clock's source.
fn ensure_source(evidence: &Evidence, source: &str) -> Result<(), Failed> {
    let is_named = |line: &String| line.contains("MHz") && line.contains(&format!("({source})"));
    ensure(
        evidence,
        evidence.run.log.iter().any(is_named),
        format_args!("the clock's source is not {source}"),
    )
}

/// Fails unless `count` warnings contain `part`.
fn ensure_count(evidence: &Evidence, part: &str, count: usize) -> Result<(), Failed> {
    let found = warnings(evidence).iter().filter(|warning| warning.contains(part)).count();
    ensure(evidence, found == count, format_args!("{found} warnings contain {part:?}, not {count}"))
}

fn guess(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&NO_TIMERS, "run=none")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_source(&evidence, "guess")?;
    ensure_count(&evidence, "time", 1)?;
    ensure_warning(&evidence, &["times are guesses"])
}

fn announced(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&NO_TIMERS, "run=none fault.tsc_hz=2592000000")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_source(&evidence, "cpuid-15")?;
    let hz = tsc_hz(&evidence)?;
    ensure(&evidence, hz == 2_592_000_000, format_args!("the clock uses {hz} Hz"))?;
    let timer = evidence.run.log.iter().find_map(|line| line.split_once("local apic timer "));
    let has_timer = timer.is_some_and(|(_, rate)| rate.starts_with(|first: char| first.is_ascii_digit()));
    ensure(&evidence, has_timer, "the timer was not measured against the counter")?;
    ensure_count(&evidence, "time", 0)
}

/// CPUID announces 90 GHz, which no machine has.
fn lie(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP2, "run=none fault.tsc_hz=90000000000")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_source(&evidence, "pm-timer")?;
    let hz = tsc_hz(&evidence)?;
    ensure(&evidence, hz < 20_000_000_000, format_args!("the clock uses {hz} Hz"))?;
    ensure_count(&evidence, "cpuid-15", 1)?;
    ensure_warning(&evidence, &["90000.000 MHz by cpuid-15", "going by pm-timer"])
}

/// CPUID announces nearly the measured rate: the clock uses the announced rate, to the last digit.
fn confirmed(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP2, "run=none")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_source(&evidence, "pm-timer")?;
    let announced_hz = tsc_hz(&evidence)? / 1000 * 1001;
    let evidence = lab.boot(&SMP2, &format!("run=none fault.tsc_hz={announced_hz}"))?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_source(&evidence, "cpuid-15")?;
    let hz = tsc_hz(&evidence)?;
    ensure(&evidence, hz == announced_hz, format_args!("the clock uses {hz} Hz, not {announced_hz}"))?;
    ensure_count(&evidence, "tsc", 0)
}

fn pit(lab: &Lab) -> Result<(), Failed> {
    let shape = Shape { extra: &["-machine", "pc,acpi=off,hpet=off"], ..SMP1 };
    let evidence = lab.boot(&shape, "run=none")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_source(&evidence, "pit")
}

fn ahead(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP4, "run=none fault.tsc_offset=2")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let counts = cpus(&evidence)?;
    ensure(&evidence, counts == (4, 4), format_args!("found and online are {counts:?}, not (4, 4)"))?;
    // A machine with the adjustment register corrects the counter, and reports it.
    let is_corrected = evidence.run.log.iter().any(|line| line.contains("are corrected, cpu 2 most"));
    if is_corrected {
        return ensure_count(&evidence, "tsc", 0);
    }
    ensure_count(&evidence, "tsc", 1)?;
    ensure_warning(&evidence, &["1 cpus are off", "cpu 2 most", "ns ahead of the boot cpu"])
}

fn together(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP4, "run=none log.level=debug")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let is_measured = evidence.run.log.iter().any(|line| line.contains("against the boot cpu in"));
    ensure(&evidence, is_measured, "nothing was measured")?;
    ensure_count(&evidence, "tsc", 0)
}

/// With counted instructions, the clock is measured on a CPU with all features too.
fn counted(lab: &Lab) -> Result<(), Failed> {
    let shape = Shape { cpu_model: Some("max"), ..COUNTED };
    let evidence = lab.boot(&shape, "run=none watchdog.timeout_ms=0")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_source(&evidence, "pm-timer")?;
    // One instruction per nanosecond.
    let hz = tsc_hz(&evidence)?;
    ensure(&evidence, hz.abs_diff(1_000_000_000) < 2_000_000, format_args!("the clock uses {hz} Hz"))
}
