//! Checks of ACPI tables as byte slices, before a parser walks them.
//!
//! A parser that trusts lengths walks for ever over an entry of length 0, and wraps on a table shorter than its header.
//! These checks refuse both. Layouts are those of the ACPI specification 6.5: 5.2.5.3 (RSDP), 5.2.6 (table header),
//! 5.2.12 (MADT).

use crate::layout;
pub use crate::table_error::TableError;

/// Bytes of the RSDP in ACPI 1.0.
pub(crate) const RSDP_V1_BYTES: usize = 20;
/// Bytes of the RSDP since ACPI 2.0.
pub(crate) const RSDP_V2_BYTES: usize = 36;
/// Revision of the RSDP that has the address of an XSDT.
const RSDP_V2_REVISION: u8 = 2;
const RSDP_SIGNATURE: &[u8; 8] = b"RSD PTR ";

/// Bytes of the header of every system description table.
pub const SDT_HEADER_BYTES: usize = 36;

/// An entry's type and length.
pub(crate) const ENTRY_HEADER_BYTES: u8 = 2;

/// Content of a checked RSDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RsdpInfo {
    /// 0 for ACPI 1.0, 2 for later ones; some firmware has 1 and means 0.
    pub revision: u8,
    /// Physical address of the RSDT; 0 if there is none.
    pub rsdt: u32,
    /// Physical address of the XSDT, if there is one.
    pub xsdt: Option<u64>,
    /// Bytes of the RSDP.
    pub length: u32,
}

/// Content of a checked table header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SdtInfo {
    /// Signature: the table's name.
    pub signature: [u8; 4],
    /// Bytes of the whole table with its header.
    pub length: u32,
    /// Revision of the table's layout.
    pub revision: u8,
}

/// Checks a root system description pointer: signature, length, both checksums.
///
/// Fields beyond ACPI 1.0 count from revision 2 on, as in ACPICA. `bytes` begins with the RSDP and may be longer; 36 bytes
/// are enough for every revision, 20 below revision 2.
///
/// # Errors
/// The first error.
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
        // The length field is ignored, as in ACPICA: some firmware leaves it at 20 or 0.
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

/// Checks a system description table: signature (if one is expected), length and checksum.
///
/// `bytes` begins with the table and may be longer.
///
/// # Errors
/// The first error. [`TableError::LengthTooLarge`] has the number of bytes to map for another attempt.
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

/// Checks a multiple APIC description table and the length of every entry. A walk then ends, stays inside, and finds whole
/// entries.
///
/// `bytes` begins with the table and may be longer. Entries of unknown type need only a non-zero length.
///
/// # Errors
/// The first error.
pub fn check_madt(bytes: &[u8]) -> Result<(), TableError> {
    let length = check_sdt(bytes, Some(*b"APIC"))?.length;
    let table = sized_part(bytes, length, layout::madt::HEADER_BYTES)?;
    check_entries(table, layout::madt::HEADER_BYTES, least_madt_entry_bytes)
}

/// Checks the entries of `table` from `offset` to its end. Each begins with a byte for its type and one for its length.
/// `least_bytes` returns the least length of an entry of a type, 2 or more.
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

/// Returns the least length of an entry of type `kind`.
///
/// SAPIC and GIC structures do not belong on x86. They are checked too, as a parser that knows them would read them whole.
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

/// Returns the first `needed` bytes.
fn fixed_part(bytes: &[u8], needed: usize) -> Result<&[u8], TableError> {
    bytes.get(..needed).ok_or(TableError::Truncated { available: bytes.len(), needed })
}

/// Returns the first `length` bytes, which must be at least `least`.
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

/// Returns `N` bytes from `offset`. The caller has checked that they are there.
pub(crate) fn array_at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[offset..offset + N]);
    array
}

pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, offset))
}
