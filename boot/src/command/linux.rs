//! `compare linux`: the ktask kernel and Linux, one after the other in the same machine.

use super::options::{
    User, consent, kernel_file, kernel_path, limits, machine, output_directory, paths, print,
};
use crate::cli::{BootChoice, Options};
use crate::compare::{Comparison, Matching, Side};
use crate::doctor::{self, What};
use crate::failure::Failure;
use crate::guest_memory;
use crate::linux::{self, Guest, Work};
use crate::progress::Progress;
use crate::qemu::{Accel, Boot, Machine, Program, program};
use crate::report::{self, Paths, Report};
use crate::run;
use crate::symbols::Symbols;
use crate::system::System;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// The translator's model without fast `rep stosb`. Linux clears pages by that instruction where a CPU claims it; translated,
/// it is the slowest way.
const TRANSLATED_CPU: &str = "max,vendor=GenuineIntel,-erms,-fsrm";

/// Boots both kernels and compares them. Returns no comparison if only the command lines are asked for.
///
/// # Errors
///
/// When a prerequisite is missing, one of the kernels does not answer, or the ktask kernel does not pass.
pub(super) fn compared(
    options: &Options,
    linux: Option<&Path>,
    system: &impl System,
    interrupt: &AtomicBool,
) -> Result<Option<Comparison>, Failure> {
    if options.boot != BootChoice::Pvh {
        return Err(Failure::usage("compare linux starts both kernels directly: --boot must be pvh"));
    }
    let work = Work::on(options.memory.unwrap_or_else(guest_memory::default_size));
    if options.print {
        let qemu = doctor::examine(system, options.qemu.as_deref(), &What::REQUIRED)?.qemu;
        let qemu = qemu.unwrap_or_else(|| Program::unchecked(program::NAME));
        let ours = ours(options, qemu, kernel_path(options), work)?;
        let theirs = linux::machine(&ours, &Guest::at(linux), work);
        print(&format!("{}\n{}", ours.shell_line(), theirs.shell_line()));
        return Ok(None);
    }
    let tools = doctor::provide(system, options.qemu.as_deref(), consent(options), &What::REQUIRED)?;
    let vmlinuz = linux::find(system, linux, consent(options))?;
    let elf = kernel_file(options, &tools)?;
    let toolchain = tools.toolchain.as_ref().expect("a toolchain was wanted, so it is there");
    let guest = linux::prepare(toolchain, vmlinuz)?;
    let ours = ours(options, tools.qemu.expect("QEMU was wanted, so it is there"), elf, work)?;
    let theirs = linux::machine(&ours, &guest, work);
    let limits = limits(options, User::Reads);
    let progress = |machine: &Machine| {
        eprintln!("$ {}", machine.shell_line());
        Progress::new(options.quiet)
    };
    let linux = linux::measure(&theirs, limits, &linux_paths(), interrupt, &mut progress(&theirs))?;
    let run = run::run_followed(&ours, limits, interrupt, &mut progress(&ours))?;
    let symbols = Symbols::load(&ours.kernel).inspect_err(|why| eprintln!("warning: {why}")).ok();
    let report = Report::new(&run, &ours, report::host_cores(), symbols.as_ref());
    let plots = report::write(&paths(options), &report, &run)?;
    report::write_page(&paths(options), &report, &run, &plots, None)?;
    if report.status != 0 {
        print(&report::render_ending(&report));
        return Err(Failure { status: run.ending.status(), message: "the ktask kernel did not pass".into() });
    }
    let warnings = linux.report.warnings.clone();
    let sides =
        vec![Side { label: "linux".into(), report: linux.report }, Side { label: "ktask".into(), report }];
    let mut comparison = Comparison::of(sides, Matching::FirstHasOneWay)?;
    comparison.note(format!("linux is version {}", linux.version));
    comparison
        .note("linux does a job on the thread that asks for it: one time beside all numbers of threads");
    comparison.note("linux tells memory-map-init in whole milliseconds, rounded down; on several threads where it has the CPUs");
    if ours.cpu_model.as_deref() == Some(TRANSLATED_CPU) {
        comparison
            .note("the CPUs claim no fast rep stosb, which linux would use and a translator does slowly");
    }
    warnings.into_iter().for_each(|warning| comparison.note(warning));
    Ok(Some(comparison))
}

/// Returns the machine of the ktask kernel: the host backs its memory before it starts, so that neither kernel measures that.
fn ours(options: &Options, qemu: Program, elf: PathBuf, work: Work) -> Result<Machine, Failure> {
    let mut machine = machine(options, qemu, elf, Boot::Direct)?;
    machine.command_line = format!("{} {}", work.parameters(), machine.command_line).trim().to_string();
    machine.extra.push("-mem-prealloc".into());
    if machine.accel == Accel::Tcg && machine.cpu_model.is_none() {
        machine.cpu_model = Some(TRANSLATED_CPU.into());
    }
    Ok(machine)
}

/// Returns the paths of Linux's files.
fn linux_paths() -> Paths {
    let file = |name: &str| output_directory().join(name);
    Paths {
        json: file("linux.json"),
        page: file("linux.html"),
        records: file("linux-records.jsonl"),
        serial: file("linux.log"),
    }
}
