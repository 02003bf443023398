//! Data of a direct loader: the PVH start info, the memory map, the command line.

use super::rom::Blob;

/// Kind of an address range, as firmware numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Usable memory.
    Usable = 1,
    /// Reserved.
    Reserved = 2,
    /// ACPI tables, whose memory may be reused after reading.
    Acpi = 3,
}

/// A range of addresses.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// First address.
    pub start: u64,
    /// Length.
    pub len_bytes: u64,
    /// Kind.
    pub kind: Kind,
}

/// Returns a range; short, for tables of ranges.
pub const fn range(start: u64, len_bytes: u64, kind: Kind) -> Range {
    Range { start, len_bytes, kind }
}

/// Address of the start info.
pub const START_INFO_AT: u32 = 0x6000;
/// Address of the memory map, with room for 4000 entries.
const MAP_AT: u64 = 0x7000;
/// Address of the command line.
const COMMAND_LINE_AT: u64 = 0x2_0000;
const MAGIC: u32 = 0x336e_c578;

/// Returns the start info and everything that it points to, except for the tables.
pub fn blobs(map: &[Range], command_line: &[u8], root_pointer: u64) -> [Blob; 3] {
    let entries = map.iter().flat_map(|range| {
        let words = [range.start, range.len_bytes, range.kind as u64];
        words.into_iter().flat_map(u64::to_le_bytes)
    });
    let mut info = Vec::new();
    // Magic, version, flags, modules.
    info.extend([MAGIC, 1, 0, 0].into_iter().flat_map(u32::to_le_bytes));
    // Modules, command line, root pointer, memory map.
    info.extend([0, COMMAND_LINE_AT, root_pointer, MAP_AT].into_iter().flat_map(u64::to_le_bytes));
    info.extend([map.len() as u32, 0].into_iter().flat_map(u32::to_le_bytes));
    [
        Blob { at: MAP_AT, bytes: entries.collect() },
        Blob { at: COMMAND_LINE_AT, bytes: [command_line, &[0]].concat() },
        Blob { at: START_INFO_AT.into(), bytes: info },
    ]
}
