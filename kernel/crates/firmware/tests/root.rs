//! From the root pointer to the tables: real firmware and loaders, and arbitrary memory.

#[path = "support/sdt.rs"]
mod sdt;
mod support;

use firmware::acpi::TableError;
use firmware::memmap::Kind;
use firmware::reach::{PhysicalMemory, may_hold_tables};
use firmware::root::{Problem, TableName, Tables};
use proptest::prelude::*;
use sdt::sdt;
use support::{Machine, fix_sum};

const TABLES: u64 = 0x1fe0_0000;
const XSDT: TableName = TableName::Signature(*b"XSDT");

fn rsdp(revision: u8, rsdt: u32, xsdt: u64) -> Vec<u8> {
    let mut bytes = b"RSD PTR \0TESTER".to_vec();
    bytes.push(revision);
    bytes.extend_from_slice(&rsdt.to_le_bytes());
    fix_sum(&mut bytes, 8);
    if revision > 0 {
        bytes.extend_from_slice(&36_u32.to_le_bytes());
        bytes.extend_from_slice(&xsdt.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        fix_sum(&mut bytes, 32);
    }
    bytes
}

fn wide(addresses: &[u64]) -> Vec<u8> {
    addresses.iter().flat_map(|address| address.to_le_bytes()).collect()
}

fn narrow(addresses: &[u64]) -> Vec<u8> {
    addresses.iter().flat_map(|address| (*address as u32).to_le_bytes()).collect()
}

/// Addresses of the root tables by [`put_tables`].
struct Placed {
    rsdt: u32,
    xsdt: u64,
}

/// Puts tables into memory from `at` on: a MADT that only the RSDT has, an HPET table of both, and both root tables.
fn put_tables(machine: &mut Machine, at: u64) -> Placed {
    machine.put(at, &sdt(b"APIC", b"12345678"));
    machine.put(at + 0x100, &sdt(b"HPET", b"20 bytes of nothing."));
    machine.put(at + 0x200, &sdt(b"RSDT", &narrow(&[at, 0, at + 0x100])));
    machine.put(at + 0x300, &sdt(b"XSDT", &wide(&[0, at + 0x100, 0])));
    Placed { rsdt: (at + 0x200) as u32, xsdt: at + 0x300 }
}

fn has_both(tables: &Tables<'_, &Machine>) -> bool {
    tables.find_table(*b"APIC").is_ok_and(|table| table.len() == 44)
        && tables.find_table(*b"HPET").is_ok_and(|table| table.ends_with(b"nothing."))
}

#[test]
fn the_rsdt_is_used_below_revision_2_and_without_an_xsdt() {
    for (revision, with_xsdt) in [(0, false), (1, false), (1, true), (2, false), (6, false)] {
        let mut machine = Machine::new();
        let placed = put_tables(&mut machine, TABLES);
        let xsdt = if with_xsdt { placed.xsdt } else { 0 };
        machine.put(TABLES + 0x400, &rsdp(revision, placed.rsdt, xsdt));
        let (tables, report) = Tables::find(&machine, Some(TABLES + 0x400)).expect("tables");
        assert!(has_both(&tables), "revision {revision}");
        assert_eq!((report.named, report.xsdt), (None, None), "nothing to warn of");
    }
}

#[test]
fn revision_1_with_nothing_behind_the_20_bytes_is_acpi_1() {
    let mut machine = Machine::new();
    let placed = put_tables(&mut machine, TABLES);
    machine.put(TABLES + 0x400, &rsdp(1, placed.rsdt, 0)[..20]);
    machine.put(TABLES + 0x414, &[0xee; 16]);
    assert!(Tables::find(&machine, Some(TABLES + 0x400)).is_ok());
}

#[test]
fn the_rsdt_replaces_a_damaged_or_unreachable_xsdt() {
    type Damage = fn(&mut Machine, u64);
    let damages: [(Damage, u64, &str); 4] = [
        (|machine, xsdt| machine.put(xsdt + 9, &[0x55]), 0, "XSDT: bytes add up to"),
        (|machine, xsdt| machine.put(xsdt, b"RSDT"), 0, "XSDT: signature \"RSDT\", should be \"XSDT\""),
        (|machine, xsdt| machine.put(xsdt + 4, &[0xff; 4]), 0, "XSDT: length field says 4294967295 bytes"),
        (|_, _| {}, 1 << 40, "the XSDT at 0x1001fe00300 is where no tables can be"),
    ];
    for (damage, offset, text) in damages {
        let mut machine = Machine::new();
        let placed = put_tables(&mut machine, TABLES);
        damage(&mut machine, placed.xsdt);
        machine.put(TABLES + 0x400, &rsdp(2, placed.rsdt, placed.xsdt + offset));
        let (tables, report) = Tables::find(&machine, Some(TABLES + 0x400)).expect(text);
        assert!(has_both(&tables), "{text}");
        assert!(report.xsdt.expect(text).to_string().starts_with(text), "{:?}", report.xsdt);

        // Without an RSDT the XSDT's problem is the error.
        machine.put(TABLES + 0x400, &rsdp(2, 0, placed.xsdt + offset));
        let problem = Tables::find(&machine, Some(TABLES + 0x400)).err().expect("nothing sound");
        assert!(problem.to_string().starts_with(text), "{problem}");
    }
}

#[test]
fn a_table_of_the_rsdt_alone_is_found_beside_a_sound_xsdt() {
    let mut machine = Machine::new();
    let placed = put_tables(&mut machine, TABLES);
    machine.put(TABLES + 0x400, &rsdp(2, placed.rsdt, placed.xsdt));
    let (tables, report) = Tables::find(&machine, Some(TABLES + 0x400)).expect("tables");
    assert!(has_both(&tables) && report.xsdt.is_none());
    assert_eq!(tables.find_table(*b"SRAT"), Err(Problem::Missing(TableName::Signature(*b"SRAT"))));
}

/// Root pointer and tables from 0xa0000 on, in no entry of the map; then in
/// usable memory, in a hole above 1 MiB, and right below 4 GiB.
#[test]
fn the_loaders_root_pointer_may_be_wherever_tables_can_be() {
    for at in [0xa_0000, 0x50_0000, 0x3000_0000, 0xffff_0000] {
        let mut machine = Machine::new();
        let placed = put_tables(&mut machine, at);
        machine.put(at + 0x800, &rsdp(2, 0, placed.xsdt));
        let (tables, _) = Tables::find(&machine, Some(at + 0x800)).expect("tables");
        assert!(tables.find_table(*b"HPET").is_ok(), "{at:#x}");
    }
}

#[test]
fn no_table_is_read_from_chipset_registers_or_faulty_memory() {
    let mut map: Vec<_> = vec![(0x10_0000..0x4000_0000, Kind::Usable), (0x100_0000..0x101_0000, Kind::Bad)];
    map.push((0xfec0_0000..0xff00_0000, Kind::Reserved));
    let mut machine = Machine::with_map(&map);
    for at in [0xfee0_0000, 0xfec0_0000, 0x100_0000, 0x100_fff0] {
        machine.put(at, &rsdp(2, 0, at)[..16]);
        let problem = Tables::find(&machine, Some(at)).err().expect("out of reach");
        assert_eq!(problem, Problem::OutOfReach { table: TableName::RootPointer, address: at });
    }
    for range in [0..20, 0xffff_fff0..0x1_0000_0004, 0x1_0000_0000..0x1_0000_0024, 5..5] {
        assert!(!may_hold_tables(&machine.map, &range), "{range:x?}");
    }
    for range in [1..20, 0xffff_fff0..0x1_0000_0000, 0xa_0000..0xb_0000, 0x101_0000..0x101_0024] {
        assert!(may_hold_tables(&machine.map, &range), "{range:x?}");
    }
}

#[test]
fn the_search_goes_through_the_ebda_then_the_bios_area() {
    const EBDA: u64 = 0x9_e000;
    for (segment, at, is_found) in [
        (EBDA, EBDA, true),
        (EBDA, EBDA + 0x3f0, true),
        (EBDA, EBDA + 0x400, false),
        (EBDA, EBDA + 8, false),
        (0, 0xe_0000, true),
        (0, 0xf_ffd0, true),
        (0, 0xd_ffd0, false),
        (0x400, 0x400, false),
    ] {
        let mut machine = Machine::new();
        machine.put(0x40e, &((segment >> 4) as u16).to_le_bytes());
        let placed = put_tables(&mut machine, TABLES);
        machine.put(at, &rsdp(2, placed.rsdt, placed.xsdt));
        let found = Tables::find(&machine, None);
        assert_eq!(found.is_ok(), is_found, "{at:#x}");
        assert!(is_found || found.err() == Some(Problem::NoRootPointer));
    }
}

#[test]
fn the_search_continues_after_a_pointer_that_leads_nowhere() {
    let mut machine = Machine::new();
    let placed = put_tables(&mut machine, TABLES);
    machine.put(0xe_0000, &rsdp(2, 0, 1 << 50));
    let problem = Problem::OutOfReach { table: XSDT, address: 1 << 50 };
    assert_eq!(Tables::find(&machine, None).err(), Some(problem));
    machine.put(0xf_1230, &rsdp(0, placed.rsdt, 0));
    assert!(Tables::find(&machine, None).is_ok());
}

#[test]
fn a_search_replaces_a_loaders_wrong_root_pointer() {
    let mut machine = Machine::new();
    let placed = put_tables(&mut machine, TABLES);
    let error = TableError::Signature { found: [0; 4], expected: *b"RSD " };
    let damaged = Problem::Damaged { table: TableName::RootPointer, error };
    assert_eq!(Tables::find(&machine, Some(0x1234)).err(), Some(damaged));
    machine.put(0xf_1230, &rsdp(0, placed.rsdt, 0));
    let (tables, report) = Tables::find(&machine, Some(0x1234)).expect("found by the search");
    assert!(has_both(&tables));
    assert_eq!(report.named, Some(damaged));
    let (_, report) = Tables::find(&machine, Some(u64::MAX)).expect("found by the search");
    assert_eq!(report.named, Some(Problem::OutOfReach { table: TableName::RootPointer, address: u64::MAX }));
}

#[test]
fn hundreds_of_entries_null_duplicate_and_wild_are_walked() {
    let mut machine = Machine::new();
    machine.put(TABLES, &sdt(b"APIC", b"12345678"));
    machine.put(TABLES + 0x40, &sdt(b"SSDT", b"a"));
    let mut broken = sdt(b"APIC", b"first");
    broken[9] ^= 1;
    machine.put(TABLES + 0x80, &broken);
    let wild = [u64::MAX, 1 << 32, 0xfee0_0000, 0];
    let mut entries = vec![TABLES + 0x80];
    entries.extend((0..200).flat_map(|_| wild));
    entries.extend([TABLES + 0x40, TABLES, TABLES + 0x40]);
    machine.put(TABLES + 0x1000, &sdt(b"XSDT", &wide(&entries)));
    machine.put(TABLES + 0x4000, &rsdp(2, 0, TABLES + 0x1000));
    let (tables, _) = Tables::find(&machine, Some(TABLES + 0x4000)).expect("tables");
    assert_eq!(tables.find_table(*b"APIC").map(<[u8]>::len), Ok(44), "the second is sound");
    assert_eq!(tables.all(*b"SSDT").count(), 2);
    let unreachable = tables.unreachable().expect("600 of them");
    assert_eq!(unreachable.to_string(), "XSDT: 600 entries lead to where no tables can be");
}

#[test]
fn a_damaged_table_is_reported_if_no_other_is_sound() {
    let mut machine = Machine::new();
    let placed = put_tables(&mut machine, TABLES);
    machine.put(TABLES + 9, &[0]);
    machine.put(TABLES + 0x400, &rsdp(0, placed.rsdt, 0));
    let (tables, _) = Tables::find(&machine, Some(TABLES + 0x400)).expect("tables");
    let problem = tables.find_table(*b"APIC").expect_err("damaged");
    assert!(problem.to_string().starts_with("MADT: bytes add up to"), "{problem}");
}

proptest! {
    #[test]
    fn any_bytes_are_survived(
        named in prop_oneof![Just(None), any::<u64>().prop_map(Some), Just(Some(TABLES))],
        low in prop::collection::vec(any::<u8>(), 0..64),
        root in prop::collection::vec(prop_oneof![Just(TABLES), Just(TABLES + 0x800), any::<u64>()], 0..40),
        tail in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut machine = Machine::new();
        machine.put(0x400, &low);
        machine.put(TABLES, &rsdp(2, root.first().copied().unwrap_or(0) as u32, TABLES + 0x100));
        machine.put(TABLES + 0x100, &sdt(b"XSDT", &wide(&root)));
        machine.put(TABLES + 0x800, &sdt(b"APIC", &tail));
        if let Ok((tables, _)) = Tables::find(&machine, named) {
            let found = tables.find_table(*b"APIC");
            prop_assert!(found.is_err() || root.contains(&(TABLES + 0x800)));
            prop_assert!(tables.all(*b"APIC").count() <= root.len());
        }
        prop_assert!((&machine).bytes(0, 1).is_none());
    }
}
