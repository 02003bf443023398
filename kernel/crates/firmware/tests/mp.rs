//! MP tables: those of QEMU's firmware, damaged tables, and arbitrary bytes.

mod support;

use firmware::cpus::MadtCpu;
use firmware::isa_irq::{Interrupts, IoApic, Route, Signal};
use firmware::memmap::Kind;
use firmware::mp::{ConfigTable, MpError, MpTables};
use proptest::prelude::*;
use support::{Machine, fix_sum};

const TABLE: u64 = 0xf_5000;
const POINTER: u64 = 0xf_5ff0;

fn pointer(address: u32, default: u8) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(b"_MP_");
    bytes[4..8].copy_from_slice(&address.to_le_bytes());
    (bytes[8], bytes[9], bytes[11]) = (1, 4, default);
    fix_sum(&mut bytes, 10);
    bytes
}

fn processor(apic_id: u8, flags: u8) -> Vec<u8> {
    let mut entry = vec![0; 20];
    (entry[1], entry[2], entry[3]) = (apic_id, 0x14, flags);
    entry
}

fn bus(id: u8, name: &[u8; 6]) -> Vec<u8> {
    [&[1, id][..], name].concat()
}

fn io_apic(id: u8, flags: u8, address: u32) -> Vec<u8> {
    [&[2, id, 0x11, flags][..], &address.to_le_bytes()].concat()
}

fn interrupt(kind: u8, flags: u16, bus: u8, irq: u8, io_apic: u8, pin: u8) -> Vec<u8> {
    let [low, high] = flags.to_le_bytes();
    vec![3, kind, low, high, bus, irq, io_apic, pin]
}

fn table(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut table = vec![0; 44];
    table[..4].copy_from_slice(b"PCMP");
    table[6] = 4;
    table[34..36].copy_from_slice(&(entries.len() as u16).to_le_bytes());
    table[36..40].copy_from_slice(&0xfee0_0000_u32.to_le_bytes());
    table.extend(entries.concat());
    let length = (table.len() as u16).to_le_bytes();
    table[4..6].copy_from_slice(&length);
    fix_sum(&mut table, 7);
    table
}

/// Returns a shortened table of SeaBIOS for two CPUs. Here the second CPU is the boot CPU, and the serial port has an unusual
/// pin.
fn usual() -> Vec<u8> {
    table(&[
        processor(0, 1),
        processor(1, 3),
        processor(2, 0),
        bus(0, b"PCI   "),
        bus(1, b"ISA   "),
        io_apic(0, 0, 0xfec0_1000),
        io_apic(7, 1, 0xfec0_0000),
        interrupt(0, 0, 0, 4, 7, 11),
        interrupt(3, 0, 1, 4, 7, 0),
        interrupt(0, 0, 1, 4, 9, 3),
        interrupt(0, 0xd, 1, 4, 7, 5),
        interrupt(0, 0, 1, 0, 0xff, 2),
        vec![4, 3, 0, 0, 1, 0, 0xff, 0],
    ])
}

fn machine(at: u64, table: &[u8]) -> Machine {
    let mut machine = Machine::new();
    machine.put(TABLE, table);
    machine.put(at, &pointer(TABLE as u32, 0));
    machine
}

const fn cpu(apic_id: u32, enabled: bool) -> MadtCpu {
    MadtCpu { apic_id, enabled, online_capable: false, x2apic: false }
}

#[test]
fn usual_tables_have_cpus_io_apics_and_routes() {
    let machine = machine(POINTER, &usual());
    let tables = MpTables::find(&machine).expect("tables");
    assert_eq!(tables.cpus().collect::<Vec<_>>(), [cpu(0, true), cpu(1, true), cpu(2, false)]);
    assert_eq!(tables.boot_cpu(), Some(1));
    assert_eq!(tables.io_apics().collect::<Vec<_>>(), [IoApic { address: 0xfec0_0000, first_gsi: 0 }]);
    let interrupts = Interrupts::collect(tables.io_apics(), tables.overrides(), &machine.map);
    let com1 = Route { io_apic: 0xfec0_0000, pin: 5, is_active_low: false, is_level: true };
    assert_eq!(interrupts.route_irq(4, Signal::ISA), Ok(com1));
    let timer = interrupts.route_irq(0, Signal::ISA).expect("all i/o apics is the first");
    assert_eq!(timer.pin, 2);
    assert_eq!(
        interrupts.route_irq(3, Signal::ISA).map(|route| route.pin),
        Ok(3),
        "not assigned: its own number"
    );
}

#[test]
fn pins_of_the_second_io_apic_have_separate_interrupts() {
    let second = table(&[
        bus(3, b"ISA   "),
        io_apic(1, 1, 0xfec0_0000),
        io_apic(2, 1, 0xfec1_0000),
        interrupt(0, 0, 3, 4, 2, 7),
    ]);
    let machine = machine(POINTER, &second);
    let tables = MpTables::find(&machine).expect("tables");
    let interrupts = Interrupts::collect(tables.io_apics(), tables.overrides(), &machine.map);
    let route = interrupts.route_irq(4, Signal::ISA).expect("a route");
    assert_eq!((route.io_apic, route.pin), (0xfec1_0000, 7));
}

#[test]
fn the_pointer_is_found_in_each_of_its_places() {
    const EBDA: u64 = 0x9_8000;
    for (at, is_found) in [
        (EBDA, true),
        (EBDA + 0x3f0, true),
        (EBDA + 0x400, false),
        // The KiB that ends at 639 KiB: the BIOS counts 639.
        (0x9_fbf0, true),
        (0x9_f800, true),
        (0x9_f7f0, false),
        (0x9_fc00, true),
        (0x9_fff0, true),
        (0xf_0000, true),
        (0xf_fff0, true),
        (0xe_fff0, false),
        (0xf_1008, false),
    ] {
        let mut machine = machine(at, &usual());
        machine.put(0x40e, &((EBDA >> 4) as u16).to_le_bytes());
        machine.put(0x413, &639_u16.to_le_bytes());
        let found = MpTables::find(&machine);
        assert_eq!(found.is_ok(), is_found, "{at:#x}");
        assert!(is_found || found.err() == Some(MpError::NoPointer));
    }
}

#[test]
fn default_configurations_are_two_cpus_and_an_io_apic() {
    let mut machine = Machine::new();
    machine.put(POINTER, &pointer(0, 5));
    let tables = MpTables::find(&machine).expect("tables");
    assert_eq!(tables.cpus().collect::<Vec<_>>(), [cpu(0, true), cpu(1, true)]);
    assert_eq!(tables.io_apics().count(), 1);
    assert_eq!((tables.boot_cpu(), tables.overrides().count()), (None, 0));
    machine.put(POINTER, &pointer(0, 8));
    let error = MpTables::find(&machine).expect_err("there are 7");
    assert_eq!(error.to_string(), "default configuration 8, should be 1 to 7");
}

#[test]
fn entries_that_the_header_does_not_count_count() {
    let mut table = usual();
    for (count, filler) in [(0_u16, &[][..]), (5, &[]), (0, &[0xff, 0xff]), (13, &[5]), (13, &[0; 19])] {
        table.truncate(usual().len());
        table.extend_from_slice(filler);
        table[34..36].copy_from_slice(&count.to_le_bytes());
        let length = (table.len() as u16).to_le_bytes();
        table[4..6].copy_from_slice(&length);
        fix_sum(&mut table, 7);
        let tables = MpTables::Table(ConfigTable::parse(&table).expect("all entries are whole"));
        assert_eq!((tables.cpus().count(), tables.overrides().count()), (3, 2), "{count} {filler:?}");
    }
}

#[test]
fn broken_pointers_are_skipped() {
    let broken: [fn(&mut [u8; 16]); 3] =
        [|bytes| bytes[10] ^= 1, |bytes| bytes[0] = b'-', |bytes| (bytes[8], bytes[10]) = (2, bytes[10] - 1)];
    for breaks in broken {
        let mut machine = machine(POINTER, &usual());
        let mut bytes = pointer(TABLE as u32, 0);
        breaks(&mut bytes);
        machine.put(POINTER, &bytes);
        assert_eq!(MpTables::find(&machine).err(), Some(MpError::NoPointer));
    }
    let mut machine = Machine::new();
    machine.put(POINTER, &pointer(0, 0));
    assert_eq!(MpTables::find(&machine).err(), Some(MpError::NoPointer), "neither table nor default");
}

#[test]
fn broken_tables_are_named_and_the_search_goes_on() {
    let good = usual();
    let cut = |len: u16| {
        let mut table = usual();
        table[4..6].copy_from_slice(&len.to_le_bytes());
        fix_sum(&mut table[..len.max(44).into()], 7);
        table
    };
    let last = good.len() - 8;
    let mut unknown = good.clone();
    unknown[last] = 5;
    fix_sum(&mut unknown, 7);
    let mut sum = good.clone();
    sum[44] ^= 0x40;
    let mut named = good.clone();
    named[0] = b'X';
    for (table, text) in [
        (cut(43), "length field says 43 bytes, should be 44 or more; 44 are there".to_owned()),
        (cut(50), "entry at offset 44 reaches beyond the table".to_owned()),
        (cut(64), "entry at offset 64 reaches beyond the table".to_owned()),
        (unknown, format!("entry of type 0x05 at offset {last}, should be 0x00 to 0x04")),
        (sum, "bytes add up to 0x40, should be 0x00".to_owned()),
        (named, "signature \"XCMP\", should be \"PCMP\"".to_owned()),
    ] {
        let mut machine = machine(POINTER, &table);
        assert_eq!(MpTables::find(&machine).expect_err(&text).to_string(), text);
        machine.put(0xf_8000, &good);
        machine.put(0xf_7000, &pointer(0xf_8000, 0));
        assert!(MpTables::find(&machine).is_ok(), "{text}");
    }
    let mut machine = Machine::with_map(&[(0..0x9_f000, Kind::Usable)]);
    machine.put(POINTER, &pointer(0xfee0_0000, 0));
    let text = "the configuration table at 0xfee00000 is where no tables can be";
    assert_eq!(MpTables::find(&machine).expect_err(text).to_string(), text);
}

proptest! {
    #[test]
    fn any_table_is_refused_or_can_be_used_to_the_end(
        kinds in prop::collection::vec(0..6_u8, 0..20),
        count in any::<u16>(),
        keep_count in any::<bool>(),
        noise in prop::collection::vec((0..400_usize, any::<u8>()), 0..8),
    ) {
        let entry = |kind: &u8| {
            let mut entry = vec![*kind; if *kind == 0 { 20 } else { 8 }];
            entry[1] = *kind;
            entry
        };
        let mut bytes = table(&kinds.iter().map(entry).collect::<Vec<_>>());
        if !keep_count {
            bytes[34..36].copy_from_slice(&count.to_le_bytes());
        }
        for (at, byte) in noise {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        fix_sum(&mut bytes, 7);
        if let Ok(table) = ConfigTable::parse(&bytes) {
            let tables = MpTables::Table(table);
            let entries = bytes.len() / 8;
            prop_assert!(tables.cpus().count() + tables.io_apics().count() + tables.overrides().count() <= entries);
            prop_assert!(tables.overrides().all(|entry| (entry.gsi >> 8) < tables.io_apics().count() as u32));
        } else if kinds.iter().all(|kind| *kind < 5) && keep_count {
            prop_assert!(ConfigTable::parse(&table(&kinds.iter().map(entry).collect::<Vec<_>>())).is_ok());
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = ConfigTable::parse(&bytes);
    }
}
