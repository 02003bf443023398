//! The machine's I/O APICs, and routes of ISA interrupts: I/O APIC, pin, and signalling.
//!
//! ISA interrupt *n* is global interrupt *n* unless the MADT has an override for it. A route may be wrong: a driver must see
//! an interrupt arrive before it relies on it.

use core::fmt;

use crate::memmap::MemoryMap;
use crate::registers::may_be_at;

/// Most I/O APICs in an [`Interrupts`]. Servers have one for each root bridge, a dozen or two.
pub const MAX_IO_APICS: usize = 64;
/// Most overrides in an [`Interrupts`]; the ISA bus has 16 interrupts.
pub const MAX_OVERRIDES: usize = 64;

/// An I/O APIC: a MADT entry of type 1.
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
    /// Number of the interrupt on the bus.
    pub irq: u8,
    /// Its global interrupt.
    pub gsi: u32,
    /// Polarity in bits 0 and 1, trigger mode in bits 2 and 3.
    pub flags: u16,
}

/// Signalling of an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Whether a low level means that there is an interrupt.
    pub is_active_low: bool,
    /// Whether it is signalled by a level, not by an edge.
    pub is_level: bool,
}

impl Signal {
    /// Default of the ISA bus: rising edges.
    pub const ISA: Self = Self { is_active_low: false, is_level: false };
    /// Default of the PCI bus and of ACPI's system control interrupt: low levels.
    pub const PCI: Self = Self { is_active_low: true, is_level: true };
}

/// Route of an interrupt.
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

/// Error: an interrupt has no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// No I/O APIC has a pin for the global interrupt.
    NoIoApic {
        /// The global interrupt.
        gsi: u32,
        /// I/O APICs in the table.
        io_apics: usize,
    },
    /// The I/O APIC's registers cannot be at the address in the table.
    BadAddress {
        /// The address in the table.
        address: u32,
    },
    /// Reserved values of flags.
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

/// Most pins of an I/O APIC.
const MAX_PINS: u32 = 240;
/// Bytes from the select register to the end of the data register.
const REGISTERS_BYTES: u64 = 0x14;
const REGISTERS_ALIGN: u64 = 16;
const BUS_ISA: u8 = 0;

/// The machine's I/O APICs and interrupt source overrides.
///
/// About 2 KiB: large for a stack.
#[derive(Clone, Debug)]
pub struct Interrupts {
    io_apics: [KnownIoApic; MAX_IO_APICS],
    io_apic_count: usize,
    overrides: [Override; MAX_OVERRIDES],
    override_count: usize,
    left_out: usize,
}

#[derive(Clone, Copy, Debug)]
struct KnownIoApic {
    io_apic: IoApic,
    /// Whether its registers can be at the address in the table.
    is_sound: bool,
}

impl Interrupts {
    /// No I/O APIC and no override.
    pub const NONE: Self = Self {
        io_apics: [KnownIoApic { io_apic: IoApic { address: 0, first_gsi: 0 }, is_sound: false };
            MAX_IO_APICS],
        io_apic_count: 0,
        overrides: [Override { bus: 0, irq: 0, gsi: 0, flags: 0 }; MAX_OVERRIDES],
        override_count: 0,
        left_out: 0,
    };

    /// Collects a table's entries. Repeated entries are skipped; entries that do not fit are counted in
    /// [`left_out`](Self::left_out).
    pub fn collect(
        io_apics: impl IntoIterator<Item = IoApic>,
        overrides: impl IntoIterator<Item = Override>,
        map: &MemoryMap,
    ) -> Self {
        let mut found = Self::NONE;
        for io_apic in io_apics {
            let is_known = found.known().iter().any(|known| known.io_apic == io_apic);
            if is_known {
                continue;
            }
            if found.io_apic_count == MAX_IO_APICS {
                found.left_out += 1;
                continue;
            }
            let is_sound = may_be_at(io_apic.address.into(), REGISTERS_BYTES, REGISTERS_ALIGN, map);
            found.io_apics[found.io_apic_count] = KnownIoApic { io_apic, is_sound };
            found.io_apic_count += 1;
        }
        for entry in overrides {
            let is_known =
                found.overrides().iter().any(|known| (known.bus, known.irq) == (entry.bus, entry.irq));
            if is_known {
                continue;
            }
            if found.override_count == MAX_OVERRIDES {
                found.left_out += 1;
                continue;
            }
            found.overrides[found.override_count] = entry;
            found.override_count += 1;
        }
        found
    }

    /// Returns the I/O APICs whose registers can be at the address in the table, in the table's order. Two may have the same
    /// address.
    pub fn io_apics(&self) -> impl Iterator<Item = IoApic> + '_ {
        self.known().iter().filter(|known| known.is_sound).map(|known| known.io_apic)
    }

    /// Returns the first of the [`io_apics`](Self::io_apics) at each address.
    pub fn distinct_io_apics(&self) -> impl Iterator<Item = IoApic> + '_ {
        let is_first = |(index, io_apic): &(usize, IoApic)| {
            self.io_apics().take(*index).all(|earlier| earlier.address != io_apic.address)
        };
        self.io_apics().enumerate().filter(is_first).map(|(_, io_apic)| io_apic)
    }

    /// Returns the I/O APICs whose registers cannot be at the address in the table.
    pub fn misplaced(&self) -> impl Iterator<Item = IoApic> + '_ {
        self.known().iter().filter(|known| !known.is_sound).map(|known| known.io_apic)
    }

    /// Returns the number of entries that did not fit.
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    /// Returns the route of ISA interrupt `irq`. Of contradicting overrides the first counts. Signalling that an override
    /// leaves to the bus is `usual`.
    ///
    /// # Errors
    /// When there is no route.
    pub fn route_irq(&self, irq: u8, usual: Signal) -> Result<Route, RouteError> {
        let found = self.overrides().iter().find(|entry| entry.bus == BUS_ISA && entry.irq == irq);
        match found {
            Some(entry) => self.route_gsi(entry.gsi, signalling(entry.flags, usual)?),
            None => self.route_gsi(irq.into(), usual),
        }
    }

    /// Returns the route of ACPI's system control interrupt. Its number in the FADT is an ISA interrupt, or a global interrupt
    /// on machines without 8259 controllers.
    ///
    /// # Errors
    /// When there is no route.
    pub fn route_sci(&self, sci: u16) -> Result<Route, RouteError> {
        match u8::try_from(sci) {
            Ok(irq) => self.route_irq(irq, Signal::PCI),
            Err(_) => self.route_gsi(sci.into(), Signal::PCI),
        }
    }

    /// Returns the route of global interrupt `gsi`.
    ///
    /// # Errors
    /// When there is no route.
    pub fn route_gsi(&self, gsi: u32, signal: Signal) -> Result<Route, RouteError> {
        let pin_at =
            |known: &KnownIoApic| gsi.checked_sub(known.io_apic.first_gsi).filter(|pin| *pin < MAX_PINS);
        let nearest = self.known().iter().filter_map(|known| Some((pin_at(known)?, known)));
        let (pin, known) = nearest
            .min_by_key(|(pin, _)| *pin)
            .ok_or(RouteError::NoIoApic { gsi, io_apics: self.io_apic_count })?;
        let address = known.io_apic.address;
        if !known.is_sound {
            return Err(RouteError::BadAddress { address });
        }
        let Signal { is_active_low, is_level } = signal;
        Ok(Route { io_apic: address, pin: pin as u8, is_active_low, is_level })
    }

    fn known(&self) -> &[KnownIoApic] {
        &self.io_apics[..self.io_apic_count]
    }

    fn overrides(&self) -> &[Override] {
        &self.overrides[..self.override_count]
    }
}

/// Returns the signalling by an override's flags; 0 means `usual`.
fn signalling(flags: u16, usual: Signal) -> Result<Signal, RouteError> {
    let is_inverted = |bits: u16, usual: bool| match bits & 0b11 {
        0 => Some(usual),
        1 => Some(false),
        3 => Some(true),
        _ => None,
    };
    match (is_inverted(flags, usual.is_active_low), is_inverted(flags >> 2, usual.is_level)) {
        (Some(is_active_low), Some(is_level)) => Ok(Signal { is_active_low, is_level }),
        _ => Err(RouteError::BadFlags { flags }),
    }
}
