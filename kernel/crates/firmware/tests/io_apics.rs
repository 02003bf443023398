//! I/O APICs and overrides out of a MADT, and the SCI's route by them.

use firmware::io_apics::Lines;
use firmware::isa_irq::{IoApic, Override, Route, route_sci};
use firmware::memmap::MemoryMap;

/// A MADT with these bytes as its entries, of the right length and checksum.
fn madt_of(entries: &[u8]) -> Vec<u8> {
    let mut table = vec![0; 44];
    table[..4].copy_from_slice(b"APIC");
    table.extend_from_slice(entries);
    let length = (table.len() as u32).to_le_bytes();
    table[4..8].copy_from_slice(&length);
    let sum = table.iter().fold(0_u8, |sum, &byte| sum.wrapping_add(byte));
    table[9] = sum.wrapping_neg();
    table
}

const CPU: [u8; 8] = [0, 8, 0, 0, 1, 0, 0, 0];
const FIRST: [u8; 12] = [1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0];
const SECOND: [u8; 12] = [1, 12, 1, 0, 0, 0x10, 0xc0, 0xfe, 24, 0, 0, 0];
const SCI_HIGH: [u8; 10] = [2, 10, 0, 9, 9, 0, 0, 0, 0xd, 0];
const SCI_FAR: [u8; 10] = [2, 10, 0, 9, 30, 0, 0, 0, 0, 0];

fn sci(sci: u16, entries: &[&[u8]]) -> Option<Route> {
    let madt = madt_of(&entries.concat());
    let lines = Lines::parse(&madt).unwrap();
    route_sci(sci, lines.io_apics(), lines.overrides(), &MemoryMap::sanitise([], 40).0).ok()
}

#[test]
fn entries_of_both_kinds_are_found() {
    let madt = madt_of(&[&CPU[..], &FIRST, &SCI_HIGH, &SECOND, &SCI_FAR].concat());
    // What follows the table is none of it.
    let bytes = [&madt[..], &FIRST].concat();
    let lines = Lines::parse(&bytes).unwrap();
    let io_apics: Vec<_> = lines.io_apics().collect();
    let at = |address, first_gsi| IoApic { address, first_gsi };
    assert_eq!(io_apics, [at(0xfec0_0000, 0), at(0xfec0_1000, 24)]);
    let overrides: Vec<_> = lines.overrides().collect();
    let of = |gsi, flags| Override { bus: 0, irq: 9, gsi, flags };
    assert_eq!(overrides, [of(9, 0xd), of(30, 0)]);
    assert!(Lines::parse(&madt[..madt.len() - 1]).is_err());
}

#[test]
fn the_sci_is_a_low_level_unless_an_override_says_otherwise() {
    let low = Route { io_apic: 0xfec0_0000, pin: 9, is_active_low: true, is_level: true };
    assert_eq!(sci(9, &[&FIRST, &SECOND]), Some(low));
    assert_eq!(sci(9, &[&FIRST, &SCI_HIGH]), Some(Route { is_active_low: false, ..low }));
    // Flags of 0 mean the usual; the override still moves it.
    let far = Route { io_apic: 0xfec0_1000, pin: 6, ..low };
    assert_eq!(sci(9, &[&FIRST, &SECOND, &SCI_FAR]), Some(far));
    // More than an ISA interrupt's number: a global one.
    assert_eq!(sci(300, &[&FIRST, &SECOND]), None);
    assert_eq!(sci(40, &[&FIRST, &SECOND]), Some(Route { io_apic: 0xfec0_1000, pin: 16, ..low }));
}
