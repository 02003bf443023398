//! Whether device registers can be where a table says.

use crate::PAGE_BYTES;
use crate::memmap::{Kind, MemoryMap};

/// Returns whether registers of `len_bytes` can be at `address`: aligned to
/// `align`, all in one page, and not in memory.
#[must_use]
pub fn may_be_at(address: u64, len_bytes: u64, align: u64, map: &MemoryMap) -> bool {
    let Some(last) = len_bytes.checked_sub(1).and_then(|more| address.checked_add(more)) else {
        return false;
    };
    let is_memory = |kind| matches!(kind, Kind::Usable | Kind::AcpiReclaimable | Kind::AcpiNvs | Kind::Bad);
    let overlaps = map
        .regions()
        .iter()
        .any(|region| is_memory(region.kind) && region.start <= last && address < region.end);
    address != 0 && address.is_multiple_of(align) && address / PAGE_BYTES == last / PAGE_BYTES && !overlaps
}
