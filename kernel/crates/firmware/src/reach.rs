//! Physical memory that firmware tables may be read from.
//!
//! Loaders put tables into reserved memory, into usable memory, and into memory that the map does not list: Cloud
//! Hypervisor's root pointer is at 0xa0000, in no entry of its map. The map therefore excludes little. Signature, length and
//! checksum decide about what a loader names or a sound table leads to.

use core::ops::Range;

use crate::memmap::{Kind, MemoryMap};

/// Readable physical memory.
pub trait PhysicalMemory<'a>: Copy {
    /// Returns the `len_bytes` at `address`, or `None` where no table can be.
    fn bytes(self, address: u64, len_bytes: u64) -> Option<&'a [u8]>;
}

/// End of the memory that may hold tables: the loader's page tables map no more.
pub const LIMIT: u64 = 4 << 30;

/// Registers of I/O APICs, HPET and local APICs, and the addresses of
/// message-signalled interrupts. Reading local APIC registers by bytes is
/// undefined on hardware.
pub(crate) const CHIPSET: Range<u64> = 0xfec0_0000..0xfef0_0000;

/// Returns whether tables may be read from `range`: anywhere in the first 4 GiB, except address 0, faulty memory, and chipset
/// registers. The range need not be usable or listed.
#[must_use]
pub fn may_hold_tables(map: &MemoryMap, range: &Range<u64>) -> bool {
    let meets = |other: &Range<u64>| range.start < other.end && other.start < range.end;
    let is_faulty = || {
        map.regions()
            .iter()
            .filter(|region| region.kind == Kind::Bad)
            .any(|region| meets(&(region.start..region.end)))
    };
    range.start != 0 && range.start < range.end && range.end <= LIMIT && !meets(&CHIPSET) && !is_faulty()
}

/// Returns the first KiB of the extended BIOS data area (EBDA), if there is one: PC firmware may keep root pointers there.
pub(crate) fn ebda<'a>(memory: impl PhysicalMemory<'a>) -> Option<Range<u64>> {
    /// The BIOS data area's word for the segment of the extended one.
    const SEGMENT_WORD: u64 = 0x40e;
    /// Interrupt vectors and the BIOS data area end here.
    const LOWEST: u64 = 0x500;
    const HIGHEST: u64 = 0xa_0000;
    let start = u64::from(u16_at(memory.bytes(SEGMENT_WORD, 2)?)) << 4;
    (LOWEST..HIGHEST).contains(&start).then_some(start..start + 1024)
}

/// Returns the last KiB of base memory, by the BIOS data area's count.
pub(crate) fn base_memory_end<'a>(memory: impl PhysicalMemory<'a>) -> Option<Range<u64>> {
    const KIB_WORD: u64 = 0x413;
    let kib = u64::from(u16_at(memory.bytes(KIB_WORD, 2)?));
    (64..=640).contains(&kib).then(|| (kib - 1) << 10..kib << 10)
}

fn u16_at(bytes: &[u8]) -> u16 {
    bytes.iter().rev().fold(0, |high, byte| high << 8 | u16::from(*byte))
}
