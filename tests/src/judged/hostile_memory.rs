//! Wrong tables of memory nodes, which QEMU passes to the firmware: a warning, and a working machine.

use super::scenario::{Scenario, ensure, ensure_warning, warnings};
use crate::lab::{Evidence, Lab, expect_verdict};
use crate::shape::{SMP4, Shape};
use libtest_mimic::Failed;
use protocol::exit::Verdict;
use protocol::record::Record;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("srat_gaps::nodes::are_numbered_without_gaps", gaps),
    ("srat_slices::nodes::may_be_interleaved", slices),
    ("srat_overlaps::nodes::first_entry_counts", overlaps),
    ("srat_endless::nodes::become_one", endless),
    ("srat_too_long::nodes::become_one", too_long),
    ("slit_huge::nodes::are_equally_far_apart", slit),
];

const MIB: u64 = 1 << 20;

/// Tests that use and count memory on each node.
const TESTS: &str = "run=test:mm::,jobs::,huge::pools,huge::policies,huge::parallel,huge::a_shortage";

/// A table in a temporary file, for one boot.
struct TableFile(PathBuf);

impl TableFile {
    fn new(name: &str, body: &[u8]) -> Result<Self, Failed> {
        // Other scenarios create files at the same time.
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let path = std::env::temp_dir().join(format!("ktask-{name}-{}-{number}", std::process::id()));
        std::fs::write(&path, body).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }

    /// Returns QEMU's arguments that add the table to the firmware's; QEMU makes the header.
    fn arguments(&self, signature: &str) -> [String; 2] {
        ["-acpitable".into(), format!("sig={signature},rev=3,data={}", self.0.display())]
    }
}

impl Drop for TableFile {
    fn drop(&mut self) {
        // A failure leaves a temporary file behind.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The body of an SRAT.
struct Srat(Vec<u8>);

impl Srat {
    fn new() -> Self {
        let mut body = vec![0; 12];
        body[0] = 1;
        Self(body)
    }

    fn cpu(mut self, domain: u32, apic_id: u8) -> Self {
        let [low, high @ ..] = domain.to_le_bytes();
        self.0.extend([0, 16, low, apic_id, 1, 0, 0, 0, 0]);
        self.0.extend(high);
        self.0.extend([0; 4]);
        self
    }

    fn memory(mut self, domain: u32, start: u64, len_bytes: u64) -> Self {
        self.0.extend([1, 40]);
        self.0.extend(domain.to_le_bytes());
        self.0.extend([0; 2]);
        self.0.extend(start.to_le_bytes());
        self.0.extend(len_bytes.to_le_bytes());
        self.0.extend([0; 4]);
        self.0.extend(1_u32.to_le_bytes());
        self.0.extend([0; 8]);
        self
    }

    /// Adds a memory entry with the length field `entry_bytes`.
    fn memory_of_length(mut self, entry_bytes: u8) -> Self {
        self.0.extend([1, entry_bytes]);
        self.0.extend([0; 38]);
        self
    }
}

/// Returns domains 0, 7, 13, 200 and 255; 13 has a CPU and no memory, 0 has memory and no CPU.
fn with_gaps() -> Srat {
    let srat = Srat::new().cpu(255, 0).cpu(7, 1).cpu(13, 2).cpu(200, 3);
    let srat = srat.memory(255, 0, 128 * MIB).memory(7, 128 * MIB, 100 * MIB);
    srat.memory(0, 228 * MIB, 28 * MIB).memory(200, 256 * MIB, 256 * MIB)
}

/// Boots with `tables`, runs the tests, and fails unless there are `nodes` nodes.
fn boot(lab: &Lab, tables: &[(&str, &[u8])], nodes: u32) -> Result<Evidence, Failed> {
    let files: Result<Vec<_>, _> =
        tables.iter().map(|(signature, body)| TableFile::new(signature, body)).collect();
    let files = files?;
    let arguments = files.iter().zip(tables).flat_map(|(file, (signature, _))| file.arguments(signature));
    let arguments: Vec<String> = arguments.collect();
    let words: Vec<&'static str> = arguments.into_iter().map(|word| &*word.leak()).collect();
    let shape = Shape { extra: words.leak(), ..SMP4 };
    let evidence = lab.boot(&shape, TESTS)?;
    expect_verdict(&evidence, Verdict::Pass)?;
    let reported = evidence.records().iter().find_map(|record| match record {
        Record::Boot { nodes, .. } => Some(*nodes),
        _ => None,
    });
    ensure(&evidence, reported == Some(nodes), format_args!("{reported:?} nodes, not {nodes}"))?;
    Ok(evidence)
}

fn gaps(lab: &Lab) -> Result<(), Failed> {
    let evidence = boot(lab, &[("SRAT", &with_gaps().0)], 5)?;
    for node in ["node 0 (domain 0): 28 MiB", "node 2 (domain 13): 0 MiB", "node 4 (domain 255): 127 MiB"] {
        let is_reported = evidence.run.log.iter().any(|line| line.contains(node));
        ensure(&evidence, is_reported, format_args!("no line {node:?}"))?;
    }
    // The table is odd but valid. The tests cause the warnings of the pools' shortage.
    let odd = warnings(&evidence).into_iter().find(|warning| warning.contains("acpi"));
    ensure(&evidence, odd.is_none(), format_args!("{odd:?}"))
}

/// Two hundred ranges of three nodes, none of which begins or ends at a page boundary.
fn slices(lab: &Lab) -> Result<(), Failed> {
    let mut srat = Srat::new().cpu(0, 0).cpu(1, 1).cpu(2, 2).cpu(0, 3);
    let mut start = 0;
    for index in 0..200_u64 {
        let len_bytes = (index % 7 + 1) * 379 * 1024 + index * 13 + 1;
        srat = srat.memory((index % 3) as u32, start, len_bytes);
        start += len_bytes;
    }
    let evidence = boot(lab, &[("SRAT", &srat.0)], 3)?;
    ensure_warning(&evidence, &["SRAT is odd", "KiB in no domain"])
}

fn overlaps(lab: &Lab) -> Result<(), Failed> {
    let srat = Srat::new().cpu(0, 0).cpu(1, 1).cpu(0, 1).cpu(1, 77);
    let srat = srat.memory(0, 0, 256 * MIB).memory(1, 128 * MIB, 384 * MIB).memory(2, 0, 1 << 63);
    let srat = srat.memory(3, u64::MAX - 4095, 1 << 40).memory(1, 400 * MIB, u64::MAX);
    let evidence = boot(lab, &[("SRAT", &srat.0)], 3)?;
    ensure_warning(
        &evidence,
        &["2 memory entries overlap", "2 memory entries reach beyond", "1 cpus in two domains"],
    )
}

/// An entry of length 0: a walk from entry to entry would never end.
fn endless(lab: &Lab) -> Result<(), Failed> {
    let srat = Srat::new().cpu(0, 0).memory_of_length(0).memory(1, 0, 512 * MIB);
    let evidence = boot(lab, &[("SRAT", &srat.0)], 1)?;
    ensure_warning(&evidence, &["SRAT", "says length 0", "one node"])
}

fn too_long(lab: &Lab) -> Result<(), Failed> {
    let evidence = boot(lab, &[("SRAT", &Srat::new().cpu(0, 0).memory_of_length(200).0)], 1)?;
    ensure_warning(&evidence, &["SRAT", "says length 200", "one node"])
}

/// A SLIT of 2^40 localities with the distances of two.
fn slit(lab: &Lab) -> Result<(), Failed> {
    let mut body = (1_u64 << 40).to_le_bytes().to_vec();
    body.extend([10, 20, 20, 10]);
    let evidence = boot(lab, &[("SRAT", &with_gaps().0), ("SLIT", &body)], 5)?;
    ensure_warning(&evidence, &["SLIT", "equally far apart"])
}
