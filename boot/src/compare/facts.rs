//! The compared runs: their names, their machines, and in what these differ.

use super::side::{Side, printable};
use crate::report::Report;
use crate::size::Size;
use protocol::record::Record;
use std::path::PathBuf;

/// Returns a name for each file: its last parts, as many as it takes to tell all files apart.
pub(super) fn labels(files: &[PathBuf]) -> Vec<String> {
    let tail = |file: &PathBuf, parts: usize| {
        let names: Vec<_> = file.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        names[names.len().saturating_sub(parts)..].join("/")
    };
    let most = files.iter().map(|file| file.iter().count()).max().unwrap_or(1);
    let named = |parts: usize| files.iter().map(|file| tail(file, parts)).collect::<Vec<_>>();
    let are_different =
        |names: &Vec<String>| names.iter().enumerate().all(|(at, name)| !names[..at].contains(name));
    let names = (1..=most).map(named).find(are_different);
    // One file may be there twice.
    let names = names.unwrap_or_else(|| {
        named(1).iter().enumerate().map(|(at, name)| format!("{name} #{}", at + 1)).collect()
    });
    names.iter().map(|name| printable(name)).collect()
}

/// A fact about a run: its name, and how a report tells it.
pub(super) type Fact = (&'static str, fn(&Report) -> String);

/// Facts that do not make runs incomparable.
pub(super) const INFORMATION: [Fact; 2] = [
    ("result", |report| printable(&report.ending)),
    ("kernel", |report| match &report.boot {
        Some(Record::Boot { version, .. }) => printable(version),
        _ => "-".into(),
    }),
];

/// Facts about the machine, in which compared runs should agree.
pub(super) const MACHINE: [Fact; 7] = [
    ("CPUs", |report| report.machine.cpus.to_string()),
    ("memory", |report| Size { bytes: report.machine.memory_bytes }.to_string()),
    ("memory nodes", |report| report.machine.nodes.to_string()),
    ("accelerator", |report| printable(&report.machine.accel)),
    ("CPU model", |report| printable(&report.machine.cpu_model)),
    ("QEMU", |report| match printable(&report.machine.qemu) {
        version if version.is_empty() => "unknown".into(),
        version => version,
    }),
    ("CPUs of the host", |report| report.host.cores.to_string()),
];

/// Returns a line for each fact about the machine in which a run differs from the first one.
pub(super) fn differences(sides: &[Side]) -> Vec<String> {
    let mut lines = Vec::new();
    for (name, fact) in MACHINE {
        let values: Vec<_> = sides.iter().map(|side| fact(&side.report)).collect();
        if values.iter().any(|value| *value != values[0]) {
            let values = sides.iter().zip(&values).map(|(side, value)| format!("{value} in {}", side.label));
            lines.push(format!("the machines differ in {name}: {}", values.collect::<Vec<_>>().join(", ")));
        }
    }
    lines
}

/// Returns a remark if a run was translated.
pub(super) fn translated(sides: &[Side]) -> Option<String> {
    let is_translated = sides.iter().any(|side| side.report.machine.accel == "tcg");
    is_translated.then(|| {
        "QEMU translated the guest's code: runs on one idle host compare with each other, not with hardware".into()
    })
}
