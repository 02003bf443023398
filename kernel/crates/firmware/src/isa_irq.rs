//! Where an interrupt of the old ISA bus arrives: at which I/O APIC, at which
//! of its pins, and how it is signalled there.
//!
//! ISA interrupt *n* is global interrupt *n* unless the MADT has an override for
//! it. Nothing of the answer is known to work: whoever uses it has to see an
//! interrupt come before relying on it.

use core::fmt;

use crate::PAGE_BYTES;
use crate::memmap::{Kind, MemoryMap};

/// An I/O APIC as a MADT entry of type 1 tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApic {
    /// Physical address of its registers.
    pub address: u32,
    /// Global interrupt of its first pin.
    pub first_gsi: u32,
}

/// An interrupt source override: a MADT entry of type 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// The bus; 0 is ISA.
    pub bus: u8,
    /// The bus's number of the interrupt.
    pub irq: u8,
    /// The global interrupt that it is.
    pub gsi: u32,
    /// Polarity in bits 0 and 1, trigger mode in bits 2 and 3.
    pub flags: u16,
}

/// Where an interrupt arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Physical address of the I/O APIC's registers.
    pub io_apic: u32,
    /// The I/O APIC's pin.
    pub pin: u8,
    /// Whether a low level means that there is an interrupt.
    pub is_active_low: bool,
    /// Whether it is signalled by a level, not by an edge.
    pub is_level: bool,
}

/// Why there is no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// No I/O APIC has a pin for the global interrupt.
    NoIoApic {
        /// The global interrupt.
        gsi: u32,
        /// I/O APICs in the table.
        io_apics: usize,
    },
    /// The I/O APIC's registers cannot be where the table says.
    BadAddress {
        /// The address in the table.
        address: u32,
    },
    /// Flags that the specification reserves.
    BadFlags {
        /// The flags in the table.
        flags: u16,
    },
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoIoApic { gsi, io_apics } => {
                write!(f, "none of {io_apics} i/o apics has global interrupt {gsi}")
            }
            Self::BadAddress { address } => {
                write!(
                    f,
                    "the i/o apic's registers at {address:#x} are in memory, or not 16-aligned in one page"
                )
            }
            Self::BadFlags { flags } => {
                write!(
                    f,
                    "flags {flags:#x} of an interrupt source override, bits 0-1 and 2-3 should be 0, 1 or 3"
                )
            }
        }
    }
}

/// Pins that an I/O APIC can have.
const MAX_PINS: u32 = 240;
/// From the register that selects to the last byte of the one that is selected.
const REGISTERS_BYTES: u64 = 0x14;
const BUS_ISA: u8 = 0;

/// Finds where ISA interrupt `irq` arrives. Of entries that contradict each
/// other the first counts.
///
/// # Errors
/// Whatever makes it impossible.
pub fn route(
    irq: u8,
    io_apics: impl Iterator<Item = IoApic>,
    overrides: impl Iterator<Item = Override>,
    map: &MemoryMap,
) -> Result<Route, RouteError> {
    route_signalled(irq.into(), (false, false), io_apics, overrides, map)
}

/// Finds where the system control interrupt (SCI) arrives, by the FADT's number for it. Unless an override says
/// otherwise it is signalled by a low level, and beyond the ISA bus its number is that of a global interrupt.
///
/// # Errors
/// Whatever makes it impossible.
pub fn route_sci(
    sci: u16,
    io_apics: impl Iterator<Item = IoApic>,
    overrides: impl Iterator<Item = Override>,
    map: &MemoryMap,
) -> Result<Route, RouteError> {
    route_signalled(sci, (true, true), io_apics, overrides, map)
}

/// As [`route`]; `usual` says whether the signal is active low and a level where no override tells.
fn route_signalled(
    irq: u16,
    usual: (bool, bool),
    io_apics: impl Iterator<Item = IoApic>,
    mut overrides: impl Iterator<Item = Override>,
    map: &MemoryMap,
) -> Result<Route, RouteError> {
    let found = overrides.find(|entry| entry.bus == BUS_ISA && u16::from(entry.irq) == irq);
    let (gsi, flags) = found.map_or((u32::from(irq), 0), |entry| (entry.gsi, entry.flags));
    let (is_active_low, is_level) = signalling(flags, usual)?;
    let pin_at = |io_apic: &IoApic| gsi.checked_sub(io_apic.first_gsi).filter(|pin| *pin < MAX_PINS);
    let mut count = 0;
    let nearest = io_apics
        .inspect(|_| count += 1)
        .filter_map(|io_apic| Some((pin_at(&io_apic)?, io_apic.address)))
        .min_by_key(|(pin, _)| *pin);
    let (pin, address) = nearest.ok_or(RouteError::NoIoApic { gsi, io_apics: count })?;
    if !may_be_registers(address, map) {
        return Err(RouteError::BadAddress { address });
    }
    Ok(Route { io_apic: address, pin: pin as u8, is_active_low, is_level })
}

/// Whether the signal is active low, and whether it is a level. 0 means what is
/// usual: high edges on ISA.
fn signalling(flags: u16, usual: (bool, bool)) -> Result<(bool, bool), RouteError> {
    let is_inverted = |bits: u16, usual: bool| match bits & 0b11 {
        0 => Some(usual),
        1 => Some(false),
        3 => Some(true),
        _ => None,
    };
    match (is_inverted(flags, usual.0), is_inverted(flags >> 2, usual.1)) {
        (Some(is_active_low), Some(is_level)) => Ok((is_active_low, is_level)),
        _ => Err(RouteError::BadFlags { flags }),
    }
}

/// Whether an I/O APIC's registers can be at `address`: not in memory, all in one page.
#[must_use]
pub fn may_be_registers(address: u32, map: &MemoryMap) -> bool {
    let (start, end) = (u64::from(address), u64::from(address) + REGISTERS_BYTES);
    let is_memory = |kind| matches!(kind, Kind::Usable | Kind::AcpiReclaimable | Kind::AcpiNvs);
    let overlaps =
        map.regions().iter().any(|region| is_memory(region.kind) && region.start < end && start < region.end);
    address != 0 && address.is_multiple_of(16) && start / PAGE_BYTES == (end - 1) / PAGE_BYTES && !overlaps
}
