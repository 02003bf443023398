//! SRAT and SLIT: tables that QEMU 7.2 makes, the same tables damaged, and arbitrary bytes.

use firmware::acpi::TableError;
use firmware::affinity::{Affinity, Slit, Srat};
use firmware::cpus::{ApicMode, CpuList, MadtCpu};
use firmware::memmap::{Kind, MemoryMap, Region};
use firmware::nodes::{MAX_NODES, Nodes, NodesReport};
use proptest::prelude::*;

/// Of `-smp 2`, node 0 with 32 MiB and CPU 0, node 1 with 64 MiB and CPU 1.
#[rustfmt::skip]
const SRAT_TWO: [u8; 240] = [
    0x53, 0x52, 0x41, 0x54, 0xf0, 0x00, 0x00, 0x00, 0x01, 0x8c, 0x42, 0x4f, 0x43, 0x48, 0x53, 0x20,
    0x42, 0x58, 0x50, 0x43, 0x20, 0x20, 0x20, 0x20, 0x01, 0x00, 0x00, 0x00, 0x42, 0x58, 0x50, 0x43,
    0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x10, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x10, 0x01, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x01, 0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x0a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xf0, 0x01, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x01, 0x28, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
];

/// Of the same machine, with `-numa dist,src=0,dst=1,val=21`.
#[rustfmt::skip]
const SLIT_TWO: [u8; 48] = [
    0x53, 0x4c, 0x49, 0x54, 0x30, 0x00, 0x00, 0x00, 0x01, 0xe8, 0x42, 0x4f, 0x43, 0x48, 0x53, 0x20,
    0x42, 0x58, 0x50, 0x43, 0x20, 0x20, 0x20, 0x20, 0x01, 0x00, 0x00, 0x00, 0x42, 0x58, 0x50, 0x43,
    0x01, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x15, 0x15, 0x0a,
];

/// Of `-m 96M,slots=2,maxmem=1G`, node 0 with memory only, node 1 with both CPUs,
/// node 2 with hot-pluggable memory alone.
#[rustfmt::skip]
const SRAT_THREE: [u8; 320] = [
    0x53, 0x52, 0x41, 0x54, 0x40, 0x01, 0x00, 0x00, 0x01, 0x28, 0x42, 0x4f, 0x43, 0x48, 0x53, 0x20,
    0x42, 0x58, 0x50, 0x43, 0x20, 0x20, 0x20, 0x20, 0x01, 0x00, 0x00, 0x00, 0x42, 0x58, 0x50, 0x43,
    0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x10, 0x01, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x10, 0x01, 0x01, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x01, 0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x0a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xf0, 0x01, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x01, 0x28, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x01, 0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x28, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xba, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
];

const SRAT_HEADER: usize = 48;

/// Sets the length field and checksum of `table`.
fn seal(table: &mut [u8]) {
    let length = (table.len() as u32).to_le_bytes();
    table[4..8].copy_from_slice(&length);
    table[9] = 0;
    let sum = table.iter().fold(0_u8, |sum, &byte| sum.wrapping_add(byte));
    table[9] = sum.wrapping_neg();
}

fn srat_of(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut table = SRAT_TWO[..SRAT_HEADER].to_vec();
    // Revision 3: domains of 32 bits.
    table[8] = 3;
    table.extend(entries.iter().flatten());
    seal(&mut table);
    table
}

fn memory(start: u64, len_bytes: u64, domain: u32, flags: u32) -> Vec<u8> {
    let mut entry = vec![1, 40];
    entry.extend(domain.to_le_bytes());
    entry.extend([0; 2]);
    entry.extend(start.to_le_bytes());
    entry.extend(len_bytes.to_le_bytes());
    entry.extend([0; 4]);
    entry.extend(flags.to_le_bytes());
    entry.extend([0; 8]);
    entry
}

fn x2apic(apic_id: u32, domain: u32, flags: u32) -> Vec<u8> {
    let mut entry = vec![2, 24, 0, 0];
    for field in [domain, apic_id, flags, 0, 0] {
        entry.extend(field.to_le_bytes());
    }
    entry
}

fn slit_of(distances: &[u8], localities: u64) -> Vec<u8> {
    let mut table = SLIT_TWO[..36].to_vec();
    table.extend(localities.to_le_bytes());
    table.extend(distances);
    seal(&mut table);
    table
}

fn map_of(ranges: &[(u64, u64)]) -> MemoryMap {
    let regions = ranges.iter().map(|&(start, end)| Region { start, end, kind: Kind::Usable });
    MemoryMap::sanitise(regions, 46).0
}

fn cpus(count: u32) -> CpuList {
    let cpu = |apic_id| MadtCpu { apic_id, enabled: true, online_capable: false, x2apic: true };
    CpuList::collect((0..count).map(cpu), 0, ApicMode::X2Apic, 256).0
}

fn nodes(srat: &[u8], slit: Option<&[u8]>, map: &MemoryMap, cpus: &CpuList) -> (Nodes, NodesReport) {
    let slit = slit.map(|slit| Slit::parse(slit).expect("a good slit"));
    Nodes::collect(Srat::parse(srat).expect("a good srat"), slit, map, cpus)
}

const M: u64 = 1 << 20;

#[test]
fn qemus_tables_match_the_command_line() {
    let map = map_of(&[(0, 0x9_f000), (M, 96 * M)]);
    let (nodes, report) = nodes(&SRAT_TWO, Some(&SLIT_TWO), &map, &cpus(2));
    assert_eq!(report, NodesReport::default());
    assert_eq!(nodes.len(), 2);
    assert_eq!((nodes.node_of_cpu(0), nodes.node_of_cpu(1)), (0, 1));
    let node_at = |mib| nodes.node_of_address(mib * M);
    assert_eq!((node_at(0), node_at(31), node_at(32), node_at(95)), (0, 0, 1, 1));
    let distances = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(from, to)| nodes.distance(from, to));
    assert_eq!(distances, [10, 21, 21, 10]);
}

#[test]
fn a_domain_without_cpus_and_memory_is_no_node() {
    let map = map_of(&[(M, 96 * M)]);
    let entries: Vec<Affinity> = Srat::parse(&SRAT_THREE).expect("a good srat").entries().collect();
    let hot =
        Affinity::Memory { start: 0x1_0000_0000, len_bytes: 0xba00_0000, domain: 2, hot_pluggable: true };
    assert_eq!(entries.last(), Some(&hot));
    let others = &entries[..entries.len() - 1];
    assert!(
        !others.iter().any(|entry| matches!(entry, Affinity::Memory { hot_pluggable: true, .. })),
        "{others:?}"
    );
    let (nodes, report) = nodes(&SRAT_THREE, None, &map, &cpus(2));
    assert!(!report.is_suspicious(), "{report}");
    assert_eq!(nodes.len(), 2, "node 2 has no cpu and no memory yet");
    assert_eq!((nodes.node_of_cpu(0), nodes.node_of_cpu(1)), (1, 1), "node 0 has memory only");
    assert_eq!(nodes.distance(0, 1), 20);
}

#[test]
fn domains_are_numbered_densely_and_gaps_belong_to_the_node_below() {
    let srat = srat_of(&[
        memory(64 * M, 32 * M, 255, 1),
        memory(0, 32 * M, 0x1_0003, 1),
        x2apic(1, 255, 1),
        x2apic(0, 77, 1),
        x2apic(9, 5, 1),
        x2apic(2, 6, 0),
        memory(0, 0, 8, 1),
    ]);
    let (nodes, report) = nodes(&srat, None, &map_of(&[(0, 128 * M)]), &cpus(3));
    let domains: Vec<_> = (0..4).map(|node| nodes.domain(node)).collect();
    assert_eq!(domains, [Some(77), Some(255), Some(0x1_0003), None]);
    assert_eq!((0..3).map(|cpu| nodes.node_of_cpu(cpu)).collect::<Vec<_>>(), [0, 1, 0]);
    assert_eq!(report.unplaced_cpus, 1);
    assert_eq!(report.unplaced_bytes, 64 * M);
    let parts: Vec<_> =
        nodes.split(M..128 * M).map(|part| (part.start / M, part.end / M, part.node)).collect();
    assert_eq!(parts, [(1, 64, 2), (64, 128, 1)]);
}

#[test]
fn a_first_revision_has_domains_of_8_bits() {
    let mut srat = srat_of(&[memory(0, 32 * M, 0xabcd_ef01, 1)]);
    srat[8] = 1;
    seal(&mut srat);
    let (nodes, _) = nodes(&srat, None, &map_of(&[(0, 32 * M)]), &cpus(1));
    assert_eq!(nodes.domain(0), Some(1));
}

#[test]
fn overlaps_conflicts_and_wild_ranges_are_counted() {
    let srat = srat_of(&[
        memory(0, 64 * M, 0, 1),
        memory(32 * M, 64 * M, 1, 1),
        memory(u64::MAX - M, 2 * M, 1, 1),
        x2apic(0, 0, 1),
        x2apic(0, 1, 1),
    ]);
    let (nodes, report) = nodes(&srat, None, &map_of(&[(0, 96 * M)]), &cpus(1));
    assert_eq!((report.overlapping, report.bad_ranges, report.conflicting_cpus), (1, 1, 1));
    assert_eq!((nodes.node_of_address(63 * M), nodes.node_of_address(64 * M)), (0, 1));
    assert_eq!(nodes.node_of_cpu(0), 0, "the first entry counts");
    assert_eq!(
        report.to_string(),
        "1 memory entries overlap, 1 memory entries reach beyond all addresses, 1 cpus in two domains"
    );
}

#[test]
fn interleaved_nodes_are_separate() {
    let entries: Vec<_> = (0..8).map(|part| memory(part * 4 * M, 4 * M, part as u32 % 2, 1)).collect();
    let (nodes, report) = nodes(&srat_of(&entries), None, &map_of(&[(0, 32 * M)]), &cpus(1));
    assert_eq!(report.unplaced_cpus, 1);
    let parts: Vec<_> = nodes.split(0..32 * M).map(|part| part.node).collect();
    assert_eq!(parts, [0, 1, 0, 1, 0, 1, 0, 1]);
}

#[test]
fn more_domains_than_fit_become_part_of_node_0() {
    let entries: Vec<_> = (0..256).map(|domain| memory(u64::from(domain) * M, M, domain, 1)).collect();
    let (nodes, report) = nodes(&srat_of(&entries), None, &map_of(&[(0, 256 * M)]), &cpus(1));
    assert_eq!(nodes.len(), MAX_NODES);
    assert_eq!(report.domains_over_limit, 256 - MAX_NODES);
    assert_eq!((nodes.node_of_address(63 * M), nodes.node_of_address(200 * M)), (63, 0));
}

#[test]
fn domains_beyond_the_matrix_have_no_distance() {
    let slit = slit_of(&[10, 21, 31, 10], 2);
    let slit = Slit::parse(&slit).expect("a good slit");
    assert_eq!(slit.localities(), 2);
    assert_eq!((slit.distance(0, 1), slit.distance(1, 0)), (Some(21), Some(31)));
    // Within the matrix if only one of the two counts.
    assert_eq!((slit.distance(0, 2), slit.distance(2, 0), slit.distance(2, 2)), (None, None, None));
}

#[test]
fn entries_have_at_least_their_size() {
    for (kind, size) in [(0, 16), (1, 40), (2, 24), (9, 2)] {
        for length in 2..=size + 1 {
            let mut entry = vec![0; usize::from(length)];
            entry[..2].copy_from_slice(&[kind, length]);
            let error = TableError::EntryTooShort { offset: SRAT_HEADER, kind, length, least: size };
            let expected = if length < size { Some(error) } else { None };
            assert_eq!(Srat::parse(&srat_of(&[entry])).err(), expected, "type {kind}, {length} bytes");
        }
    }
}

#[test]
fn broken_tables_are_refused() {
    let mut zero_length = srat_of(&[memory(0, M, 0, 1)]);
    zero_length[SRAT_HEADER + 1] = 0;
    seal(&mut zero_length);
    let error = TableError::EntryTooShort { offset: SRAT_HEADER, kind: 1, length: 0, least: 40 };
    assert_eq!(Srat::parse(&zero_length).err(), Some(error));

    let mut short = SRAT_TWO[..40].to_vec();
    seal(&mut short);
    assert_eq!(Srat::parse(&short).err(), Some(TableError::LengthTooSmall { length: 40, least: 48 }));

    let beyond = srat_of(&[vec![9, 200, 0, 0]]);
    let error = TableError::EntryBeyondTable { offset: SRAT_HEADER, kind: 9, length: 200, available: 4 };
    assert_eq!(Srat::parse(&beyond).err(), Some(error));

    let huge = slit_of(&[10; 4], 1 << 32);
    let error = TableError::MatrixBeyondTable { localities: 1 << 32, available: 4 };
    assert_eq!(Slit::parse(&huge).err(), Some(error));
    let error = TableError::MatrixBeyondTable { localities: 3, available: 8 };
    assert_eq!(Slit::parse(&slit_of(&[10; 8], 3)).err(), Some(error));

    let too_near = slit_of(&[10, 10, 20, 10], 2);
    assert_eq!(Slit::parse(&too_near).err(), Some(TableError::Distance { from: 0, to: 1, value: 10 }));
    let not_local = slit_of(&[0], 1);
    assert_eq!(Slit::parse(&not_local).err(), Some(TableError::Distance { from: 0, to: 0, value: 0 }));
    assert_eq!(Slit::parse(&slit_of(&[], 0)).map(|slit| slit.distance(0, 0)), Ok(None));
}

/// Returns a whole entry with arbitrary fields.
fn any_entry() -> impl Strategy<Value = Vec<u8>> {
    let place = prop_oneof![(0..300_u64).prop_map(|mib| mib * M), any::<u64>()];
    let length = prop_oneof![(0..64_u64).prop_map(|mib| mib * M), any::<u64>()];
    let domain = prop_oneof![0..5_u32, 0..300_u32, any::<u32>()];
    prop_oneof![
        3 => (place, length, domain.clone(), 0..4_u32).prop_map(|(at, len, domain, flags)| memory(at, len, domain, flags)),
        2 => (0..6_u32, domain, 0..2_u32).prop_map(|(id, domain, flags)| x2apic(id, domain, flags)),
        1 => (any::<u8>(), prop::collection::vec(any::<u8>(), 0..60)).prop_map(|(kind, body)| {
            let least = match kind { 0 => 16, 1 => 40, 2 => 24, _ => 2 };
            let mut entry = vec![kind, (body.len() as u8 + 2).max(least)];
            entry.extend(&body);
            entry.resize(usize::from(entry[1]), 0);
            entry
        }),
    ]
}

proptest! {
    /// For any table, every byte of memory is in exactly one part, of an existing node, the one of `node_of_address`.
    #[test]
    fn memory_is_covered_exactly(entries in prop::collection::vec(any_entry(), 0..400), cpu_count in 1..6_u32) {
        let map = map_of(&[(0, 100 * M), (120 * M, 290 * M)]);
        let cpus = cpus(cpu_count);
        let (nodes, _) = nodes(&srat_of(&entries), None, &map, &cpus);
        prop_assert!((1..=MAX_NODES).contains(&nodes.len()));
        for memory in map.usable() {
            let mut at = memory.start;
            let mut last = None;
            for part in nodes.split(memory.clone()) {
                prop_assert_eq!(part.start, at);
                prop_assert!(part.start < part.end && usize::from(part.node) < nodes.len());
                prop_assert_ne!(last, Some(part.node), "neighbours of one node are one part");
                for address in [part.start, part.end - 1] {
                    prop_assert_eq!(nodes.node_of_address(address), usize::from(part.node));
                }
                (at, last) = (part.end, Some(part.node));
            }
            prop_assert_eq!(at, memory.end);
        }
        for cpu in 0..cpus.len() {
            prop_assert!(nodes.node_of_cpu(cpu) < nodes.len());
        }
        for from in 0..nodes.len() {
            for to in 0..nodes.len() {
                prop_assert_eq!(nodes.distance(from, to) == 10, from == to);
            }
        }
    }

    /// Two valid ranges keep their nodes, for any later entries of the table.
    #[test]
    fn the_first_entry_counts(entries in prop::collection::vec(any_entry(), 0..100)) {
        let mut all = vec![memory(0, 32 * M, 1, 1), memory(32 * M, 32 * M, 2, 1)];
        all.extend(entries);
        let map = map_of(&[(0, 64 * M)]);
        let (nodes, _) = nodes(&srat_of(&all), None, &map, &cpus(1));
        let domain_at = |mib| nodes.domain(nodes.node_of_address(mib * M));
        prop_assert_eq!((domain_at(1), domain_at(63)), (Some(1), Some(2)));
    }

    /// Random bytes after a sound header lead to an error or to tables that can be walked.
    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
        let mut srat = SRAT_TWO[..SRAT_HEADER].to_vec();
        srat.extend(&bytes);
        seal(&mut srat);
        if let Ok(srat) = Srat::parse(&srat) {
            prop_assert!(srat.entries().count() <= bytes.len() / 16);
            let _ = Nodes::collect(srat, None, &map_of(&[(0, 64 * M)]), &cpus(4));
        }
        let mut slit = SLIT_TWO[..36].to_vec();
        slit.extend(&bytes);
        if slit.len() >= 44 {
            seal(&mut slit);
            let _ = Slit::parse(&slit);
        }
        let _ = Srat::parse(&bytes);
        let _ = Slit::parse(&bytes);
    }
}
