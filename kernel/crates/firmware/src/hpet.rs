//! The HPET's description table.
//!
//! The layout is that of the IA-PC HPET specification 1.0a, 3.2.4, with the generic address of the ACPI specification 6.5,
//! 5.2.3.2.

use crate::acpi::array_at;
use crate::layout::hpet;
use crate::memmap::MemoryMap;
use crate::registers::may_be_at;

/// Offset of the address space in a generic address.
const SPACE: usize = 0;
/// Offset of the address itself in a generic address.
const ADDRESS: usize = 4;
const MEMORY_SPACE: u8 = 0;
const REGISTERS_BYTES: u64 = 0x400;
const REGISTERS_ALIGN: u64 = 8;

/// Error: registers cannot be at the address in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misplaced {
    /// The address space, a number of the ACPI specification; 0 is memory.
    pub space: u8,
    /// The address there.
    pub address: u64,
}

/// Reads the physical address of the HPET's registers from its table, which was checked; `None` if the table is too
/// short.
///
/// # Errors
/// When the registers cannot be there, by `map` among others.
pub fn registers(table: &[u8], map: &MemoryMap) -> Option<Result<u64, Misplaced>> {
    let table = table.get(..hpet::TABLE_BYTES)?;
    let (space, address) =
        (table[hpet::REGISTERS + SPACE], u64::from_le_bytes(array_at(table, hpet::REGISTERS + ADDRESS)));
    let is_possible = space == MEMORY_SPACE && may_be_at(address, REGISTERS_BYTES, REGISTERS_ALIGN, map);
    Some(if is_possible { Ok(address) } else { Err(Misplaced { space, address }) })
}
