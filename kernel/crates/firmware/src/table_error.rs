//! Errors of ACPI tables.

use core::fmt;

/// Error of a table. Lengths are in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableError {
    /// Fewer bytes than the table's fixed part has.
    Truncated {
        /// Available bytes.
        available: usize,
        /// Bytes of the fixed part.
        needed: usize,
    },
    /// A wrong signature.
    Signature {
        /// The first four bytes found.
        found: [u8; 4],
        /// The first four bytes expected.
        expected: [u8; 4],
    },
    /// The length field is less than the table's fixed part.
    LengthTooSmall {
        /// Value of the length field.
        length: u32,
        /// Its least value.
        least: u32,
    },
    /// The length field reaches beyond the bytes that are there.
    LengthTooLarge {
        /// Value of the length field.
        length: u32,
        /// Available bytes.
        available: usize,
    },
    /// A wrong checksum: the bytes do not add up to 0.
    Checksum {
        /// Their sum modulo 256.
        sum: u8,
    },
    /// The RSDP names neither RSDT nor XSDT.
    NoRootTable,
    /// An entry is shorter than its type requires, or than an entry's header.
    EntryTooShort {
        /// Offset of the entry in the table.
        offset: usize,
        /// The entry's type.
        kind: u8,
        /// Value of the entry's length field.
        length: u8,
        /// Its least value.
        least: u8,
    },
    /// An entry reaches beyond the end of the table.
    EntryBeyondTable {
        /// Offset of the entry in the table.
        offset: usize,
        /// The entry's type.
        kind: u8,
        /// Value of the entry's length field.
        length: u8,
        /// Bytes from the entry's start to the end of the table.
        available: usize,
    },
    /// A distance table has too few bytes for its localities.
    MatrixBeyondTable {
        /// Number of localities by the table.
        localities: u64,
        /// Bytes for distances.
        available: usize,
    },
    /// An impossible distance: a locality's distance from itself is 10, every other is larger.
    Distance {
        /// First locality.
        from: usize,
        /// Second locality.
        to: usize,
        /// Distance in the table.
        value: u8,
    },
    /// The last bytes are too few for an entry's header.
    TrailingBytes {
        /// Offset of these bytes in the table.
        offset: usize,
        /// Number of these bytes.
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
