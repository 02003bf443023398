//! Where the clock's rate comes from, and CPUs whose counters are off: what is known is used, what is wrong is told.

use super::scenario::{Scenario, cpus, ensure, ensure_warning, warnings};
use crate::lab::{Evidence, Lab, expect_verdict};
use crate::shape::{COUNTED, SMP1, SMP2, SMP4, Shape};
use libtest_mimic::Failed;
use protocol::exit::Verdict;
use protocol::record::Record;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("no_timers::clock::is_a_guess_and_said_to_be", guess),
    ("no_timers::clock::goes_by_what_cpuid_tells", told),
    ("cpuid_lies::clock::is_measured_and_the_lie_told", lie),
    ("cpuid_exact::clock::goes_by_what_cpuid_tells", confirmed),
    ("pit_only::clock::is_measured_by_it", pit),
    ("tsc_ahead::clock::is_told_with_cpu_and_size", ahead),
    ("tsc_equal::clock::nobody_is_blamed", together),
    ("icount_max::clock::is_measured", counted),
];

/// No timer of known rate, and no firmware that would make one up. This machine has one serial port of its own; the second one is
/// for the records.
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

/// The counter's rate by the boot record.
fn tsc_hz(evidence: &Evidence) -> Result<u64, Failed> {
    let rates = evidence.records().iter().find_map(|record| match record {
        Record::Boot { tsc_hz, .. } => Some(*tsc_hz),
        _ => None,
    });
    rates.ok_or_else(|| evidence.fail("no boot record"))
}

/// The line of the log that tells of the clock says `source`.
fn ensure_source(evidence: &Evidence, source: &str) -> Result<(), Failed> {
    let is_said = |line: &String| line.contains("MHz") && line.contains(&format!("({source})"));
    ensure(evidence, evidence.run.log.iter().any(is_said), format_args!("the clock's source is not {source}"))
}

/// Warnings that hold `part` are `count`.
fn ensure_count(evidence: &Evidence, part: &str, count: usize) -> Result<(), Failed> {
    let found = warnings(evidence).iter().filter(|warning| warning.contains(part)).count();
    ensure(evidence, found == count, format_args!("{found} warnings of {part:?}, not {count}"))
}

fn guess(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&NO_TIMERS, "run=none")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_source(&evidence, "guess")?;
    ensure_count(&evidence, "time", 1)?;
    ensure_warning(&evidence, &["times are guesses"])
}

fn told(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&NO_TIMERS, "run=none fault.tsc_hz=2592000000")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_source(&evidence, "cpuid-15")?;
    let hz = tsc_hz(&evidence)?;
    ensure(&evidence, hz == 2_592_000_000, format_args!("the clock goes by {hz} Hz"))?;
    let timer = evidence.run.log.iter().find_map(|line| line.split_once("local apic timer "));
    let has_timer = timer.is_some_and(|(_, rate)| rate.starts_with(|first: char| first.is_ascii_digit()));
    ensure(&evidence, has_timer, "the timer was not measured against the counter")?;
    ensure_count(&evidence, "time", 0)
}

/// No machine has 90 GHz.
fn lie(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP2, "run=none fault.tsc_hz=90000000000")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_source(&evidence, "pm-timer")?;
    let hz = tsc_hz(&evidence)?;
    ensure(&evidence, hz < 20_000_000_000, format_args!("the clock goes by {hz} Hz"))?;
    ensure_count(&evidence, "cpuid-15", 1)?;
    ensure_warning(&evidence, &["90000.000 MHz by cpuid-15", "going by pm-timer"])
}

/// Told about what was measured the boot before: the told one is used, to the last digit.
fn confirmed(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP2, "run=none")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_source(&evidence, "pm-timer")?;
    let told_hz = tsc_hz(&evidence)? / 1000 * 1001;
    let evidence = lab.boot(&SMP2, &format!("run=none fault.tsc_hz={told_hz}"))?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_source(&evidence, "cpuid-15")?;
    let hz = tsc_hz(&evidence)?;
    ensure(&evidence, hz == told_hz, format_args!("the clock goes by {hz} Hz, not {told_hz}"))?;
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
    // A machine that has the register for it corrects the counter, and says so.
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

/// The interrupt controller's timer as it is read on a machine that counts instructions, whatever the CPU has.
fn counted(lab: &Lab) -> Result<(), Failed> {
    let shape = Shape { cpu_model: Some("max"), ..COUNTED };
    let evidence = lab.boot(&shape, "run=none watchdog.timeout_ms=0")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_source(&evidence, "pm-timer")?;
    // An instruction takes a nanosecond.
    let hz = tsc_hz(&evidence)?;
    ensure(&evidence, hz.abs_diff(1_000_000_000) < 2_000_000, format_args!("the clock goes by {hz} Hz"))
}
