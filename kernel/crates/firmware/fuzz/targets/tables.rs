//! Any bytes as ACPI tables: an error, or tables that can be used to the end.
//!
//! The checksum is put right first, or hardly an input would get past it.
#![no_main]

use firmware::affinity::{Slit, Srat};
use firmware::cpus::{ApicMode, CpuList};
use firmware::memmap::{Kind, MemoryMap, Region};
use firmware::nodes::Nodes;
use libfuzzer_sys::fuzz_target;

const CHECKSUM_OFFSET: usize = 9;

fuzz_target!(|bytes: &[u8]| {
    // The first byte says where the SLIT begins.
    let Some((split, bytes)) = bytes.split_first() else { return };
    let (srat, slit) = bytes.split_at(bytes.len().min(usize::from(*split) * 4));
    let (srat, slit) = (sealed(srat, b"SRAT"), sealed(slit, b"SLIT"));
    let slit = Slit::parse(&slit).ok();
    let Ok(srat) = Srat::parse(&srat) else { return };

    let usable = |start, end| Region { start, end, kind: Kind::Usable };
    let (map, _) = MemoryMap::sanitise([usable(0, 0xa_0000), usable(1 << 20, 1 << 40)], 46);
    let (cpus, _) = CpuList::collect([], 0, ApicMode::X2Apic, 256);
    let (nodes, _) = Nodes::collect(srat, slit, &map, &cpus);
    for memory in map.usable() {
        let mut at = memory.start;
        for part in nodes.split(memory.clone()) {
            assert_eq!(part.start, at);
            assert!(part.end > at && usize::from(part.node) < nodes.len());
            at = part.end;
        }
        assert_eq!(at, memory.end);
    }
});

/// The table with its signature, length and checksum as they should be.
fn sealed(bytes: &[u8], signature: &[u8; 4]) -> Vec<u8> {
    let mut table = bytes.to_vec();
    if table.len() > CHECKSUM_OFFSET {
        let length = table.len() as u32;
        table[..4].copy_from_slice(signature);
        table[4..8].copy_from_slice(&length.to_le_bytes());
        table[CHECKSUM_OFFSET] = 0;
        let sum = table.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        table[CHECKSUM_OFFSET] = sum.wrapping_neg();
    }
    table
}
