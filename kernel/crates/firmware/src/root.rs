//! From the root pointer to every ACPI table.
//!
//! The rules are ACPICA's, which real firmware needs. Revisions below 2 have an RSDT alone, an XSDT address of 0 means the
//! RSDT, and null entries are skipped. In addition, the other root table replaces a damaged one, and a search replaces a
//! wrong root pointer of the loader.

use core::fmt;

use crate::acpi::{
    RSDP_V1_BYTES, RSDP_V2_BYTES, RsdpInfo, SDT_HEADER_BYTES, TableError, array_at, check_rsdp, check_sdt,
    u32_at,
};
use crate::reach::{PhysicalMemory, ebda};

/// Longest table that is accepted.
const MAX_TABLE_BYTES: u32 = 1 << 20;
/// Area besides the EBDA where PC firmware may keep the root pointer.
const BIOS_AREA: core::ops::Range<u64> = 0xe_0000..0x10_0000;
/// Alignment of root pointers.
const SEARCH_STEP: usize = 16;

/// Error: a table cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Neither the loader nor a search found a root pointer.
    NoRootPointer,
    /// A table's address is out of reach: no table can be there.
    OutOfReach {
        /// The table.
        table: TableName,
        /// Its physical address.
        address: u64,
    },
    /// A table is damaged.
    Damaged {
        /// The table.
        table: TableName,
        /// Its damage.
        error: TableError,
    },
    /// A table is missing.
    Missing(TableName),
    /// Entries of a root table lead to where no table can be.
    Unreachable {
        /// The root table.
        table: TableName,
        /// Number of these entries.
        count: usize,
    },
}

/// Name of a table in messages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TableName {
    /// The root pointer.
    RootPointer,
    /// A table with this signature.
    Signature([u8; 4]),
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RootPointer => write!(f, "root pointer"),
            // Their usual names.
            Self::Signature(signature) => match signature {
                b"APIC" => write!(f, "MADT"),
                b"FACP" => write!(f, "FADT"),
                _ => write!(f, "{}", signature.escape_ascii()),
            },
        }
    }
}

impl fmt::Debug for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRootPointer => write!(f, "no root pointer found"),
            Self::OutOfReach { table, address } => {
                write!(f, "the {table} at {address:#x} is where no tables can be")
            }
            Self::Damaged { table, error } => write!(f, "{table}: {error}"),
            Self::Missing(table) => write!(f, "there is no {table}"),
            Self::Unreachable { table, count } => {
                write!(f, "{table}: {count} entries lead to where no tables can be")
            }
        }
    }
}

impl core::error::Error for Problem {}

/// Problems on the way to the root table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RootReport {
    /// Problem of the loader's root pointer, which is not used.
    pub named: Option<Problem>,
    /// Problem of the XSDT, for which the RSDT is used.
    pub xsdt: Option<Problem>,
}

/// All tables to which a sound root table leads.
#[derive(Clone, Copy)]
pub struct Tables<'a, M> {
    memory: M,
    root: Root<'a>,
    /// The RSDT beside an XSDT.
    second: Option<Root<'a>>,
}

/// Most entries of a root table that are read; real machines have some dozens. Bounded because each may lead to a long,
/// damaged table, which is summed up each time.
const MOST_ENTRIES: usize = 4096;

/// A sound root table.
#[derive(Clone, Copy)]
struct Root<'a> {
    name: TableName,
    entries: &'a [u8],
    entry_bytes: usize,
}

impl Root<'_> {
    /// Returns the addresses of the tables, without null entries.
    fn addresses(&self) -> impl Iterator<Item = u64> + '_ {
        let address = |entry: &[u8]| entry.iter().rev().fold(0, |high, byte| high << 8 | u64::from(*byte));
        let entries = self.entries.chunks_exact(self.entry_bytes).take(MOST_ENTRIES);
        entries.map(address).filter(|address| *address != 0)
    }
}

impl<'a, M: PhysicalMemory<'a>> Tables<'a, M> {
    /// Finds the tables: by the loader's root pointer `named`, else by a search in the EBDA's first KiB and the BIOS area.
    ///
    /// # Errors
    /// The problem of the loader's root pointer, if it named one; else of the first that was found.
    pub fn find(memory: M, named: Option<u64>) -> Result<(Self, RootReport), Problem> {
        let by_name = named.map(|address| Self::from_rsdp(memory, address));
        let named_problem = match by_name {
            Some(Ok(found)) => return Ok(found),
            Some(Err(problem)) => Some(problem),
            None => None,
        };
        let mut first_problem = named_problem;
        for area in [ebda(memory), Some(BIOS_AREA)].into_iter().flatten() {
            for address in area.step_by(SEARCH_STEP) {
                if !is_rsdp(memory, address) {
                    continue;
                }
                match Self::from_rsdp(memory, address) {
                    Ok((tables, report)) => {
                        return Ok((tables, RootReport { named: named_problem, ..report }));
                    }
                    Err(problem) => {
                        first_problem.get_or_insert(problem);
                    }
                }
            }
        }
        Err(first_problem.unwrap_or(Problem::NoRootPointer))
    }

    fn from_rsdp(memory: M, address: u64) -> Result<(Self, RootReport), Problem> {
        let info = read_rsdp(memory, address)?;
        let xsdt = info.xsdt.map(|address| read_root(memory, address, *b"XSDT", 8));
        let rsdt = (info.rsdt != 0).then(|| read_root(memory, info.rsdt.into(), *b"RSDT", 4));
        let (root, second, xsdt_problem) = match (xsdt, rsdt) {
            (Some(Ok(xsdt)), rsdt) => (xsdt, rsdt.and_then(Result::ok), None),
            (Some(Err(problem)), Some(Ok(rsdt))) => (rsdt, None, Some(problem)),
            (Some(Err(problem)), _) => return Err(problem),
            (None, Some(rsdt)) => (rsdt?, None, None),
            (None, None) => {
                return Err(Problem::Damaged {
                    table: TableName::RootPointer,
                    error: TableError::NoRootTable,
                });
            }
        };
        Ok((Self { memory, root, second }, RootReport { named: None, xsdt: xsdt_problem }))
    }

    /// Returns the first sound table with this signature, whole. The RSDT's tables follow the XSDT's.
    ///
    /// # Errors
    /// The problem of the first such table if none is sound, or [`Problem::Missing`].
    pub fn find_table(&self, signature: [u8; 4]) -> Result<&'a [u8], Problem> {
        let mut first_problem = None;
        for root in [Some(self.root), self.second].into_iter().flatten() {
            for address in root.addresses() {
                match self.table_if_signed(address, signature) {
                    Some(Ok(table)) => return Ok(table),
                    Some(Err(problem)) => {
                        first_problem.get_or_insert(problem);
                    }
                    None => {}
                }
            }
        }
        Err(first_problem.unwrap_or(Problem::Missing(TableName::Signature(signature))))
    }

    /// Returns all sound tables with this signature, in the root table's order.
    pub fn all(&self, signature: [u8; 4]) -> impl Iterator<Item = &'a [u8]> + '_ {
        self.root.addresses().filter_map(move |address| self.table_if_signed(address, signature)?.ok())
    }

    /// Returns a problem if entries of the root table lead to where no table can be.
    #[must_use]
    pub fn unreachable(&self) -> Option<Problem> {
        let is_out_of_reach = |address: &u64| self.memory.bytes(*address, SDT_HEADER_BYTES as u64).is_none();
        let count = self.root.addresses().filter(is_out_of_reach).count();
        (count > 0).then_some(Problem::Unreachable { table: self.root.name, count })
    }

    fn table_if_signed(&self, address: u64, signature: [u8; 4]) -> Option<Result<&'a [u8], Problem>> {
        let found = self.memory.bytes(address, 4)?;
        (found == signature).then(|| read_table(self.memory, address, signature))
    }
}

/// Returns the whole table at `address` if it is sound and has this signature.
///
/// # Errors
/// The first error.
pub fn read_table<'a>(
    memory: impl PhysicalMemory<'a>,
    address: u64,
    signature: [u8; 4],
) -> Result<&'a [u8], Problem> {
    let table = TableName::Signature(signature);
    let damaged = |error| Problem::Damaged { table, error };
    let out_of_reach = Problem::OutOfReach { table, address };
    let header = memory.bytes(address, SDT_HEADER_BYTES as u64).ok_or(out_of_reach)?;
    let found = array_at(header, 0);
    if found != signature {
        return Err(damaged(TableError::Signature { found, expected: signature }));
    }
    let length = u32_at(header, 4);
    if length > MAX_TABLE_BYTES {
        return Err(damaged(TableError::LengthTooLarge { length, available: MAX_TABLE_BYTES as usize }));
    }
    // `check_sdt` refuses a length below the header's.
    let bytes = memory.bytes(address, u64::from(length).max(SDT_HEADER_BYTES as u64)).ok_or(out_of_reach)?;
    check_sdt(bytes, Some(signature)).map_err(damaged)?;
    Ok(bytes)
}

fn read_root<'a>(
    memory: impl PhysicalMemory<'a>,
    address: u64,
    signature: [u8; 4],
    entry_bytes: usize,
) -> Result<Root<'a>, Problem> {
    let table = read_table(memory, address, signature)?;
    Ok(Root { name: TableName::Signature(signature), entries: &table[SDT_HEADER_BYTES..], entry_bytes })
}

fn is_rsdp<'a>(memory: impl PhysicalMemory<'a>, address: u64) -> bool {
    read_rsdp(memory, address).is_ok()
}

fn read_rsdp<'a>(memory: impl PhysicalMemory<'a>, address: u64) -> Result<RsdpInfo, Problem> {
    let table = TableName::RootPointer;
    // Readable memory may end right after a pointer of ACPI 1.0.
    let bytes = memory
        .bytes(address, RSDP_V2_BYTES as u64)
        .or_else(|| memory.bytes(address, RSDP_V1_BYTES as u64))
        .ok_or(Problem::OutOfReach { table, address })?;
    check_rsdp(bytes).map_err(|error| Problem::Damaged { table, error })
}
