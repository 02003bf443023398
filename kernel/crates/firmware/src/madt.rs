//! MADT: CPUs, I/O APICs and interrupt source overrides.
//!
//! The layout is that of the ACPI specification 6.5, 5.2.12. The table is checked first, so that a walk needs no checks and
//! always ends.

use crate::acpi::{TableError, array_at, check_madt, u32_at};
use crate::cpus::MadtCpu;
use crate::isa_irq::{IoApic, Override};
use crate::layout::madt;

const KIND_LOCAL_APIC: u8 = 0;
const KIND_IO_APIC: u8 = 1;
const KIND_OVERRIDE: u8 = 2;
const KIND_X2APIC: u8 = 9;

const FLAG_ENABLED: u32 = 1 << 0;
const FLAG_ONLINE_CAPABLE: u32 = 1 << 1;

/// A checked multiple APIC description table.
#[derive(Clone, Copy, Debug)]
pub struct Madt<'a> {
    entries: &'a [u8],
}

impl<'a> Madt<'a> {
    /// Checks the table at the start of `bytes`, and the length of every entry.
    ///
    /// # Errors
    /// The first error.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, TableError> {
        check_madt(bytes)?;
        let length = u32_at(bytes, 4) as usize;
        Ok(Self { entries: &bytes[madt::HEADER_BYTES..length] })
    }

    /// Returns the CPUs, enabled or not, in the table's order.
    pub fn cpus(self) -> impl Iterator<Item = MadtCpu> + 'a {
        let cpu = |apic_id, flags: u32, x2apic| MadtCpu {
            apic_id,
            enabled: flags & FLAG_ENABLED != 0,
            online_capable: flags & FLAG_ONLINE_CAPABLE != 0,
            x2apic,
        };
        self.entries().filter_map(move |entry| match entry[0] {
            KIND_LOCAL_APIC => {
                Some(cpu(entry[madt::LOCAL_APIC_ID].into(), u32_at(entry, madt::LOCAL_APIC_FLAGS), false))
            }
            KIND_X2APIC => Some(cpu(u32_at(entry, madt::X2APIC_ID), u32_at(entry, madt::X2APIC_FLAGS), true)),
            _ => None,
        })
    }

    /// Returns the I/O APICs in the table's order.
    pub fn io_apics(self) -> impl Iterator<Item = IoApic> + 'a {
        self.entries().filter(|entry| entry[0] == KIND_IO_APIC).map(|entry| IoApic {
            address: u32_at(entry, madt::IO_APIC_ADDRESS),
            first_gsi: u32_at(entry, madt::IO_APIC_FIRST_GSI),
        })
    }

    /// Returns the interrupt source overrides in the table's order.
    pub fn overrides(self) -> impl Iterator<Item = Override> + 'a {
        self.entries().filter(|entry| entry[0] == KIND_OVERRIDE).map(|entry| Override {
            bus: entry[madt::OVERRIDE_BUS],
            irq: entry[madt::OVERRIDE_IRQ],
            gsi: u32_at(entry, madt::OVERRIDE_GSI),
            flags: u16::from_le_bytes(array_at(entry, madt::OVERRIDE_FLAGS)),
        })
    }

    /// Returns the entries, each as long as its type needs.
    fn entries(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self.entries;
        core::iter::from_fn(move || {
            let (entry, after) = rest.split_at_checked(usize::from(*rest.get(1)?))?;
            rest = after;
            Some(entry)
        })
    }
}
