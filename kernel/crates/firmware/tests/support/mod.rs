//! Tables and physical memory for tests.

use std::ops::Range;

use firmware::memmap::{Kind, MemoryMap, Region};
use firmware::reach::{PhysicalMemory, may_hold_tables};

/// Physical memory and its map. Areas of 64 KiB hold what a test puts there; other memory reads as zeros.
pub struct Machine {
    pub map: MemoryMap,
    areas: Vec<(u64, Vec<u8>)>,
}

const AREA: u64 = 1 << 16;
static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

impl Machine {
    /// Returns a machine with 512 MiB, of which the last 2 are reserved.
    pub fn new() -> Self {
        Self::with_map(&[
            (0..0x9_f000, Kind::Usable),
            (0xf_0000..0x10_0000, Kind::Reserved),
            (0x10_0000..0x1fe0_0000, Kind::Usable),
            (0x1fe0_0000..0x2000_0000, Kind::Reserved),
        ])
    }

    pub fn with_map(regions: &[(Range<u64>, Kind)]) -> Self {
        let regions =
            regions.iter().map(|(range, kind)| Region { start: range.start, end: range.end, kind: *kind });
        Self { map: MemoryMap::sanitise(regions, 46).0, areas: Vec::new() }
    }

    /// Puts `bytes` at `address`, all in one area.
    pub fn put(&mut self, address: u64, bytes: &[u8]) {
        let base = address - address % AREA;
        if !self.areas.iter().any(|(at, _)| *at == base) {
            self.areas.push((base, vec![0; AREA as usize]));
        }
        let (_, area) = self.areas.iter_mut().find(|(at, _)| *at == base).expect("just put there");
        let offset = (address - base) as usize;
        area[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}

impl<'a> PhysicalMemory<'a> for &'a Machine {
    fn bytes(self, address: u64, len_bytes: u64) -> Option<&'a [u8]> {
        let range = address..address.checked_add(len_bytes)?;
        if !may_hold_tables(&self.map, &range) {
            return None;
        }
        let in_area = |(base, area): &'a (u64, Vec<u8>)| {
            area.get(address.checked_sub(*base)? as usize..(range.end - base) as usize)
        };
        self.areas.iter().find_map(in_area).or_else(|| ZEROS.get(..len_bytes as usize))
    }
}

/// Sets the byte at `at` so that `bytes` add up to 0.
pub fn fix_sum(bytes: &mut [u8], at: usize) {
    bytes[at] = 0;
    let sum = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    bytes[at] = sum.wrapping_neg();
}
