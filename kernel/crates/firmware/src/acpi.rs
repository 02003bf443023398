//! Checks on ACPI tables as byte slices, before a parser walks them by pointer.
//!
//! Parsers that turn table addresses into structures believe the lengths they
//! find: an entry of length 0 makes such a walk endless, a table shorter than
//! its own header makes its length wrap. What passes here has neither. Layouts
//! are those of the ACPI specification 6.5: 5.2.5.3 (RSDP), 5.2.6 (table
//! header), 5.2.12 (MADT), 7.4.2 (`_S5_`), 20.2 (AML encoding).

use core::fmt;

/// Bytes of the RSDP in ACPI 1.0.
pub(crate) const RSDP_V1_BYTES: usize = 20;
/// Bytes of the RSDP since ACPI 2.0.
pub(crate) const RSDP_V2_BYTES: usize = 36;
/// Revision of the RSDP that has the address of an XSDT.
const RSDP_V2_REVISION: u8 = 2;
const RSDP_SIGNATURE: &[u8; 8] = b"RSD PTR ";

/// Bytes of the header that every system description table begins with.
pub const SDT_HEADER_BYTES: usize = 36;

/// Bytes of the MADT before its first entry.
const MADT_HEADER_BYTES: usize = 44;
/// An entry's type and length.
pub(crate) const ENTRY_HEADER_BYTES: u8 = 2;

/// What is wrong with a table. Lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableError {
    /// There are fewer bytes than the table's fixed part has.
    Truncated {
        /// Bytes that are there.
        available: usize,
        /// Bytes that the fixed part needs.
        needed: usize,
    },
    /// The signature is not the one that should be there.
    Signature {
        /// The first four bytes found.
        found: [u8; 4],
        /// The first four bytes expected.
        expected: [u8; 4],
    },
    /// The length field is less than the table's fixed part.
    LengthTooSmall {
        /// What the length field says.
        length: u32,
        /// The least it may say.
        least: u32,
    },
    /// The length field reaches beyond the bytes that are there.
    LengthTooLarge {
        /// What the length field says.
        length: u32,
        /// Bytes that are there.
        available: usize,
    },
    /// The bytes do not add up to 0.
    Checksum {
        /// What they add up to, modulo 256.
        sum: u8,
    },
    /// The table points to nothing.
    NoRootTable,
    /// An entry of the table is shorter than entries of its type are, or than
    /// an entry's own header.
    EntryTooShort {
        /// Where in the table the entry begins.
        offset: usize,
        /// The entry's type.
        kind: u8,
        /// What the entry's length field says.
        length: u8,
        /// The least that it may say.
        least: u8,
    },
    /// An entry reaches beyond the end of the table.
    EntryBeyondTable {
        /// Where in the table the entry begins.
        offset: usize,
        /// The entry's type.
        kind: u8,
        /// What the entry's length field says.
        length: u8,
        /// Bytes from the entry's start to the end of the table.
        available: usize,
    },
    /// A distance table is for more localities than it has bytes for.
    MatrixBeyondTable {
        /// Localities that the table says it is for.
        localities: u64,
        /// Bytes that are left for their distances.
        available: usize,
    },
    /// A distance that cannot be: 10 is what a locality is from itself, and
    /// nothing else is as near.
    Distance {
        /// Locality from which.
        from: usize,
        /// Locality to which.
        to: usize,
        /// What the table says.
        value: u8,
    },
    /// The table ends in bytes that are too few for an entry's header.
    TrailingBytes {
        /// Where in the table they begin.
        offset: usize,
        /// How many there are.
        count: usize,
    },
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Truncated { available, needed } => {
                write!(f, "table of {available} bytes, at least {needed} needed")
            }
            Self::Signature { found, expected } => {
                write!(f, "signature \"{}\", should be \"{}\"", found.escape_ascii(), expected.escape_ascii())
            }
            Self::LengthTooSmall { length, least } => {
                write!(f, "length field says {length} bytes, at least {least} needed")
            }
            Self::LengthTooLarge { length, available } => {
                write!(f, "length field says {length} bytes, at most {available} are there")
            }
            Self::Checksum { sum } => write!(f, "bytes add up to {sum:#04x}, should be 0x00"),
            Self::NoRootTable => write!(f, "addresses of RSDT and XSDT are both 0, one is needed"),
            Self::EntryTooShort { offset, kind, length, least } => write!(
                f,
                "entry of type {kind:#04x} at offset {offset} says length {length}, at least {least} needed"
            ),
            Self::EntryBeyondTable { offset, kind, length, available } => write!(
                f,
                "entry of type {kind:#04x} at offset {offset} says length {length}, at most {available} are left in the table"
            ),
            Self::MatrixBeyondTable { localities, available } => write!(
                f,
                "distances of {localities} localities, which are {localities} times as many bytes; {available} are there"
            ),
            Self::Distance { from, to, value } => write!(
                f,
                "distance {value} from locality {from} to {to}, should be {}",
                if from == to { "10" } else { "11 to 255" }
            ),
            Self::TrailingBytes { offset, count } => {
                write!(f, "{count} bytes at offset {offset} after the last entry, should be none")
            }
        }
    }
}

impl core::error::Error for TableError {}

/// What a checked RSDP says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RsdpInfo {
    /// 0 for ACPI 1.0, 2 since; some firmware says 1 and means 0.
    pub revision: u8,
    /// Physical address of the RSDT; 0 when there is none.
    pub rsdt: u32,
    /// Physical address of the XSDT, where there is one.
    pub xsdt: Option<u64>,
    /// Bytes of the RSDP itself.
    pub length: u32,
}

/// What a checked table header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SdtInfo {
    /// The table's name.
    pub signature: [u8; 4],
    /// Bytes of the whole table, header included.
    pub length: u32,
    /// Revision of the table's layout.
    pub revision: u8,
}

/// Checks a root system description pointer: signature, length, both checksums.
///
/// Fields beyond those of ACPI 1.0 count from revision 2 on, as in ACPICA.
/// `bytes` begins with the RSDP and may be longer; 36 bytes are enough for
/// every revision, 20 below revision 2.
///
/// # Errors
/// Whatever is wrong first.
pub fn check_rsdp(bytes: &[u8]) -> Result<RsdpInfo, TableError> {
    let v1 = fixed_part(bytes, RSDP_V1_BYTES)?;
    if v1[..8] != *RSDP_SIGNATURE {
        return Err(TableError::Signature { found: array_at(v1, 0), expected: array_at(RSDP_SIGNATURE, 0) });
    }
    check_sum(v1)?;
    let revision = v1[15];
    let rsdt = u32_at(v1, 16);
    let (length, xsdt) = if revision < RSDP_V2_REVISION {
        (RSDP_V1_BYTES as u32, 0)
    } else {
        // Whatever its length field says: firmware exists that leaves it at 20, or at 0, and ACPICA does not look at it.
        let v2 = fixed_part(bytes, RSDP_V2_BYTES)?;
        check_sum(v2)?;
        (RSDP_V2_BYTES as u32, u64::from_le_bytes(array_at(v2, 24)))
    };
    let xsdt = (xsdt != 0).then_some(xsdt);
    if rsdt == 0 && xsdt.is_none() {
        return Err(TableError::NoRootTable);
    }
    Ok(RsdpInfo { revision, rsdt, xsdt, length })
}

/// Checks a system description table: signature (when one is expected),
/// length and checksum.
///
/// `bytes` begins with the table and may be longer.
///
/// # Errors
/// Whatever is wrong first. [`TableError::LengthTooLarge`] says how many bytes
/// to map for another try.
pub fn check_sdt(bytes: &[u8], expected_signature: Option<[u8; 4]>) -> Result<SdtInfo, TableError> {
    let header = fixed_part(bytes, SDT_HEADER_BYTES)?;
    let signature = array_at(header, 0);
    if let Some(expected) = expected_signature
        && signature != expected
    {
        return Err(TableError::Signature { found: signature, expected });
    }
    let length = u32_at(header, 4);
    check_sum(sized_part(bytes, length, SDT_HEADER_BYTES)?)?;
    Ok(SdtInfo { signature, length, revision: header[8] })
}

/// Checks a multiple APIC description table and every entry's length, so that
/// walking it ends, stays inside, and finds whole structures.
///
/// `bytes` begins with the table and may be longer. Entries of unknown type are
/// allowed; they need only a length that keeps the walk going.
///
/// # Errors
/// Whatever is wrong first.
pub fn check_madt(bytes: &[u8]) -> Result<(), TableError> {
    let length = check_sdt(bytes, Some(*b"APIC"))?.length;
    let table = sized_part(bytes, length, MADT_HEADER_BYTES)?;
    check_entries(table, MADT_HEADER_BYTES, least_madt_entry_bytes)
}

/// Checks the entries of `table` from `offset` to its end, each of which begins
/// with a byte for its type and one for its length. `least_bytes` says how
/// long an entry of a type is at least; 2 or more.
pub(crate) fn check_entries(
    table: &[u8],
    mut offset: usize,
    least_bytes: fn(u8) -> u8,
) -> Result<(), TableError> {
    while offset < table.len() {
        offset += check_entry(table, offset, least_bytes)?;
    }
    Ok(())
}

/// Checks the entry at `offset` and returns its length in bytes, 2 or more.
fn check_entry(table: &[u8], offset: usize, least_bytes: fn(u8) -> u8) -> Result<usize, TableError> {
    let rest = &table[offset..];
    let &[kind, length, ..] = rest else {
        return Err(TableError::TrailingBytes { offset, count: rest.len() });
    };
    let least = least_bytes(kind);
    if length < least {
        return Err(TableError::EntryTooShort { offset, kind, length, least });
    }
    if usize::from(length) > rest.len() {
        return Err(TableError::EntryBeyondTable { offset, kind, length, available: rest.len() });
    }
    Ok(usize::from(length))
}

/// Bytes that an entry of type `kind` has at least.
///
/// The SAPIC and GIC structures do not belong on x86, but a parser that knows
/// them would read them whole, so they are held to their size as well.
const fn least_madt_entry_bytes(kind: u8) -> u8 {
    match kind {
        0x00 => 8,         // local APIC
        0x01 => 12,        // I/O APIC
        0x02 => 10,        // interrupt source override
        0x03 => 8,         // NMI source
        0x04 => 6,         // local APIC NMI
        0x05 => 12,        // local APIC address override
        0x06 => 16,        // I/O SAPIC
        0x07 => 17,        // local SAPIC, its string's terminator included
        0x08 => 16,        // platform interrupt source
        0x09 => 16,        // local x2APIC
        0x0a => 12,        // local x2APIC NMI
        0x0b => 82,        // GIC CPU interface
        0x0c | 0x0d => 24, // GIC distributor, GIC MSI frame
        0x0e => 16,        // GIC redistributor
        0x0f => 20,        // GIC interrupt translation service
        0x10 => 16,        // multiprocessor wakeup
        _ => ENTRY_HEADER_BYTES,
    }
}

/// Finds what to write to the sleep type fields of PM1a and PM1b to power off:
/// the first two elements of the `\_S5` package.
///
/// `dsdt` is the table's AML, with or without its header. The bytes are
/// searched for the name's definition, as running AML for two numbers is not
/// worth an interpreter; the search knows every encoding of an integer
/// constant. `None` when there is no such package or a value is no 3-bit
/// number.
#[must_use]
pub fn sleep_state_s5(dsdt: &[u8]) -> Option<(u8, u8)> {
    const NAME: &[u8; 4] = b"_S5_";
    dsdt.windows(NAME.len())
        .enumerate()
        .filter(|&(at, name)| name == NAME && is_named(&dsdt[..at]))
        .find_map(|(at, _)| sleep_package(&dsdt[at + NAME.len()..]))
}

/// Whether the AML before a name segment makes it a definition in the root.
fn is_named(before: &[u8]) -> bool {
    const NAME_OP: u8 = 0x08;
    matches!(before, [.., NAME_OP] | [.., NAME_OP, b'\\'])
}

/// Reads `DefPackage := 0x12 PkgLength NumElements element*` and makes sleep
/// types of its first elements.
fn sleep_package(aml: &[u8]) -> Option<(u8, u8)> {
    const PACKAGE_OP: u8 = 0x12;
    const SLEEP_TYPE_MAX: u64 = 7;
    let body = match aml {
        [PACKAGE_OP, rest @ ..] => package_body(rest)?,
        _ => return None,
    };
    let (&element_count, elements) = body.split_first()?;
    let (first, elements) = integer(elements)?;
    let (a, b) = if element_count >= 2 {
        (first, integer(elements)?.0)
    } else {
        // Both packed into one integer, as some firmware of the ACPI 1.0 days
        // does.
        (first & 0xff, first >> 8)
    };
    let sleep_type = |value: u64| (value <= SLEEP_TYPE_MAX).then_some(value as u8);
    Some((sleep_type(a)?, sleep_type(b)?))
}

/// Cuts `aml` to the length that its leading PkgLength says, and off that.
///
/// The top two bits of the first byte say how many bytes follow it; they add 8
/// bits each to its low 4, and alone it has 6 bits of its own.
fn package_body(aml: &[u8]) -> Option<&[u8]> {
    let (&lead, rest) = aml.split_first()?;
    let extra_bytes = usize::from(lead >> 6);
    let length = if extra_bytes == 0 {
        usize::from(lead & 0x3f)
    } else {
        rest.get(..extra_bytes)?.iter().rev().fold(0, |high, &byte| high << 8 | usize::from(byte)) << 4
            | usize::from(lead & 0x0f)
    };
    aml.get(1 + extra_bytes..length)
}

/// Reads an integer constant; returns it and what follows.
fn integer(aml: &[u8]) -> Option<(u64, &[u8])> {
    let (&op, rest) = aml.split_first()?;
    let bytes = match op {
        0x00 => return Some((0, rest)),        // ZeroOp
        0x01 => return Some((1, rest)),        // OneOp
        0xff => return Some((u64::MAX, rest)), // OnesOp
        0x0a => 1,                             // BytePrefix
        0x0b => 2,                             // WordPrefix
        0x0c => 4,                             // DWordPrefix
        0x0e => 8,                             // QWordPrefix
        _ => return None,
    };
    let (digits, rest) = rest.split_at_checked(bytes)?;
    let value = digits.iter().rev().fold(0, |high, &byte| high << 8 | u64::from(byte));
    Some((value, rest))
}

/// The first `needed` bytes.
fn fixed_part(bytes: &[u8], needed: usize) -> Result<&[u8], TableError> {
    bytes.get(..needed).ok_or(TableError::Truncated { available: bytes.len(), needed })
}

/// The first `length` bytes, `least` or more.
pub(crate) fn sized_part(bytes: &[u8], length: u32, least: usize) -> Result<&[u8], TableError> {
    if (length as usize) < least {
        return Err(TableError::LengthTooSmall { length, least: least as u32 });
    }
    bytes.get(..length as usize).ok_or(TableError::LengthTooLarge { length, available: bytes.len() })
}

fn check_sum(bytes: &[u8]) -> Result<(), TableError> {
    match bytes.iter().fold(0, |sum: u8, &byte| sum.wrapping_add(byte)) {
        0 => Ok(()),
        sum => Err(TableError::Checksum { sum }),
    }
}

/// `N` bytes from `offset`. The callers have checked that they are there.
pub(crate) fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[offset..offset + N]);
    array
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, offset))
}
