//! MP tables: CPUs and interrupts of machines without ACPI.
//!
//! Layouts are those of Intel's MultiProcessor Specification 1.4: 4.1 (floating pointer), 4.2 (configuration table header),
//! 4.3 (entries), 5 (default configurations). They are the last resort: a sound MADT takes precedence.

use core::fmt;

use crate::acpi::{array_at, u32_at};
use crate::cpus::MadtCpu;
use crate::isa_irq::{IoApic, Override};
use crate::reach::{PhysicalMemory, base_memory_end, ebda};

const POINTER_SIGNATURE: &[u8; 4] = b"_MP_";
const POINTER_BYTES: usize = 16;
const TABLE_SIGNATURE: &[u8; 4] = b"PCMP";
const TABLE_HEADER_BYTES: usize = 44;
/// Area of the pointer besides the EBDA and the end of base memory.
const BIOS_AREA: core::ops::Range<u64> = 0xf_0000..0x10_0000;
/// Last KiB of base memory if no BIOS has written its size.
const USUAL_BASE_END: core::ops::Range<u64> = 639 << 10..640 << 10;

const KIND_PROCESSOR: u8 = 0;
const KIND_BUS: u8 = 1;
const KIND_IO_APIC: u8 = 2;
const KIND_INTERRUPT: u8 = 3;
const KIND_LOCAL_INTERRUPT: u8 = 4;
const PROCESSOR_BYTES: usize = 20;
const OTHER_BYTES: usize = 8;

const FLAG_ENABLED: u8 = 1 << 0;
const FLAG_BOOT_CPU: u8 = 1 << 1;
/// Type of interrupts with a vector, unlike NMI, SMI and the 8259's.
const VECTORED: u8 = 0;
/// Destination of an interrupt: all I/O APICs.
const EVERY_IO_APIC: u8 = 0xff;

/// Address of the I/O APIC in the default configurations.
const DEFAULT_IO_APIC: u32 = 0xfec0_0000;
/// The highest number of a default configuration.
const LAST_DEFAULT: u8 = 7;

/// Distance of the first global interrupts of two I/O APICs: MP tables number pins by I/O APIC, and no I/O APIC has as many.
const GSI_STRIDE: u32 = 256;

/// Error of MP tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MpError {
    /// No floating pointer was found.
    NoPointer,
    /// The configuration table's address is where no table can be.
    OutOfReach {
        /// Its physical address.
        address: u32,
    },
    /// The configuration table's signature is not `PCMP`.
    Signature {
        /// The signature found.
        found: [u8; 4],
    },
    /// The length field is less than the header, or more than the available bytes.
    Length {
        /// Value of the length field.
        length: u16,
        /// Available bytes.
        available: usize,
    },
    /// A wrong checksum: the bytes do not add up to 0.
    Checksum {
        /// Their sum modulo 256.
        sum: u8,
    },
    /// A default configuration that the specification does not define.
    UnknownDefault {
        /// Its number.
        number: u8,
    },
    /// An entry of unknown type, and so of unknown length.
    UnknownEntry {
        /// Offset of the entry in the table.
        offset: usize,
        /// The entry's type.
        kind: u8,
    },
    /// The entries do not fit in the table.
    EntryBeyondTable {
        /// Offset of the entry in the table.
        offset: usize,
    },
}

impl fmt::Display for MpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoPointer => write!(f, "none found"),
            Self::OutOfReach { address } => {
                write!(f, "the configuration table at {address:#x} is where no tables can be")
            }
            Self::Signature { found } => {
                write!(f, "signature \"{}\", should be \"PCMP\"", found.escape_ascii())
            }
            Self::Length { length, available } => write!(
                f,
                "length field says {length} bytes, should be {TABLE_HEADER_BYTES} or more; {available} are there"
            ),
            Self::Checksum { sum } => write!(f, "bytes add up to {sum:#04x}, should be 0x00"),
            Self::UnknownDefault { number } => {
                write!(f, "default configuration {number}, should be 1 to {LAST_DEFAULT}")
            }
            Self::UnknownEntry { offset, kind } => {
                write!(f, "entry of type {kind:#04x} at offset {offset}, should be 0x00 to 0x04")
            }
            Self::EntryBeyondTable { offset } => {
                write!(f, "entry at offset {offset} reaches beyond the table")
            }
        }
    }
}

impl core::error::Error for MpError {}

/// Checked MP tables.
#[derive(Clone, Copy, Debug)]
pub enum MpTables<'a> {
    /// A default configuration of the specification, with two CPUs.
    Default,
    /// A configuration table.
    Table(ConfigTable<'a>),
}

/// A checked configuration table.
#[derive(Clone, Copy, Debug)]
pub struct ConfigTable<'a> {
    /// Whole entries of known types.
    entries: &'a [u8],
}

/// Content of a floating pointer.
enum Pointer {
    Table(u32),
    Default(u8),
}

impl<'a> MpTables<'a> {
    /// Finds the tables by the floating pointer, and checks them.
    ///
    /// # Errors
    /// The error of the first tables to which a pointer leads, if none are sound.
    pub fn find(memory: impl PhysicalMemory<'a>) -> Result<Self, MpError> {
        let mut first_error = None;
        let areas = [ebda(memory), base_memory_end(memory), Some(USUAL_BASE_END), Some(BIOS_AREA)];
        for address in areas.into_iter().flatten().flat_map(|area| area.step_by(POINTER_BYTES)) {
            let pointer = memory.bytes(address, POINTER_BYTES as u64).and_then(parse_pointer);
            let Some(pointer) = pointer else { continue };
            match Self::follow(memory, pointer) {
                Ok(tables) => return Ok(tables),
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        Err(first_error.unwrap_or(MpError::NoPointer))
    }

    fn follow(memory: impl PhysicalMemory<'a>, pointer: Pointer) -> Result<Self, MpError> {
        let address = match pointer {
            Pointer::Table(address) => address,
            Pointer::Default(1..=LAST_DEFAULT) => return Ok(Self::Default),
            Pointer::Default(number) => return Err(MpError::UnknownDefault { number }),
        };
        let out_of_reach = MpError::OutOfReach { address };
        let header = memory.bytes(address.into(), TABLE_HEADER_BYTES as u64).ok_or(out_of_reach)?;
        let length = u64::from(u16_at(header, 4)).max(TABLE_HEADER_BYTES as u64);
        let bytes = memory.bytes(address.into(), length).ok_or(out_of_reach)?;
        ConfigTable::parse(bytes).map(Self::Table)
    }

    /// Returns the processors in the table's order.
    pub fn cpus(self) -> impl Iterator<Item = MadtCpu> + 'a {
        let default = [0, 1].map(|apic_id| cpu(apic_id, FLAG_ENABLED));
        self.default_or(default).chain(self.entries(KIND_PROCESSOR).map(|entry| cpu(entry[1], entry[3])))
    }

    /// Returns the APIC id of the boot CPU by the table.
    #[must_use]
    pub fn boot_cpu(self) -> Option<u8> {
        self.entries(KIND_PROCESSOR).find(|entry| entry[3] & FLAG_BOOT_CPU != 0).map(|entry| entry[1])
    }

    /// Returns the usable I/O APICs, with global interrupts in a numbering of this crate.
    pub fn io_apics(self) -> impl Iterator<Item = IoApic> + 'a {
        let default = [IoApic { address: DEFAULT_IO_APIC, first_gsi: 0 }];
        let listed = self
            .usable_io_apics()
            .enumerate()
            .map(|(index, entry)| IoApic { address: u32_at(entry, 4), first_gsi: index as u32 * GSI_STRIDE });
        self.default_or(default).chain(listed)
    }

    /// Returns the routes of ISA interrupts as overrides, with the global interrupts of [`io_apics`](Self::io_apics).
    pub fn overrides(self) -> impl Iterator<Item = Override> + 'a {
        self.entries(KIND_INTERRUPT).filter_map(move |entry| {
            let is_isa = entry[1] == VECTORED && self.is_isa(entry[4]);
            let index = self
                .usable_io_apics()
                .position(|io_apic| entry[6] == EVERY_IO_APIC || io_apic[1] == entry[6])
                .filter(|_| is_isa)?;
            let gsi = index as u32 * GSI_STRIDE + u32::from(entry[7]);
            Some(Override { bus: 0, irq: entry[5], gsi, flags: u16_at(entry, 2) })
        })
    }

    fn usable_io_apics(self) -> impl Iterator<Item = &'a [u8]> {
        self.entries(KIND_IO_APIC).filter(|entry| entry[3] & FLAG_ENABLED != 0)
    }

    /// Returns whether the bus with this id carries ISA interrupts.
    fn is_isa(self, bus: u8) -> bool {
        let is_named = |entry: &[u8]| matches!(&entry[2..8], b"ISA   " | b"EISA  ");
        self.entries(KIND_BUS).find(|entry| entry[1] == bus).is_some_and(is_named)
    }

    /// Returns the entries of one type, whole.
    fn entries(self, kind: u8) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = match self {
            Self::Default => &[],
            Self::Table(table) => table.entries,
        };
        core::iter::from_fn(move || {
            let (entry, after) = rest.split_at_checked(entry_bytes(*rest.first()?)?)?;
            rest = after;
            Some(entry)
        })
        .filter(move |entry| entry[0] == kind)
    }

    /// Returns `default` for a default configuration, nothing for a table.
    fn default_or<T, const N: usize>(self, default: [T; N]) -> impl Iterator<Item = T> {
        let count = if matches!(self, Self::Default) { N } else { 0 };
        default.into_iter().take(count)
    }
}

impl<'a> ConfigTable<'a> {
    /// Checks the configuration table at the start of `bytes`, and every entry. Entries count up to the table's end, as in
    /// Linux: QEMU's firmware for `microvm` announces none and has a dozen.
    ///
    /// # Errors
    /// The first error.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, MpError> {
        let available = bytes.len();
        let header = bytes.get(..TABLE_HEADER_BYTES).ok_or(MpError::Length { length: 0, available })?;
        if header[..4] != *TABLE_SIGNATURE {
            return Err(MpError::Signature { found: array_at(header, 0) });
        }
        let length = u16_at(header, 4);
        let table = bytes
            .get(..usize::from(length))
            .filter(|table| table.len() >= TABLE_HEADER_BYTES)
            .ok_or(MpError::Length { length, available })?;
        check_sum(table).map_err(|sum| MpError::Checksum { sum })?;
        let count = usize::from(u16_at(header, 34));
        let (mut end, mut seen) = (TABLE_HEADER_BYTES, 0);
        while end < table.len() || seen < count {
            match check_entry(table, end) {
                Ok(bytes) => end += bytes,
                Err(error) if seen < count => return Err(error),
                // Filler after the announced entries.
                Err(_) => break,
            }
            seen += 1;
        }
        Ok(Self { entries: &table[TABLE_HEADER_BYTES..end] })
    }
}

/// Checks the entry at `offset` and returns its length in bytes.
fn check_entry(table: &[u8], offset: usize) -> Result<usize, MpError> {
    let kind = *table.get(offset).ok_or(MpError::EntryBeyondTable { offset })?;
    let bytes = entry_bytes(kind).ok_or(MpError::UnknownEntry { offset, kind })?;
    if table.len() - offset < bytes {
        return Err(MpError::EntryBeyondTable { offset });
    }
    Ok(bytes)
}

/// Reads a floating pointer; `None` if `bytes` are not one.
fn parse_pointer(bytes: &[u8]) -> Option<Pointer> {
    let bytes = bytes.get(..POINTER_BYTES)?;
    // The length, in units of 16 bytes, must be 1.
    let is_pointer = bytes[..4] == *POINTER_SIGNATURE && bytes[8] == 1 && check_sum(bytes).is_ok();
    let pointer = match (bytes[11], u32_at(bytes, 4)) {
        (0, 0) => return None,
        (0, address) => Pointer::Table(address),
        (number, _) => Pointer::Default(number),
    };
    is_pointer.then_some(pointer)
}

const fn entry_bytes(kind: u8) -> Option<usize> {
    match kind {
        KIND_PROCESSOR => Some(PROCESSOR_BYTES),
        KIND_BUS | KIND_IO_APIC | KIND_INTERRUPT | KIND_LOCAL_INTERRUPT => Some(OTHER_BYTES),
        _ => None,
    }
}

fn cpu(apic_id: u8, flags: u8) -> MadtCpu {
    MadtCpu {
        apic_id: apic_id.into(),
        enabled: flags & FLAG_ENABLED != 0,
        online_capable: false,
        x2apic: false,
    }
}

fn check_sum(bytes: &[u8]) -> Result<(), u8> {
    match bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte)) {
        0 => Ok(()),
        sum => Err(sum),
    }
}

fn u16_at(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, offset))
}
