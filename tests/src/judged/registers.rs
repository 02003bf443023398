//! CPU state that the kernel sets on every CPU, and state that it does not touch.

use super::scenario::{Scenario, cpus, ensure, ensure_all_pass, ensure_warning, warnings};
use crate::lab::{Evidence, Lab, expect_verdict};
use crate::monitor::Monitor;
use crate::shape::{SMP2, SMP4, Shape};
use libtest_mimic::Failed;
use object::{Object, ObjectSymbol};
use protocol::exit::Verdict;
use protocol::record::Record;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("vector_garbage::arch::is_never_stored", vector_garbage),
    ("vector_garbage::arch::is_never_stored_without_avx", vector_garbage_without_avx),
    ("machine_check::fault::is_reported_as_such", machine_check),
    ("late_ap::boot::stays_out", late_ap),
    ("cpu_disable::boot::uses_no_disabled_feature_and_says_so", cpu_disable),
    ("cpu_disable::boot::unknown_features_are_reported", cpu_disable_unknown),
    ("zero_method::boot::executes_no_other", zero_method),
    ("image::apic::msrs_are_written_after_fences", fences),
];

/// Tests of each CPU's state. In one of them, threads clear memory while they migrate.
const TESTS: &str = "run=test:arch::";

fn vector_garbage(lab: &Lab) -> Result<(), Failed> {
    ensure_all_pass(&lab.boot(&SMP4, &format!("{TESTS} fault.vector_garbage=on"))?, 10)
}

fn vector_garbage_without_avx(lab: &Lab) -> Result<(), Failed> {
    ensure_all_pass(&lab.boot(&SMP4, &format!("{TESTS} fault.vector_garbage=on cpu.disable=avx"))?, 10)
}

/// An uncorrected error in bank 2 of CPU 1. With machine checks disabled, QEMU would reset the machine.
fn machine_check(lab: &Lab) -> Result<(), Failed> {
    let (shape, monitor) = Monitor::attach(SMP2, "machine_check");
    let evidence = lab.converse(&shape, "", move |shell| {
        shell.works("uptime")?;
        // The machine may end before the monitor answers.
        let _ = monitor.run("mce 1 2 0xb200000000000135 0x5 0x0 0x0");
        Ok(())
    })?;
    expect_verdict(&evidence, Verdict::Panic)?;
    let is_reported = evidence.records().iter().any(|record| match record {
        Record::Fault { cpu: 1, message, .. } => {
            message.contains("machine check: bank 2 uncorrected, status 0xb200000000000135")
        }
        _ => false,
    });
    ensure(&evidence, is_reported, "no fault record reports the machine check, its bank and status")
}

fn late_ap(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP4, "fault.ap_late=2 smp.ap_timeout_ms=100 run=test:sched::threads_run")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let counts = cpus(&evidence)?;
    ensure(&evidence, counts == (4, 3), format_args!("found and online are {counts:?}, not (4, 3)"))?;
    ensure_warning(&evidence, &["cpu 2", "did not start"])?;
    let stays_out = evidence.run.log.iter().any(|line| line.contains("fault.ap_late: cpu 2 stays out"));
    ensure(&evidence, stays_out, "the late CPU did not find its slot closed")
}

/// Returns the measured methods, and whether each was chosen.
fn zero_methods(evidence: &Evidence) -> Vec<(&str, bool)> {
    let methods = evidence.records().iter().filter_map(|record| match record {
        Record::ZeroMethod { method, chosen, .. } => Some((method.as_str(), *chosen)),
        _ => None,
    });
    methods.collect()
}

fn cpu_disable(lab: &Lab) -> Result<(), Failed> {
    const DISABLED: &str = "x2apic,tsc-deadline,avx,sse-stores,clzero,pages-1g,nx,machine-check,pat";
    // This CPU model has most of these features.
    let shape = Shape { cpu_model: Some("max"), ..SMP2 };
    let evidence = lab.boot(&shape, &format!("cpu.disable={DISABLED} {TESTS},mm::every_zeroing"))?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let none = warnings(&evidence);
    ensure(&evidence, none.is_empty(), format_args!("warnings: {none:?}"))?;
    let line = evidence.run.log.iter().find_map(|line| line.split_once("; not used: "));
    let mut reported: Vec<_> = line.map(|(_, names)| names.split(", ").collect()).unwrap_or_default();
    reported.sort_unstable();
    let mut wanted: Vec<_> = DISABLED.split(',').collect();
    wanted.sort_unstable();
    ensure(&evidence, reported == wanted, format_args!("the log names {reported:?} as not used"))?;
    let methods: Vec<_> = zero_methods(&evidence).into_iter().map(|(method, _)| method).collect();
    let are_allowed = methods == ["stosb", "stosq", "movnti"];
    ensure(&evidence, are_allowed, format_args!("{methods:?} were measured"))?;
    let is_xapic = evidence.records().iter().any(
        |record| matches!(record, Record::Boot { apic, timer, .. } if apic == "xapic" && timer == "one-shot"),
    );
    ensure(&evidence, is_xapic, "the boot record does not name an xapic and a one-shot timer")
}

fn cpu_disable_unknown(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP2, "cpu.disable=avx,sse9 run=none")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_warning(&evidence, &["cpu.disable", "avx,sse9", "x2apic|tsc-deadline", "stays none"])
}

fn zero_method(lab: &Lab) -> Result<(), Failed> {
    let evidence = lab.boot(&SMP2, "zero.method=movnti run=test:mm::extents")?;
    ensure_all_pass(&evidence, 1)?;
    let methods = zero_methods(&evidence);
    ensure(&evidence, methods == [("movnti", true)], format_args!("{methods:?} were measured"))?;
    let evidence = lab.boot(&SMP2, "zero.method=avx-nt cpu.disable=avx run=none")?;
    expect_verdict(&evidence, Verdict::Pass)?;
    ensure_warning(&evidence, &["zero.method", "avx-nt", "cpu.disable"])?;
    let methods = zero_methods(&evidence);
    let is_measured = methods.iter().any(|(method, _)| *method == "avx-nt");
    ensure(&evidence, !is_measured, "a disabled method was measured")
}

/// An interrupt must not overtake the stores before it. The manual requires exactly these instructions, which no fence of the
/// language guarantees.
fn fences(lab: &Lab) -> Result<(), Failed> {
    const MFENCE_LFENCE_WRMSR: [u8; 8] = [0x0f, 0xae, 0xf0, 0x0f, 0xae, 0xe8, 0x0f, 0x30];
    let kernel = lab.machine(&SMP2, "")?.kernel;
    let bytes = std::fs::read(&kernel)?;
    let file = object::File::parse(&*bytes).map_err(|error| format!("{}: {error}", kernel.display()))?;
    let is_writer = |name: &str| name.contains("apic") && name.contains("write_msr_after_stores");
    let symbol = file.symbols().find(|symbol| symbol.name().is_ok_and(is_writer));
    let symbol = symbol.ok_or("the kernel has no function that writes MSRs of the local APIC")?;
    let section = symbol.section_index().ok_or("the function is in no section")?;
    let section = file.section_by_index(section).map_err(|error| error.to_string())?;
    let code = object::ObjectSection::data_range(&section, symbol.address(), symbol.size());
    let code = code.map_err(|error| error.to_string())?.ok_or("the function has no code")?;
    let has_fences = code.windows(MFENCE_LFENCE_WRMSR.len()).any(|part| part == MFENCE_LFENCE_WRMSR);
    match has_fences {
        true => Ok(()),
        false => Err(format!("no mfence; lfence; wrmsr in {code:02x?}").into()),
    }
}
