//! From MP tables to CPU list and routes.

use std::sync::LazyLock;

use firmware::mp::{ConfigTable, MpTables};

use super::acpi::{check_cpus, check_interrupts};
use crate::input::{Rng, fix_sum};

/// Returns a valid table of two CPUs.
pub static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut table = vec![0; 44];
    table[..4].copy_from_slice(b"PCMP");
    (table[6], table[34]) = (4, 10);
    for (id, flags) in [(0, 3), (1, 1), (2, 0)] {
        table.extend([0, id, 0x14, flags]);
        table.extend([0; 16]);
    }
    table.extend(b"\x01\x00PCI   \x01\x01ISA   ");
    table.extend([2, 8, 0x11, 1, 0, 0, 0xc0, 0xfe]);
    for irq in [0, 4, 9] {
        table.extend([3, 0, 0, 0, 1, irq, 8, irq]);
    }
    table.extend([4, 3, 0, 0, 1, 0, 0xff, 0]);
    seal(&mut table);
    table
});

/// Corrects the length field and the checksum.
pub fn seal(table: &mut [u8]) {
    let length = (table.len() as u16).to_le_bytes();
    if let Some(field) = table.get_mut(4..6) {
        field.copy_from_slice(&length);
    }
    fix_sum(table, 7);
}

/// Parses any configuration table: the result is an error, or a walk that ends and valid lists.
pub fn run(rng: &mut Rng) -> bool {
    let mut table = SOUND.clone();
    rng.break_bytes(&mut table);
    if !rng.one_in(16) {
        seal(&mut table);
    }
    let Ok(parsed) = ConfigTable::parse(&table) else { return false };
    check(rng, MpTables::Table(parsed));
    true
}

/// Checks the properties of any tables.
pub fn check(rng: &mut Rng, tables: MpTables<'_>) {
    let boot_cpu = tables.boot_cpu().unwrap_or(0).into();
    check_cpus(rng, tables.cpus(), boot_cpu);
    check_interrupts(tables.io_apics(), tables.overrides());
    let io_apics = tables.io_apics().count() as u32;
    assert!(tables.overrides().all(|entry| entry.gsi >> 8 < io_apics), "each leads to an i/o apic");
}
