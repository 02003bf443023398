//! FADTs of every length, with valid and invalid fields, and sleep types and events in DSDT and SSDTs.

use firmware::aml::{gpe_methods, sleep_types};
use firmware::fadt::{EventBlock, Fadt, GpeBlock, PmTimer, SmiCommand, parse};
use firmware::memmap::{Kind, MemoryMap, Region};
use firmware::registers::{Register, Space};
use proptest::prelude::*;

fn map() -> MemoryMap {
    let region = |start, end, kind| Region { start, end, kind };
    let regions = [
        region(0x10_0000, 0x4000_0000, Kind::Usable),
        region(0x4000_0000, 0x4010_0000, Kind::AcpiNvs),
        region(0xfec0_0000, 0xfec0_1000, Kind::Reserved),
    ];
    MemoryMap::sanitise(regions, 40).0
}

/// Sets length and checksum.
fn seal(mut table: Vec<u8>) -> Vec<u8> {
    let length = (table.len() as u32).to_le_bytes();
    table[4..8].copy_from_slice(&length);
    table[9] = 0;
    let sum = table.iter().fold(0_u8, |sum, &byte| sum.wrapping_add(byte));
    table[9] = sum.wrapping_neg();
    table
}

/// A table under construction.
#[derive(Clone)]
struct Table(Vec<u8>);

impl Table {
    /// Returns a table of zeros.
    fn empty() -> Self {
        let mut bytes = vec![0; 276];
        bytes[..4].copy_from_slice(b"FACP");
        Self(bytes)
    }

    /// Returns the fixed hardware of QEMU's q35, in 32-bit fields alone.
    fn q35() -> Self {
        Self::empty()
            .u32(40, 0x3ffe_0040)
            .u16(46, 9)
            .u32(48, 0xb2)
            .u8(52, 2)
            .u32(56, 0x600)
            .u32(64, 0x604)
            .u32(76, 0x608)
            .u32(80, 0x620)
            .u8(88, 4)
            .u8(89, 2)
            .u8(91, 4)
            .u8(92, 16)
            .u32(112, 1 << 10 | 1 << 15)
            .generic(116, 1, 0, 0xcf9)
            .u8(128, 0xf)
    }

    fn put(mut self, offset: usize, bytes: &[u8]) -> Self {
        self.0[offset..offset + bytes.len()].copy_from_slice(bytes);
        self
    }
    fn u8(self, offset: usize, value: u8) -> Self {
        self.put(offset, &[value])
    }
    fn u16(self, offset: usize, value: u16) -> Self {
        self.put(offset, &value.to_le_bytes())
    }
    fn u32(self, offset: usize, value: u32) -> Self {
        self.put(offset, &value.to_le_bytes())
    }
    fn u64(self, offset: usize, value: u64) -> Self {
        self.put(offset, &value.to_le_bytes())
    }
    fn generic(self, offset: usize, space: u8, access: u8, address: u64) -> Self {
        self.put(offset, &[space, 8, 0, access]).u64(offset + 4, address)
    }

    /// Parses the table, cut to `length` bytes. Returns the content, and the refused fields by name.
    fn read(&self, length: usize) -> (Fadt, Vec<&'static str>) {
        let (fadt, refused) = parse(&seal(self.0[..length].to_vec()), &map()).unwrap();
        assert_eq!(refused.is_empty(), refused.names().next().is_none());
        (fadt, refused.names().collect())
    }
}

const fn port(address: u64, bytes: u8) -> Register {
    Register::new(Space::Port, address, bytes)
}

fn q35() -> Fadt {
    Fadt {
        dsdt: [None, Some(0x3ffe_0040)],
        is_hardware_reduced: false,
        sci: Some(9),
        smi: Some(SmiCommand { port: 0xb2, enable: 2 }),
        pm1_events: [Some(EventBlock { status: port(0x600, 2), enable: port(0x602, 2) }), None],
        pm1_controls: [Some(port(0x604, 2)), None],
        pm_timer: Some(PmTimer { register: port(0x608, 4), is_32_bit: false }),
        gpe0: Some(GpeBlock { first: port(0x620, 1), bytes: 8 }),
        has_power_button: true,
        has_sleep_button: true,
        reset: Some((port(0xcf9, 1), 0xf)),
        sleep_control: None,
        sleep_status: None,
    }
}

#[test]
fn a_field_beyond_the_end_is_absent() {
    for length in [129, 132, 244, 268, 276] {
        assert_eq!(Table::q35().read(length), (q35(), vec![]), "{length} bytes");
    }
    // ACPI 1.0 has no reset register.
    let without_reset = Fadt { reset: None, ..q35() };
    assert_eq!(Table::q35().read(116), (without_reset, vec![]));
    // The flags are cut off: none is set.
    assert_eq!(Table::q35().read(115), (without_reset, vec![]));
    // The PM timer's port has lost a byte.
    let cut = Table::q35().read(79).0;
    assert_eq!((cut.pm_timer, cut.pm1_controls), (None, q35().pm1_controls));
    let least = Fadt { has_power_button: true, has_sleep_button: true, ..Fadt::default() };
    assert_eq!(Table::q35().read(36), (least, vec![]));
}

#[test]
fn damaged_tables_are_refused() {
    let sound = seal(Table::q35().0);
    let mut damaged = sound.clone();
    damaged[50] ^= 1;
    assert!(parse(&damaged, &map()).is_err());
    assert!(parse(&sound[..275], &map()).is_err());
    let mut other = sound;
    other[..4].copy_from_slice(b"APIC");
    assert!(parse(&seal(other), &map()).is_err());
}

#[test]
fn a_non_zero_64_bit_field_wins() {
    let new = Table::q35()
        .u64(140, 0x1_0000_0000)
        .generic(148, 1, 2, 0x700)
        .generic(160, 1, 0, 0x710)
        .generic(172, 1, 2, 0x704)
        .generic(184, 1, 1, 0x714)
        .generic(208, 1, 1, 0x708)
        .generic(220, 1, 1, 0x720);
    let expected = Fadt {
        dsdt: [Some(0x1_0000_0000), Some(0x3ffe_0040)],
        pm1_events: [
            Some(EventBlock { status: port(0x700, 2), enable: port(0x702, 2) }),
            Some(EventBlock { status: port(0x710, 2), enable: port(0x712, 2) }),
        ],
        pm1_controls: [Some(port(0x704, 2)), Some(Register { access_bytes: 1, ..port(0x714, 2) })],
        pm_timer: Some(PmTimer { register: port(0x708, 4), is_32_bit: false }),
        gpe0: Some(GpeBlock { first: port(0x720, 1), bytes: 8 }),
        ..q35()
    };
    assert_eq!(new.read(276), (expected, vec![]));
    // These fields alone, without lengths, as on some machines.
    let only_new = new
        .u32(40, 0)
        .u32(56, 0)
        .u32(64, 0)
        .u32(76, 0)
        .u32(80, 0)
        .u8(88, 0)
        .u8(89, 0)
        .u8(91, 0)
        .u32(112, 1 << 8 | 1 << 10);
    let expected = Fadt {
        dsdt: [Some(0x1_0000_0000), None],
        pm_timer: Some(PmTimer { register: port(0x708, 4), is_32_bit: true }),
        ..expected
    };
    assert_eq!(only_new.read(276), (expected, vec![]));
    // Both DSDT fields are equal.
    assert_eq!(Table::q35().u64(140, 0x3ffe_0040).read(276).0.dsdt, [Some(0x3ffe_0040), None]);
}

#[test]
fn registers_in_memory_must_be_outside_of_the_maps_memory() {
    let control = |address| Table::q35().generic(172, 0, 2, address).read(276);
    let (fadt, refused) = control(0xfed1_0004);
    assert_eq!(fadt.pm1_controls[0], Some(Register::new(Space::Memory, 0xfed1_0004, 2)));
    assert!(refused.is_empty());
    // In usable memory, in the firmware's, across two pages, unaligned, at the last address: the old field counts.
    for address in [0x20_0000, 0x4000_0010, 0xfed1_0fff, 0xfed1_0005, u64::MAX] {
        assert_eq!(control(address), (q35(), vec!["X_PM1a_CNT_BLK"]), "{address:#x}");
    }
}

#[test]
fn machines_without_fixed_hardware_have_sleep_registers() {
    let reduced = Table::q35()
        .u32(112, 1 << 20 | 1 << 10)
        .u32(76, 0)
        .generic(208, 1, 3, 0x608)
        .generic(116, 0, 1, 0xfea0_0002)
        .u8(128, 0x42)
        .generic(244, 0, 1, 0xfea0_0000)
        .generic(256, 0, 1, 0xfea0_0001);
    let memory = |address| Some(Register::new(Space::Memory, address, 1));
    let expected = Fadt {
        dsdt: q35().dsdt,
        is_hardware_reduced: true,
        pm_timer: Some(PmTimer { register: port(0x608, 4), is_32_bit: false }),
        reset: Some((Register::new(Space::Memory, 0xfea0_0002, 1), 0x42)),
        sleep_control: memory(0xfea0_0000),
        sleep_status: memory(0xfea0_0001),
        ..Fadt::default()
    };
    assert_eq!(reduced.read(276), (expected, vec![]));
    // Revision 5 of the table ends after the sleep registers.
    assert_eq!(reduced.read(268), (expected, vec![]));
    assert_eq!(reduced.read(255).0.sleep_control, None);
}

#[test]
fn invalid_fields_are_refused_one_by_one() {
    let q35 = q35();
    for (table, expected, name) in [
        // Unknown space, unknown access size, a bit offset, a port beyond the last.
        (Table::q35().generic(172, 9, 0, 0x704), q35, "X_PM1a_CNT_BLK"),
        (Table::q35().generic(172, 1, 5, 0x704), q35, "X_PM1a_CNT_BLK"),
        (Table::q35().generic(208, 1, 0, 0x708).u8(210, 1), q35, "X_PM_TMR_BLK"),
        (Table::q35().generic(208, 1, 0, 0xfffd), q35, "X_PM_TMR_BLK"),
        (Table::q35().u32(76, 0x1_0000), Fadt { pm_timer: None, ..q35 }, "PM_TMR_BLK"),
        // Ports of the first serial port and of an interrupt controller.
        (Table::q35().u32(64, 0x3f7), Fadt { pm1_controls: [None; 2], ..q35 }, "PM1a_CNT_BLK"),
        (Table::q35().u32(48, 0x21), Fadt { smi: None, ..q35 }, "SMI_CMD"),
        (Table::q35().u8(88, 6), Fadt { pm1_events: [None; 2], ..q35 }, "PM1_EVT_LEN"),
        (Table::q35().u8(88, 2), Fadt { pm1_events: [None; 2], ..q35 }, "PM1_EVT_LEN"),
        (Table::q35().u8(92, 66), Fadt { gpe0: None, ..q35 }, "GPE0_BLK"),
        (Table::q35().u32(80, 0xfff8), Fadt { gpe0: None, ..q35 }, "GPE0_BLK"),
        (Table::q35().generic(116, 3, 0, 0xcf9), Fadt { reset: None, ..q35 }, "RESET_REG"),
        (Table::q35().generic(116, 2, 0, 32 << 32), Fadt { reset: None, ..q35 }, "RESET_REG"),
        (Table::q35().generic(244, 1, 0, 0x1_0000), q35, "SLEEP_CONTROL_REG"),
        (Table::q35().generic(256, 0, 0, 0x10_0000), q35, "SLEEP_STATUS_REG"),
    ] {
        assert_eq!(table.read(276), (expected, vec![name]));
    }
    let two = Table::q35().u32(64, 0x1_0000).generic(244, 9, 0, 1);
    let refused = parse(&seal(two.0), &map()).unwrap().1;
    assert_eq!(refused.to_string(), "PM1a_CNT_BLK, SLEEP_CONTROL_REG");
}

#[test]
fn a_reset_register_may_be_in_configuration_space() {
    let (fadt, refused) = Table::q35().generic(116, 2, 1, 0x1f_0007_00ac).read(276);
    let register = Register::new(Space::PciConfig, 0x1f_0007_00ac, 1);
    assert_eq!((fadt.reset, refused.is_empty()), (Some((register, 0xf)), true));
    assert_eq!(register.pci_config(), (0x1f, 7, 0xac));
    // Without the flag there is none.
    assert_eq!(Table::q35().u32(112, 0).read(276).0.reset, None);
}

#[test]
fn events_are_pairs_of_bytes() {
    let block = GpeBlock { first: port(0x620, 1), bytes: 8 };
    assert_eq!(block.pair(0), EventBlock { status: port(0x620, 1), enable: port(0x628, 1) });
    assert_eq!(block.pair(7), EventBlock { status: port(0x627, 1), enable: port(0x62f, 1) });
}

/// Returns a definition block around `aml`.
fn block(signature: &[u8; 4], aml: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 36];
    bytes[..4].copy_from_slice(signature);
    bytes.extend_from_slice(aml);
    seal(bytes)
}

const S5: &[u8] = b"\x08_S5_\x12\x06\x04\x0a\x05\x0a\x06\x00\x00";
const OTHER_S5: &[u8] = b"\x08_S5_\x12\x06\x04\x01\x01\x00\x00";

#[test]
fn sleep_types_come_from_the_first_table_that_has_them() {
    let (without, with, other) = (block(b"DSDT", b"\x08_S3_"), block(b"SSDT", S5), block(b"SSDT", OTHER_S5));
    let found = |tables: &[&[u8]]| sleep_types(tables.iter().copied());
    assert_eq!(found(&[&block(b"DSDT", S5), &other]), Some((5, 6)));
    assert_eq!(found(&[&without, &with, &other]), Some((5, 6)));
    assert_eq!(found(&[&without]), None);
    // A damaged table, one cut short, one of another kind.
    let mut damaged = with.clone();
    damaged[20] ^= 1;
    assert_eq!(found(&[&damaged, &with[..with.len() - 1], &block(b"APIC", S5), &other]), Some((1, 1)));
}

#[test]
fn events_that_can_happen_have_a_method() {
    // Method (_E02), Method (_L1F) with two bytes of length; a reference to _L03, a name _L04; Method (\\_GPE._E05).
    let aml = b"\x14\x08_E02\x00\xa3\xa3\x14\x4c\x04_L1F\x00 _L03 \x08_L04\x01 \x14\x08_Lxy\x00\x14\x0c\\._GPE_E05\x00";
    let set = gpe_methods([&block(b"DSDT", aml)[..], &block(b"SSDT", b"\x14\x06_LFF\x00")]);
    let events: Vec<usize> =
        (0..256).filter(|event| set.byte((event / 8) as u8) & 1 << (event % 8) != 0).collect();
    assert_eq!(events, [0x02, 0x05, 0x1f, 0xff]);
    assert_eq!(set.byte(32), 0);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(
        fields in prop::collection::vec(any::<u8>(), 0..300),
        start in prop::sample::select(vec![0_u32, 0x40, 0xfff0, 0xffff_ffff]),
    ) {
        let mut bytes = vec![0; 36];
        bytes[..4].copy_from_slice(b"FACP");
        bytes.extend_from_slice(&fields);
        if bytes.len() > 80 {
            bytes[76..80].copy_from_slice(&start.to_le_bytes());
        }
        let (fadt, refused) = parse(&seal(bytes), &map()).unwrap();
        for register in fadt.pm1_controls.iter().flatten() {
            prop_assert!(register.is_possible(&map()));
        }
        for block in fadt.pm1_events.iter().flatten() {
            prop_assert!(block.status.is_possible(&map()) && block.enable.is_possible(&map()));
        }
        if let Some(gpe) = fadt.gpe0 {
            for index in 0..gpe.bytes {
                let pair = gpe.pair(index);
                prop_assert!(pair.status.is_possible(&map()) && pair.enable.is_possible(&map()));
            }
        }
        let _ = refused.to_string();
    }

    #[test]
    fn any_aml_is_searched_without_panic(aml in prop::collection::vec(any::<u8>(), 0..200)) {
        let table = block(b"DSDT", &aml);
        let _ = (sleep_types([&table[..]]), gpe_methods([&table[..]]));
    }
}
