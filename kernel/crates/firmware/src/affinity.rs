//! SRAT and SLIT: proximity domains of CPUs and memory, and distances between domains.
//!
//! Layouts are those of the ACPI specification 6.5: 5.2.16 (SRAT), 5.2.17 (SLIT). A table is checked first, so that a walk
//! needs no checks and always ends.

use crate::acpi::{ENTRY_HEADER_BYTES, TableError, array_at, check_entries, check_sdt, sized_part, u32_at};

/// Bytes of the SRAT before its first entry.
const SRAT_HEADER_BYTES: usize = 48;
/// Bytes of the SLIT before its distances.
const SLIT_HEADER_BYTES: usize = 44;

const KIND_APIC: u8 = 0;
const KIND_MEMORY: u8 = 1;
const KIND_X2APIC: u8 = 2;

const FLAG_ENABLED: u32 = 1;
const FLAG_HOT_PLUGGABLE: u32 = 1 << 1;

/// Distance from a locality to itself.
pub const LOCAL_DISTANCE: u8 = 10;

/// An enabled entry of the SRAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// A CPU is in a proximity domain.
    Cpu {
        /// Its local APIC's id.
        apic_id: u32,
        /// The domain.
        domain: u32,
    },
    /// Memory is in a proximity domain.
    Memory {
        /// Address of the first byte.
        start: u64,
        /// Length in bytes; may reach beyond the last address.
        len_bytes: u64,
        /// The domain.
        domain: u32,
        /// Whether the memory may be plugged in later.
        hot_pluggable: bool,
    },
}

/// A checked system resource affinity table.
#[derive(Clone, Copy, Debug)]
pub struct Srat<'a> {
    entries: &'a [u8],
    /// Whether proximity domains have 32 bits; they have 8 in the first revision.
    has_wide_domains: bool,
}

impl<'a> Srat<'a> {
    /// Checks the table at the start of `bytes`, and the length of every entry.
    ///
    /// # Errors
    /// The first error.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TableError> {
        let sdt = check_sdt(bytes, Some(*b"SRAT"))?;
        let table = sized_part(bytes, sdt.length, SRAT_HEADER_BYTES)?;
        check_entries(table, SRAT_HEADER_BYTES, least_entry_bytes)?;
        Ok(Self { entries: &table[SRAT_HEADER_BYTES..], has_wide_domains: sdt.revision >= 2 })
    }

    /// Returns the enabled entries of CPUs and memory, in the table's order.
    pub fn entries(self) -> impl Iterator<Item = Affinity> + 'a {
        let mut rest = self.entries;
        core::iter::from_fn(move || {
            let (entry, after) = rest.split_at_checked(usize::from(*rest.get(1)?))?;
            rest = after;
            Some(self.read(entry))
        })
        .flatten()
    }

    /// Reads an entry; `None` if it is disabled or of another type.
    fn read(self, entry: &[u8]) -> Option<Affinity> {
        let (affinity, flags) = match entry[0] {
            KIND_APIC => {
                let domain = self.domain(u32::from_le_bytes([entry[2], entry[9], entry[10], entry[11]]));
                (Affinity::Cpu { apic_id: entry[3].into(), domain }, u32_at(entry, 4))
            }
            KIND_X2APIC => {
                let domain = self.domain(u32_at(entry, 4));
                (Affinity::Cpu { apic_id: u32_at(entry, 8), domain }, u32_at(entry, 12))
            }
            KIND_MEMORY => {
                let flags = u32_at(entry, 28);
                let memory = Affinity::Memory {
                    start: u64::from_le_bytes(array_at(entry, 8)),
                    len_bytes: u64::from_le_bytes(array_at(entry, 16)),
                    domain: self.domain(u32_at(entry, 2)),
                    hot_pluggable: flags & FLAG_HOT_PLUGGABLE != 0,
                };
                (memory, flags)
            }
            _ => return None,
        };
        (flags & FLAG_ENABLED != 0).then_some(affinity)
    }

    fn domain(self, field: u32) -> u32 {
        if self.has_wide_domains { field } else { field & 0xff }
    }
}

const fn least_entry_bytes(kind: u8) -> u8 {
    match kind {
        KIND_APIC => 16,
        KIND_MEMORY => 40,
        KIND_X2APIC => 24,
        _ => ENTRY_HEADER_BYTES,
    }
}

/// A checked system locality distance table.
#[derive(Clone, Copy, Debug)]
pub struct Slit<'a> {
    localities: usize,
    distances: &'a [u8],
}

impl<'a> Slit<'a> {
    /// Checks the table at the start of `bytes`. One impossible distance refuses the whole table.
    ///
    /// # Errors
    /// The first error.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TableError> {
        let length = check_sdt(bytes, Some(*b"SLIT"))?.length;
        let table = sized_part(bytes, length, SLIT_HEADER_BYTES)?;
        let localities = u64::from_le_bytes(array_at(table, 36));
        let distances = &table[SLIT_HEADER_BYTES..];
        let is_there = |bytes: &u64| *bytes <= distances.len() as u64;
        let needed = localities
            .checked_mul(localities)
            .filter(is_there)
            .ok_or(TableError::MatrixBeyondTable { localities, available: distances.len() })?;
        let slit = Self { localities: localities as usize, distances: &distances[..needed as usize] };
        for (index, &value) in slit.distances.iter().enumerate() {
            let (from, to) = (index / slit.localities, index % slit.localities);
            let can_be = if from == to { value == LOCAL_DISTANCE } else { value > LOCAL_DISTANCE };
            if !can_be {
                return Err(TableError::Distance { from, to, value });
            }
        }
        Ok(slit)
    }

    /// Returns the number of localities; proximity domains below it have distances.
    #[must_use]
    pub const fn localities(&self) -> usize {
        self.localities
    }

    /// Returns the distance of two proximity domains; 255 means unreachable.
    #[must_use]
    pub fn distance(&self, from: u32, to: u32) -> Option<u8> {
        let (from, to) = (from as usize, to as usize);
        if from >= self.localities || to >= self.localities {
            return None;
        }
        Some(self.distances[from * self.localities + to])
    }
}
