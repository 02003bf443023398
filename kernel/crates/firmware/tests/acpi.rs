//! Checks of ACPI tables: tables that QEMU 7.2 makes, the same tables with known kinds of damage, and arbitrary bytes.

use firmware::acpi::{RsdpInfo, SDT_HEADER_BYTES, SdtInfo, TableError, check_madt, check_rsdp, check_sdt};
use firmware::aml::sleep_state_s5;
use firmware::cpus::MadtCpu;
use firmware::isa_irq::{IoApic, Override};
use firmware::madt::Madt;
use proptest::prelude::*;

/// The MADT of `-machine pc -smp 2`: two CPUs, one I/O APIC, five interrupt
/// overrides, one NMI line.
const MADT: [u8; 128] = [
    0x41, 0x50, 0x49, 0x43, 0x80, 0x00, 0x00, 0x00, 0x01, 0x77, 0x42, 0x4f, 0x43, 0x48, 0x53, 0x20, 0x42,
    0x58, 0x50, 0x43, 0x20, 0x20, 0x20, 0x20, 0x01, 0x00, 0x00, 0x00, 0x42, 0x58, 0x50, 0x43, 0x01, 0x00,
    0x00, 0x00, 0x00, 0x00, 0xe0, 0xfe, 0x01, 0x00, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x01, 0x00, 0x00,
    0x00, 0x00, 0x08, 0x01, 0x01, 0x01, 0x00, 0x00, 0x00, 0x01, 0x0c, 0x00, 0x00, 0x00, 0x00, 0xc0, 0xfe,
    0x00, 0x00, 0x00, 0x00, 0x02, 0x0a, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x0a, 0x00,
    0x05, 0x05, 0x00, 0x00, 0x00, 0x0d, 0x00, 0x02, 0x0a, 0x00, 0x09, 0x09, 0x00, 0x00, 0x00, 0x0d, 0x00,
    0x02, 0x0a, 0x00, 0x0a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x00, 0x02, 0x0a, 0x00, 0x0b, 0x0b, 0x00, 0x00,
    0x00, 0x0d, 0x00, 0x04, 0x06, 0xff, 0x00, 0x00, 0x01,
];
const FIRST_ENTRY: usize = 44;

/// The RSDP of the same machine, ACPI 1.0.
const RSDP_V1: [u8; 20] = *b"RSD PTR \x03BOCHS \x00\x33\x1b\xfe\x03";

/// The bytes around `_S5_` in the DSDT of the same machine.
const S5: [u8; 14] = *b"\x00\x00\x08_S5_\x12\x06\x04\x00\x00\x00\x00";

/// Makes `table`'s length field and checksum right again.
fn seal(table: &mut [u8]) {
    let length = (table.len() as u32).to_le_bytes();
    table[4..8].copy_from_slice(&length);
    fix_sum(table, 9);
}

/// Sets the byte at `at` so that `bytes` add up to 0.
fn fix_sum(bytes: &mut [u8], at: usize) {
    bytes[at] = 0;
    let sum = bytes.iter().fold(0_u8, |sum, &byte| sum.wrapping_add(byte));
    bytes[at] = sum.wrapping_neg();
}

/// Returns a MADT with these bytes as its entries.
fn madt_of(entries: &[u8]) -> Vec<u8> {
    let mut table = MADT[..FIRST_ENTRY].to_vec();
    table.extend_from_slice(entries);
    seal(&mut table);
    table
}

fn rsdp_v2(rsdt: u32, xsdt: u64, length: u32) -> [u8; 36] {
    let mut bytes = [0; 36];
    bytes[..20].copy_from_slice(&RSDP_V1);
    bytes[15] = 2;
    bytes[16..20].copy_from_slice(&rsdt.to_le_bytes());
    bytes[20..24].copy_from_slice(&length.to_le_bytes());
    bytes[24..32].copy_from_slice(&xsdt.to_le_bytes());
    fix_sum(&mut bytes[..20], 8);
    fix_sum(&mut bytes, 32);
    bytes
}

#[test]
fn qemus_tables_pass() {
    assert_eq!(check_rsdp(&RSDP_V1), Ok(RsdpInfo { revision: 0, rsdt: 0x03fe_1b33, xsdt: None, length: 20 }));
    assert_eq!(
        check_sdt(&MADT, Some(*b"APIC")),
        Ok(SdtInfo { signature: *b"APIC", length: 128, revision: 1 })
    );
    assert_eq!(check_madt(&MADT), Ok(()));
    let mut mapped = MADT.to_vec();
    mapped.extend_from_slice(&[0x5a; 100]);
    assert_eq!(check_madt(&mapped), Ok(()), "bytes after the table are not its");
    assert_eq!(sleep_state_s5(&S5), Some((0, 0)));
}

#[test]
fn an_rsdp_of_acpi_2_has_an_xsdt() {
    let rsdp = rsdp_v2(0, 0x1_2345_6000, 36);
    assert_eq!(
        check_rsdp(&rsdp),
        Ok(RsdpInfo { revision: 2, rsdt: 0, xsdt: Some(0x1_2345_6000), length: 36 })
    );
}

/// As in ACPICA, the sum is over 36 bytes for any length field.
#[test]
fn the_length_field_of_an_rsdp_is_ignored() {
    for length in [0, 20, 35, 37, u32::MAX] {
        let expected = RsdpInfo { revision: 2, rsdt: 1, xsdt: Some(1), length: 36 };
        assert_eq!(check_rsdp(&rsdp_v2(1, 1, length)), Ok(expected), "{length}");
    }
}

#[test]
fn a_broken_rsdp_is_refused() {
    assert_eq!(check_rsdp(&RSDP_V1[..19]), Err(TableError::Truncated { available: 19, needed: 20 }));
    assert_eq!(check_rsdp(&MADT), Err(TableError::Signature { found: *b"APIC", expected: *b"RSD " }));
    let mut wrong_sum = RSDP_V1;
    wrong_sum[9] ^= 1;
    assert!(matches!(check_rsdp(&wrong_sum), Err(TableError::Checksum { .. })));
    let v2 = rsdp_v2(1, 1, 36);
    assert_eq!(check_rsdp(&v2[..35]), Err(TableError::Truncated { available: 35, needed: 36 }));
    let mut wrong_second_sum = v2;
    wrong_second_sum[33] ^= 1;
    assert_eq!(check_rsdp(&wrong_second_sum), Err(TableError::Checksum { sum: 1 }));
    assert_eq!(check_rsdp(&rsdp_v2(0, 0, 36)), Err(TableError::NoRootTable));
}

#[test]
fn a_broken_table_header_is_refused() {
    assert_eq!(
        check_sdt(&MADT[..SDT_HEADER_BYTES - 1], None),
        Err(TableError::Truncated { available: 35, needed: 36 })
    );
    assert_eq!(
        check_sdt(&MADT, Some(*b"SRAT")),
        Err(TableError::Signature { found: *b"APIC", expected: *b"SRAT" })
    );
    assert_eq!(
        check_sdt(&MADT[..127], None),
        Err(TableError::LengthTooLarge { length: 128, available: 127 })
    );
    let mut short = MADT;
    short[4..8].copy_from_slice(&35_u32.to_le_bytes());
    assert_eq!(check_sdt(&short, None), Err(TableError::LengthTooSmall { length: 35, least: 36 }));
    let mut flipped = MADT;
    flipped[100] ^= 0x10;
    assert!(matches!(check_sdt(&flipped, None), Err(TableError::Checksum { .. })));
}

#[test]
fn a_madt_shorter_than_its_fixed_part_is_refused() {
    for length in SDT_HEADER_BYTES..FIRST_ENTRY {
        let mut table = MADT[..length].to_vec();
        seal(&mut table);
        assert_eq!(check_madt(&table), Err(TableError::LengthTooSmall { length: length as u32, least: 44 }));
    }
    assert_eq!(check_madt(&madt_of(&[])), Ok(()), "no entries at all");
}

#[test]
fn entries_that_would_stop_or_derail_a_walk_are_refused() {
    for length in [0, 1] {
        assert_eq!(
            check_madt(&madt_of(&[0x7f, length, 0, 0])),
            Err(TableError::EntryTooShort { offset: 44, kind: 0x7f, length, least: 2 })
        );
    }
    assert_eq!(
        check_madt(&madt_of(&[0x7f, 3, 0, 0x7f])),
        Err(TableError::TrailingBytes { offset: 47, count: 1 })
    );
    assert_eq!(
        check_madt(&madt_of(&[0x7f, 5, 0, 0])),
        Err(TableError::EntryBeyondTable { offset: 44, kind: 0x7f, length: 5, available: 4 })
    );
    assert_eq!(check_madt(&madt_of(&[0x7f, 2, 0x80, 4, 0, 0])), Ok(()));
}

/// Entry types of a PC's MADT and their sizes by the ACPI specification.
const ENTRY_SIZES: [(u8, u8); 9] =
    [(0x00, 8), (0x01, 12), (0x02, 10), (0x03, 8), (0x04, 6), (0x05, 12), (0x09, 16), (0x0a, 12), (0x10, 16)];

/// Entry types of other machines: SAPIC and GIC structures.
const FOREIGN_ENTRY_SIZES: [(u8, u8); 8] =
    [(0x06, 16), (0x07, 17), (0x08, 16), (0x0b, 82), (0x0c, 24), (0x0d, 24), (0x0e, 16), (0x0f, 20)];

#[test]
fn known_entries_have_at_least_their_size() {
    for (kind, size) in ENTRY_SIZES.into_iter().chain(FOREIGN_ENTRY_SIZES) {
        for length in 2..=size + 1 {
            let mut entry = vec![0; usize::from(length)];
            entry[..2].copy_from_slice(&[kind, length]);
            let expected = if length < size {
                Err(TableError::EntryTooShort { offset: 44, kind, length, least: size })
            } else {
                Ok(())
            };
            assert_eq!(check_madt(&madt_of(&entry)), expected);
        }
    }
}

#[test]
fn errors_say_what_would_be_right() {
    let message = |result: Result<(), TableError>| result.unwrap_err().to_string();
    assert_eq!(
        message(check_madt(&madt_of(&[0, 0]))),
        "entry of type 0x00 at offset 44 says length 0, at least 8 needed"
    );
    assert_eq!(message(check_sdt(b"\x00\x01AB", None).map(|_| ())), "table of 4 bytes, at least 36 needed");
    assert_eq!(
        message(check_sdt(&MADT, Some(*b"SRAT")).map(|_| ())),
        "signature \"APIC\", should be \"SRAT\""
    );
}

/// `Name (_S5, Package (count) { elements })` with the given package length
/// bytes.
fn s5_of(package_length: &[u8], count: u8, elements: &[u8]) -> Vec<u8> {
    let mut aml = b"\x10\x20\x08_S5_\x12".to_vec();
    aml.extend_from_slice(package_length);
    aml.push(count);
    aml.extend_from_slice(elements);
    aml
}

#[test]
fn sleep_types_are_read_in_every_encoding() {
    let cases: [(&[u8], (u8, u8)); 6] = [
        (&[0x00, 0x01], (0, 1)),
        (&[0x0a, 0x05, 0x0a, 0x07], (5, 7)),
        (&[0x0b, 0x03, 0x00, 0x01], (3, 1)),
        (&[0x0c, 0x02, 0, 0, 0, 0x00], (2, 0)),
        (&[0x0e, 0x06, 0, 0, 0, 0, 0, 0, 0, 0x0a, 0x04], (6, 4)),
        (&[0x01, 0x00, 0xff, 0xff], (1, 0)),
    ];
    for (elements, expected) in cases {
        let length = elements.len() + 1;
        let lengths: [&[u8]; 3] = [
            &[length as u8 + 1],
            &[0x40 | (length as u8 + 2), 0],
            &[0xc0 | ((length as u8 + 4) & 0x0f), (length as u8 + 4) >> 4, 0, 0],
        ];
        for package_length in lengths {
            let aml = s5_of(package_length, 4, elements);
            assert_eq!(sleep_state_s5(&aml), Some(expected), "{aml:02x?}");
        }
    }
    let packed = s5_of(&[0x05], 1, &[0x0b, 0x05, 0x02]);
    assert_eq!(sleep_state_s5(&packed), Some((5, 2)), "one word for both");
    let one_element = s5_of(&[0x04], 2, &[0x0a, 0x05]);
    assert_eq!(sleep_state_s5(&one_element), None, "two announced, one there");
}

#[test]
fn a_name_that_is_no_definition_is_skipped() {
    let mut aml = b"_S5_\x12\x06\x04\x01\x01\x00\x00".to_vec();
    assert_eq!(sleep_state_s5(&aml), None);
    aml.extend_from_slice(b"\x08\\_S5_\x12\x07\x04\x0a\x05\x0a\x05\x00");
    assert_eq!(sleep_state_s5(&aml), Some((5, 5)));
}

#[test]
fn a_broken_sleep_package_is_skipped() {
    for aml in [
        s5_of(&[0x02], 4, &[0x00, 0x00]),
        s5_of(&[0x00], 4, &[0x00, 0x00]),
        s5_of(&[0x0a], 4, &[0x00, 0x00]),
        s5_of(&[0x05], 4, &[0x0a, 0x08, 0x00]),
        s5_of(&[0x05], 4, &[0x70, 0x00, 0x00]),
        s5_of(&[0x04], 0, &[0xff, 0xff]),
        b"\x08_S5_".to_vec(),
        b"\x08_S5_\x12".to_vec(),
        b"\x08_S5_\x12\xc6\x00".to_vec(),
        b"\x08_S5_\x11\x06\x04\x00\x00\x00\x00".to_vec(),
    ] {
        assert_eq!(sleep_state_s5(&aml), None, "{aml:02x?}");
    }
}

/// Walks entries as a parser that trusts lengths; fails where that parser would not end or read past the end.
fn walk_trusting(table: &[u8]) -> usize {
    let length = u32::from_le_bytes(table[4..8].try_into().unwrap()) as usize;
    let mut remaining = length.checked_sub(FIRST_ENTRY).expect("length wraps");
    let mut entries = 0;
    while remaining > 0 {
        let entry = &table[length - remaining..length];
        let (kind, entry_length) = (entry[0], usize::from(entry[1]));
        assert!(entry_length > 0, "endless walk");
        if let Some((_, size)) = ENTRY_SIZES.iter().find(|(known, _)| *known == kind) {
            assert!(entry_length >= usize::from(*size) && entry.len() >= usize::from(*size));
        }
        remaining = remaining.checked_sub(entry_length).expect("past the end");
        entries += 1;
    }
    entries
}

#[test]
fn qemus_madt_has_cpus_io_apic_and_overrides() {
    let madt = Madt::parse(&MADT).expect("it is sound");
    let cpu = |apic_id| MadtCpu { apic_id, enabled: true, online_capable: false, x2apic: false };
    assert_eq!(madt.cpus().collect::<Vec<_>>(), [cpu(0), cpu(1)]);
    assert_eq!(madt.io_apics().collect::<Vec<_>>(), [IoApic { address: 0xfec0_0000, first_gsi: 0 }]);
    let overrides: Vec<_> = madt.overrides().collect();
    assert_eq!(overrides.len(), 5);
    assert_eq!(overrides[0], Override { bus: 0, irq: 0, gsi: 2, flags: 0 });
    assert_eq!(overrides[2], Override { bus: 0, irq: 9, gsi: 9, flags: 0xd });
}

#[test]
fn x2apic_entries_have_ids_of_32_bits() {
    let mut entry = [0; 16];
    (entry[0], entry[1], entry[8]) = (9, 16, 2);
    entry[4..8].copy_from_slice(&0x1716_1514_u32.to_le_bytes());
    let table = madt_of(&entry);
    let cpus: Vec<_> = Madt::parse(&table).expect("it is sound").cpus().collect();
    let cpu = MadtCpu { apic_id: 0x1716_1514, enabled: false, online_capable: true, x2apic: true };
    assert_eq!(cpus, [cpu]);
}

#[test]
fn the_walk_over_qemus_table_finds_its_entries() {
    assert_eq!(walk_trusting(&MADT), 9);
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        // The functions must return, with any result.
        let _ = check_rsdp(&bytes);
        let _ = check_sdt(&bytes, None);
        let _ = check_madt(&bytes);
        prop_assert!(check_sdt(&bytes, Some(*b"APIC")).is_err() || bytes[..4] == *b"APIC");
    }

    #[test]
    fn a_madt_that_passes_can_be_walked(
        edits in prop::collection::vec((FIRST_ENTRY..MADT.len(), any::<u8>()), 0..6),
        length in FIRST_ENTRY - 10..MADT.len() + 1,
    ) {
        let mut table = MADT;
        for (at, byte) in edits {
            table[at] = byte;
        }
        seal(&mut table[..length]);
        if check_madt(&table).is_ok() {
            walk_trusting(&table);
        }
    }

    #[test]
    fn random_entries_that_pass_can_be_walked(
        entries in prop::collection::vec((0_u8..0x12, 0_u8..20, any::<u8>()), 0..8),
        cut in 0_usize..4,
    ) {
        let mut bytes: Vec<u8> = entries
            .iter()
            .flat_map(|&(kind, length, fill)| {
                let mut entry = vec![fill; usize::from(length.max(2))];
                entry[..2].copy_from_slice(&[kind, length]);
                entry
            })
            .collect();
        bytes.truncate(bytes.len().saturating_sub(cut));
        let table = madt_of(&bytes);
        if check_madt(&table).is_ok() {
            walk_trusting(&table);
        }
    }

    #[test]
    fn every_single_bit_matters_to_the_checksum(at in 0..MADT.len(), bit in 0_u32..8) {
        let mut table = MADT;
        table[at] ^= 1 << bit;
        prop_assert!(check_madt(&table).is_err());
    }

    #[test]
    fn aml_around_a_sleep_package_is_survived(
        before in prop::collection::vec(any::<u8>(), 0..20),
        tail in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut aml = before;
        aml.extend_from_slice(b"\x08_S5_\x12");
        aml.extend_from_slice(&tail);
        if let Some((a, b)) = sleep_state_s5(&aml) {
            prop_assert!(a <= 7 && b <= 7, "sleep types have 3 bits");
        }
    }
}
