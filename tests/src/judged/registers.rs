//! What the kernel establishes on every CPU, and what it leaves alone.

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
    ("machine_check::fault::is_told_as_what_it_is", machine_check),
    ("late_ap::boot::stays_out", late_ap),
    ("cpu_disable::boot::uses_none_of_it_and_says_so", cpu_disable),
    ("cpu_disable::boot::unknown_features_are_told", cpu_disable_unknown),
    ("zero_method::boot::executes_no_other", zero_method),
    ("image::apic::msrs_are_written_after_fences", fences),
];

/// Tests of what each CPU has established, among them one whose threads clear memory while they are moved.
const TESTS: &str = "run=test:arch::";

fn vector_garbage(lab: &Lab) -> Result<(), Failed> {
    ensure_all_pass(&lab.boot(&SMP4, &format!("{TESTS} fault.vector_garbage=on"))?, 10)
}

fn vector_garbage_without_avx(lab: &Lab) -> Result<(), Failed> {
    ensure_all_pass(&lab.boot(&SMP4, &format!("{TESTS} fault.vector_garbage=on cpu.disable=avx"))?, 10)
}

/// An uncorrected error in bank 2 of CPU 1. Without machine checks on, QEMU resets the machine.
fn machine_check(lab: &Lab) -> Result<(), Failed> {
    let (shape, monitor) = Monitor::attach(SMP2, "machine_check");
    let evidence = lab.converse(&shape, "", move |shell| {
        shell.works("uptime")?;
        // The machine may have ended before the monitor can say that it is done.
        let _ = monitor.run("mce 1 2 0xb200000000000135 0x5 0x0 0x0");
        Ok(())
    })?;
    expect_verdict(&evidence, Verdict::Panic)?;
    let is_told = evidence.records().iter().any(|record| match record {
        Record::Fault { cpu: 1, message, .. } => {
            message.contains("machine check: bank 2 uncorrected, status 0xb200000000000135")
        }
        _ => false,
    });
    ensure(&evidence, is_told, "no fault record tells of the machine check, its bank and status")
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

/// The methods that were measured, and whether each was chosen.
fn zero_methods(evidence: &Evidence) -> Vec<(&str, bool)> {
    let methods = evidence.records().iter().filter_map(|record| match record {
        Record::ZeroMethod { method, chosen, .. } => Some((method.as_str(), *chosen)),
        _ => None,
    });
    methods.collect()
}

fn cpu_disable(lab: &Lab) -> Result<(), Failed> {
    const DISABLED: &str = "x2apic,tsc-deadline,avx,sse-stores,clzero,pages-1g,nx,machine-check,pat";
    // The CPU has most of it.
    let shape = Shape { cpu_model: Some("max"), ..SMP2 };
    let evidence = lab.boot(&shape, &format!("cpu.disable={DISABLED} {TESTS},mm::every_zeroing"))?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let none = warnings(&evidence);
    ensure(&evidence, none.is_empty(), format_args!("warnings: {none:?}"))?;
    let line = evidence.run.log.iter().find_map(|line| line.split_once("; not used: "));
    let mut told: Vec<_> = line.map(|(_, names)| names.split(", ").collect()).unwrap_or_default();
    told.sort_unstable();
    let mut wanted: Vec<_> = DISABLED.split(',').collect();
    wanted.sort_unstable();
    ensure(&evidence, told == wanted, format_args!("not used are said to be {told:?}"))?;
    let methods: Vec<_> = zero_methods(&evidence).into_iter().map(|(method, _)| method).collect();
    let are_allowed = methods == ["stosb", "stosq", "movnti"];
    ensure(&evidence, are_allowed, format_args!("{methods:?} were measured"))?;
    let is_xapic = evidence.records().iter().any(
        |record| matches!(record, Record::Boot { apic, timer, .. } if apic == "xapic" && timer == "one-shot"),
    );
    ensure(&evidence, is_xapic, "the boot record does not tell of an xapic and a one-shot timer")
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
    ensure(&evidence, !is_measured, "a method that is ruled out was measured")
}

/// An interrupt must not overtake the stores that it is sent for: the manual wants these very instructions, which no
/// fence of the language promises.
fn fences(lab: &Lab) -> Result<(), Failed> {
    const MFENCE_LFENCE_WRMSR: [u8; 8] = [0x0f, 0xae, 0xf0, 0x0f, 0xae, 0xe8, 0x0f, 0x30];
    let kernel = lab.machine(&SMP2, "")?.kernel;
    let bytes = std::fs::read(&kernel)?;
    let file = object::File::parse(&*bytes).map_err(|error| format!("{}: {error}", kernel.display()))?;
    let is_it = |name: &str| name.contains("apic") && name.contains("write_msr_after_stores");
    let symbol = file.symbols().find(|symbol| symbol.name().is_ok_and(is_it));
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
