//! Sleep types and general-purpose events in AML, the byte code of DSDT and SSDTs.
//!
//! The byte code is searched for definitions, not run. Layouts are those of the ACPI specification 6.5: 7.4.2 (`_S5_`),
//! 20.2 (encoding).

use crate::acpi::{SDT_HEADER_BYTES, check_sdt};

/// Returns the sleep types of `\_S5`, for PM1a and PM1b, from the first of `tables` that defines the package.
///
/// `tables` are DSDT and SSDTs, each with its header. Damaged tables are skipped.
pub fn sleep_types<'a>(tables: impl IntoIterator<Item = &'a [u8]>) -> Option<(u8, u8)> {
    tables.into_iter().filter_map(definition_block).find_map(sleep_state_s5)
}

/// Returns the general-purpose events for which `tables` (DSDT and SSDTs, each with its header) have a method `_Lxx` or
/// `_Exx`: the events that can happen.
pub fn gpe_methods<'a>(tables: impl IntoIterator<Item = &'a [u8]>) -> GpeSet {
    let mut set = GpeSet::default();
    for aml in tables.into_iter().filter_map(definition_block) {
        for (at, name) in aml.windows(4).enumerate() {
            if let Some(event) = gpe_of_name(name)
                && is_method(&aml[..at])
            {
                set.add(event);
            }
        }
    }
    set
}

/// Returns the AML of a sound DSDT or SSDT.
fn definition_block(bytes: &[u8]) -> Option<&[u8]> {
    let info = check_sdt(bytes, None).ok()?;
    let is_definition_block = matches!(&info.signature, b"DSDT" | b"SSDT");
    bytes.get(SDT_HEADER_BYTES..info.length as usize).filter(|_| is_definition_block)
}

/// A set of general-purpose events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GpeSet {
    bytes: [u8; 32],
}

impl GpeSet {
    fn add(&mut self, event: u8) {
        self.bytes[usize::from(event / 8)] |= 1 << (event % 8);
    }

    /// Returns the events 8 * `index` to 8 * `index` + 7, lowest bit first.
    #[must_use]
    pub fn byte(&self, index: u8) -> u8 {
        self.bytes.get(usize::from(index)).copied().unwrap_or(0)
    }
}

/// Returns the number of the event that a method `_Lxx` or `_Exx` handles.
fn gpe_of_name(name: &[u8]) -> Option<u8> {
    let &[b'_', b'L' | b'E', high, low] = name else { return None };
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    Some(digit(high)? << 4 | digit(low)?)
}

/// Returns whether the AML before a name makes it a method's: `MethodOp PkgLength`, and a path if there is one.
fn is_method(before: &[u8]) -> bool {
    const METHOD_OP: u8 = 0x14;
    let before = before.strip_suffix(b"\\._GPE").or(before.strip_suffix(b"._GPE")).unwrap_or(before);
    (0..=3).any(|more_bytes: usize| {
        let Some(lead_at) = before.len().checked_sub(1 + more_bytes) else { return false };
        let op = lead_at.checked_sub(1).map(|at| before[at]);
        op == Some(METHOD_OP) && usize::from(before[lead_at] >> 6) == more_bytes
    })
}

/// Finds the sleep types of PM1a and PM1b for power-off: the first two elements of the `\_S5` package.
///
/// `dsdt` is the table's AML, with or without its header. The bytes are searched for the definition, as two numbers are not
/// worth an interpreter. The search knows every encoding of an integer constant. Returns `None` if there is no such
/// package or a value has more than 3 bits.
#[must_use]
pub fn sleep_state_s5(dsdt: &[u8]) -> Option<(u8, u8)> {
    const NAME: &[u8; 4] = b"_S5_";
    dsdt.windows(NAME.len())
        .enumerate()
        .filter(|&(at, name)| name == NAME && is_named(&dsdt[..at]))
        .find_map(|(at, _)| sleep_package(&dsdt[at + NAME.len()..]))
}

/// Returns whether the AML before a name segment makes it a definition in the root.
fn is_named(before: &[u8]) -> bool {
    const NAME_OP: u8 = 0x08;
    matches!(before, [.., NAME_OP] | [.., NAME_OP, b'\\'])
}

/// Reads `DefPackage := 0x12 PkgLength NumElements element*` and returns its first elements as sleep types.
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
        // Some firmware of the time of ACPI 1.0 packs both into one integer.
        (first & 0xff, first >> 8)
    };
    let sleep_type = |value: u64| (value <= SLEEP_TYPE_MAX).then_some(value as u8);
    Some((sleep_type(a)?, sleep_type(b)?))
}

/// Returns the body of a package: `aml` without its leading PkgLength, cut to that length.
///
/// The top two bits of the first byte are the number of bytes that follow it. Without such bytes the length is the low
/// 6 bits. With them, the low 4 bits are its low bits, and each byte adds 8.
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

/// Reads an integer constant. Returns it with the rest of `aml`.
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
