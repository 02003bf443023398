//! I/O APICs and interrupt source overrides, out of a MADT's bytes.

use crate::acpi::{TableError, array_at, check_madt, u32_at};
use crate::isa_irq::{IoApic, Override};

const LENGTH: usize = 4;
const FIRST_ENTRY: usize = 44;

const IO_APIC: u8 = 1;
const OVERRIDE: u8 = 2;

/// The entries of a MADT that tell how interrupt lines reach CPUs.
#[derive(Clone, Copy, Debug)]
pub struct Lines<'a> {
    /// The checked table.
    table: &'a [u8],
}

impl<'a> Lines<'a> {
    /// Takes a MADT; `bytes` begins with it and may be longer.
    ///
    /// # Errors
    /// When the table is damaged.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TableError> {
        check_madt(bytes)?;
        Ok(Self { table: &bytes[..u32_at(bytes, LENGTH) as usize] })
    }

    /// The I/O APICs, in the order of the table.
    pub fn io_apics(self) -> impl Iterator<Item = IoApic> {
        let entries = Entries { rest: &self.table[FIRST_ENTRY..] }.filter(|entry| entry[0] == IO_APIC);
        entries.map(|entry| IoApic { address: u32_at(entry, 4), first_gsi: u32_at(entry, 8) })
    }

    /// The interrupt source overrides, in the order of the table.
    pub fn overrides(self) -> impl Iterator<Item = Override> {
        let entries = Entries { rest: &self.table[FIRST_ENTRY..] }.filter(|entry| entry[0] == OVERRIDE);
        entries.map(|entry| Override {
            bus: entry[2],
            irq: entry[3],
            gsi: u32_at(entry, 4),
            flags: u16::from_le_bytes(array_at(entry, 8)),
        })
    }
}

/// The entries of a checked table.
struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Entries<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(*self.rest.get(1)?);
        let (entry, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(entry)
    }
}
