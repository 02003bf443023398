//! The kernel from images: GRUB on BIOS and UEFI machines, and the loader of UEFI images.
//!
//! Firmware leaves other registers, tables and memory than QEMU's own loader does. So each loader starts all in-kernel tests once, and
//! GRUB on UEFI, whose parts both occur in these, those that use what firmware leaves behind.

use super::scenario::{cpus, ensure, warnings};
use crate::lab::{Evidence, Lab, expect_verdict};
use crate::shape::{SMP1, SMP2, SMP4, Shape};
use ktask_boot::cli::BootChoice;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use protocol::exit::Verdict;
use protocol::ktap::Results;
use protocol::record::{Entry, Record};

/// A boot from an image, and what it must show apart from a pass without warnings on all CPUs.
#[derive(Clone, Copy)]
struct Case {
    /// Name of the test after the shape's.
    name: &'static str,
    shape: Shape,
    /// The kernel's command line.
    command_line: &'static str,
    /// Jobs timed or tests run at least.
    least: usize,
}

const UEFI: Shape = Shape { name: "uefi_smp2", boot: BootChoice::Uefi, ..SMP2 };
const GRUB: Shape = Shape { name: "grub_smp2", boot: BootChoice::Grub, ..SMP2 };
const GRUB_UEFI: Shape = Shape { name: "grub_uefi_smp2", boot: BootChoice::GrubUefi, ..SMP2 };

/// All in-kernel tests.
const ALL: &str = "run=test";

/// How warnings begin that in-kernel tests cause.
const WARNINGS_OF_TESTS: [&str; 2] = ["huge pages: ", "cannot start a worker"];

/// Suites that use what firmware leaves behind: registers, interrupt controllers, page tables, the memory map.
const SUITES: &str = "run=test:arch::,mm::";

/// A small timing run: threads, jobs and huge pages on memory that firmware used before.
const TIMING: &str = "run=timing timing.bytes=16M timing.repeat=1";

const CASES: &[Case] = &[
    Case { name: "tests::pass", shape: UEFI, command_line: ALL, least: 100 },
    Case {
        name: "timing::jobs_pass",
        shape: Shape { name: "uefi_smp4", cpus: 4, ..UEFI },
        command_line: TIMING,
        least: 10,
    },
    Case {
        name: "boot::passes",
        shape: Shape { name: "uefi_smp1", cpus: SMP1.cpus, ..UEFI },
        command_line: "run=none",
        least: 0,
    },
    Case {
        name: "tests::pass",
        shape: Shape { name: "uefi_numa2", cpus: SMP4.cpus, nodes: 2, ..UEFI },
        command_line: "run=test:mm::",
        least: 10,
    },
    // The firmware itself needs 48 MiB.
    Case {
        name: "boot::passes",
        shape: Shape { name: "uefi_memory_64m", memory_mib: 64, ..UEFI },
        command_line: "run=none",
        least: 0,
    },
    Case {
        name: "boot::passes",
        shape: Shape { name: "uefi_memory_4g", memory_mib: 4096, ..UEFI },
        command_line: "run=none",
        least: 0,
    },
    Case { name: "tests::pass", shape: GRUB, command_line: ALL, least: 100 },
    Case {
        name: "timing::jobs_pass",
        shape: Shape { name: "grub_smp4", cpus: 4, ..GRUB },
        command_line: TIMING,
        least: 10,
    },
    Case { name: "tests::pass", shape: GRUB_UEFI, command_line: SUITES, least: 20 },
];

/// Memory that firmware, its tables and the loader keep, at most.
const KEPT_BY_FIRMWARE_BYTES: u64 = 16 << 20;

/// Returns the trials. If a selected one needs packages that are missing, they are installed now or never, by the rule of consent.
pub(super) fn trials(lab: &Lab, arguments: &Arguments) -> Vec<Trial> {
    let trial = |case: &'static Case| {
        let lab = lab.clone();
        let trial = Trial::ignorable_test(format!("{}::{}", case.shape.name, case.name), move || {
            match lab.has_way(case.shape.boot) {
                Ok(()) => judge(&lab, case).map(|()| Completion::Completed),
                Err(reason) => Ok(Completion::ignored_with(reason)),
            }
        });
        (trial, case.shape.boot)
    };
    let trials: Vec<_> = CASES.iter().map(trial).collect();
    for (_, way) in trials.iter().filter(|(trial, _)| !arguments.list && !arguments.is_filtered_out(trial)) {
        // The trial reports an error.
        let _ = lab.has_way(*way);
    }
    trials.into_iter().map(|(trial, _)| trial).collect()
}

fn judge(lab: &Lab, case: &Case) -> Result<(), Failed> {
    let shape = &case.shape;
    let evidence = lab.boot(shape, case.command_line)?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let counts = cpus(&evidence)?;
    ensure(
        &evidence,
        counts == (shape.cpus, shape.cpus),
        format_args!("found and online are {counts:?}, not all {}", shape.cpus),
    )?;
    ensure_boot_record(&evidence, shape)?;
    // Tests take all memory, and the kernel says so.
    let is_of_tests = |warning: &&str| {
        case.command_line == ALL && WARNINGS_OF_TESTS.iter().any(|start| warning.starts_with(start))
    };
    let reported: Vec<_> = warnings(&evidence).into_iter().filter(|warning| !is_of_tests(warning)).collect();
    ensure(&evidence, reported.is_empty(), format_args!("warnings: {reported:?}"))?;
    let is_carried = evidence
        .run
        .log
        .iter()
        .any(|line| line.ends_with(&format!("command line: {}", evidence.command_line())));
    ensure(&evidence, is_carried, "the command line did not arrive unchanged")?;
    let done = match case.command_line == TIMING {
        true => evidence.report.jobs.iter().filter(|row| row.ok).count(),
        false => tests_passed(&evidence)?,
    };
    ensure(&evidence, done >= case.least, format_args!("{done} tests or jobs, not {}", case.least))
}

/// Fails unless the boot record has the entry, the nodes and nearly all of the memory.
fn ensure_boot_record(evidence: &Evidence, shape: &Shape) -> Result<(), Failed> {
    let record = evidence.records().iter().find_map(|record| match record {
        Record::Boot { entry, nodes, memory_bytes, .. } => Some((*entry, *nodes, *memory_bytes)),
        _ => None,
    });
    let (entry, nodes, memory_bytes) = record.ok_or_else(|| evidence.fail("no boot record"))?;
    let expected = if shape.boot == BootChoice::Uefi { Entry::Uefi } else { Entry::Multiboot2 };
    ensure(evidence, entry == expected, format_args!("entered by {entry:?}, not by {expected:?}"))?;
    ensure(evidence, nodes == shape.nodes, format_args!("{nodes} nodes, not {}", shape.nodes))?;
    let installed_bytes = shape.memory_mib << 20;
    let is_plausible =
        memory_bytes <= installed_bytes && memory_bytes + KEPT_BY_FIRMWARE_BYTES >= installed_bytes;
    ensure(
        evidence,
        is_plausible,
        format_args!("{memory_bytes} bytes of memory are used, of {installed_bytes}"),
    )
}

/// Returns how many tests passed; fails if one failed or has no result.
fn tests_passed(evidence: &Evidence) -> Result<usize, Failed> {
    let mut results = Results::default();
    for line in &evidence.run.log {
        results.line(line);
    }
    if results.tests.is_empty() {
        return Ok(0);
    }
    ensure(evidence, results.is_complete(), "not all results arrived")?;
    let failed: Vec<_> = results.tests.iter().filter(|test| !test.passed).map(|test| &test.name).collect();
    ensure(evidence, failed.is_empty(), format_args!("failed: {failed:?}"))?;
    Ok(results.tests.iter().filter(|test| test.skip_reason.is_none()).count())
}
