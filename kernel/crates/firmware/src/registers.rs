//! Device registers that tables name, and a check of their location.

use core::ops::Range;

use crate::PAGE_BYTES;
use crate::memmap::{Kind, MemoryMap};

/// Address space of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// An I/O port.
    Port,
    /// Physical memory.
    Memory,
    /// Configuration space of PCI bus 0: device in bits 32 to 47, function in bits 16 to 31, offset below.
    PciConfig,
}

/// A register and its access size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    /// Its address space.
    pub space: Space,
    /// Its address in that space.
    pub address: u64,
    /// Its bytes: 1, 2 or 4.
    pub bytes: u8,
    /// Bytes of one access: 1, 2 or 4, and no more than `bytes`.
    pub access_bytes: u8,
}

impl Register {
    /// Returns a register of `bytes` that is accessed as a whole.
    #[must_use]
    pub const fn new(space: Space, address: u64, bytes: u8) -> Self {
        Self { space, address, bytes, access_bytes: bytes }
    }

    /// Returns whether the register can be at its address. Ports have 16 bits; a register in memory lies in one page and
    /// outside of the memory in `map`.
    #[must_use]
    pub fn is_possible(&self, map: &MemoryMap) -> bool {
        let (start, len) = (self.address, u64::from(self.bytes));
        let Some(end) = start.checked_add(len) else { return false };
        match self.space {
            Space::Port => end <= 1 << 16,
            Space::PciConfig => {
                let (device, function, offset) = self.pci_config();
                device < 32 && function < 8 && offset + len <= 256
            }
            Space::Memory => {
                start / PAGE_BYTES == (end - 1) / PAGE_BYTES && !holds_memory(map, &(start..end))
            }
        }
    }

    /// Returns device, function and offset of a register in [`Space::PciConfig`].
    #[must_use]
    pub const fn pci_config(&self) -> (u64, u64, u64) {
        (self.address >> 32, self.address >> 16 & 0xffff, self.address & 0xffff)
    }
}

/// Returns whether registers of `len_bytes` can be at `address`: aligned to `align`, in one page, and not in memory.
#[must_use]
pub fn may_be_at(address: u64, len_bytes: u64, align: u64, map: &MemoryMap) -> bool {
    let Some(last) = len_bytes.checked_sub(1).and_then(|more| address.checked_add(more)) else {
        return false;
    };
    address != 0
        && address.is_multiple_of(align)
        && address / PAGE_BYTES == last / PAGE_BYTES
        && !holds_memory(map, &(address..last.saturating_add(1)))
}

/// Returns whether `map` lists memory of any kind in `range`.
fn holds_memory(map: &MemoryMap, range: &Range<u64>) -> bool {
    let is_memory = |kind| matches!(kind, Kind::Usable | Kind::AcpiReclaimable | Kind::AcpiNvs | Kind::Bad);
    let overlaps = |start, end| start < range.end && range.start < end;
    map.regions().iter().any(|region| is_memory(region.kind) && overlaps(region.start, region.end))
}
