//! What can be wrong with an ACPI table.

use core::fmt;

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
