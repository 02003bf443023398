//! Routes of ISA interrupts: usual and invalid tables.

use firmware::isa_irq::{Interrupts, IoApic, MAX_IO_APICS, Override, Route, RouteError, Signal};
use firmware::memmap::{Kind, MemoryMap, Region};
use proptest::prelude::*;

const COM1: u8 = 4;
const IO_APIC: IoApic = IoApic { address: 0xfec0_0000, first_gsi: 0 };
const USUAL: Route = Route { io_apic: 0xfec0_0000, pin: 4, is_active_low: false, is_level: false };

fn map() -> MemoryMap {
    let region = |start, end, kind| Region { start, end, kind };
    let regions =
        [region(0x10_0000, 0x4000_0000, Kind::Usable), region(0xfec0_0000, 0xfec0_1000, Kind::Reserved)];
    MemoryMap::sanitise(regions, 40).0
}

fn route_with(io_apics: &[IoApic], overrides: &[Override]) -> Result<Route, RouteError> {
    interrupts(io_apics, overrides).route_irq(COM1, Signal::ISA)
}

fn interrupts(io_apics: &[IoApic], overrides: &[Override]) -> Interrupts {
    Interrupts::collect(io_apics.iter().copied(), overrides.iter().copied(), &map())
}

fn moved(gsi: u32, flags: u16) -> Override {
    Override { bus: 0, irq: COM1, gsi, flags }
}

#[test]
fn without_an_override_the_pin_has_the_same_number() {
    assert_eq!(route_with(&[IO_APIC], &[]), Ok(USUAL));
    let timer = Override { bus: 0, irq: 0, gsi: 2, flags: 0 };
    let other_bus = Override { bus: 1, ..moved(9, 0xf) };
    assert_eq!(route_with(&[IO_APIC], &[timer, other_bus]), Ok(USUAL));
}

#[test]
fn an_override_sets_pin_and_signalling() {
    let low_level = Route { pin: 20, is_active_low: true, is_level: true, ..USUAL };
    assert_eq!(route_with(&[IO_APIC], &[moved(20, 0xf)]), Ok(low_level));
    assert_eq!(route_with(&[IO_APIC], &[moved(20, 0x5)]), Ok(Route { pin: 20, ..USUAL }));
    assert_eq!(route_with(&[IO_APIC], &[moved(5, 0), moved(6, 0)]), Ok(Route { pin: 5, ..USUAL }));
}

#[test]
fn the_io_apic_with_the_nearest_first_interrupt_is_chosen() {
    let second = IoApic { address: 0xfec0_1000, first_gsi: 24 };
    let third = IoApic { address: 0xfec0_2000, first_gsi: 48 };
    let route = route_with(&[third, IO_APIC, second], &[moved(30, 0)]);
    assert_eq!(route, Ok(Route { io_apic: 0xfec0_1000, pin: 6, ..USUAL }));
}

#[test]
fn invalid_entries_are_named() {
    for (io_apics, overrides, error) in [
        (&[][..], &[][..], "none of 0 i/o apics has global interrupt 4"),
        (&[IoApic { first_gsi: 5, ..IO_APIC }], &[], "none of 1 i/o apics has global interrupt 4"),
        (&[IO_APIC], &[moved(u32::MAX, 0)], "none of 1 i/o apics has global interrupt 4294967295"),
        (
            &[IoApic { address: 0x20_0000, ..IO_APIC }],
            &[],
            "the i/o apic's registers at 0x200000 are in memory, or not 16-aligned in one page",
        ),
        (
            &[IoApic { address: 0xfec0_0004, ..IO_APIC }],
            &[],
            "the i/o apic's registers at 0xfec00004 are in memory, or not 16-aligned in one page",
        ),
        (
            &[IoApic { address: 0xfec0_0ff0, ..IO_APIC }],
            &[],
            "the i/o apic's registers at 0xfec00ff0 are in memory, or not 16-aligned in one page",
        ),
        (
            &[IoApic { address: 0, ..IO_APIC }],
            &[],
            "the i/o apic's registers at 0x0 are in memory, or not 16-aligned in one page",
        ),
        (
            &[IO_APIC],
            &[moved(4, 0x2)],
            "flags 0x2 of an interrupt source override, bits 0-1 and 2-3 should be 0, 1 or 3",
        ),
    ] {
        assert_eq!(route_with(io_apics, overrides).unwrap_err().to_string(), error);
    }
}

#[test]
fn the_sci_is_a_low_level_unless_an_override_changes_it() {
    let sci = Route { pin: 9, is_active_low: true, is_level: true, ..USUAL };
    assert_eq!(interrupts(&[IO_APIC], &[]).route_sci(9), Ok(sci));
    let entry = |flags| Override { bus: 0, irq: 9, gsi: 20, flags };
    assert_eq!(interrupts(&[IO_APIC], &[entry(0)]).route_sci(9), Ok(Route { pin: 20, ..sci }));
    let high_level = Route { pin: 20, is_active_low: false, ..sci };
    assert_eq!(interrupts(&[IO_APIC], &[entry(0xd)]).route_sci(9), Ok(high_level));
    let second = IoApic { address: 0xfec0_1000, first_gsi: 300 };
    let far = Route { io_apic: 0xfec0_1000, pin: 5, ..sci };
    assert_eq!(interrupts(&[IO_APIC, second], &[]).route_sci(305), Ok(far));
}

#[test]
fn io_apics_in_memory_are_known_but_misplaced() {
    let in_memory = IoApic { address: 0x20_0000, first_gsi: 24 };
    let found = interrupts(&[IO_APIC, in_memory, IO_APIC], &[]);
    assert_eq!(found.io_apics().collect::<Vec<_>>(), [IO_APIC]);
    assert_eq!(found.misplaced().collect::<Vec<_>>(), [in_memory]);
    let many: Vec<_> =
        (0..100).map(|i| IoApic { address: 0xfec0_0000 + i * 0x1000, first_gsi: i * 24 }).collect();
    let found = interrupts(&many, &[]);
    assert_eq!((found.io_apics().count(), found.left_out()), (MAX_IO_APICS, 100 - MAX_IO_APICS));
}

proptest! {
    /// For any table, registers are never in memory, and the pin is possible.
    #[test]
    fn no_route_leads_into_memory(
        io_apics in prop::collection::vec((any::<u32>().prop_map(|address| address & !0xf), prop_oneof![0..30_u32, any::<u32>()]), 0..4),
        overrides in prop::collection::vec((0..2_u8, 0..6_u8, prop_oneof![0..300_u32, any::<u32>()], any::<u16>()), 0..4),
    ) {
        let io_apics = io_apics.iter().map(|(address, first_gsi)| IoApic { address: *address, first_gsi: *first_gsi });
        let overrides = overrides.iter().map(|(bus, irq, gsi, flags)| Override { bus: *bus, irq: *irq, gsi: *gsi, flags: *flags });
        let interrupts = Interrupts::collect(io_apics, overrides, &map());
        for io_apic in interrupts.io_apics() {
            prop_assert!(io_apic.address >= 0x4000_0000 || io_apic.address + 0x14 <= 0x10_0000);
        }
        if let Ok(route) = interrupts.route_irq(COM1, Signal::ISA) {
            let address = u64::from(route.io_apic);
            prop_assert!(address + 0x14 <= 0x10_0000 || address >= 0x4000_0000);
            prop_assert!(route.pin < 240 && address % 16 == 0 && address % 4096 + 0x14 <= 4096);
        }
    }
}

#[test]
fn of_two_io_apics_at_one_address_the_first_counts() {
    let at = |address, first_gsi| IoApic { address, first_gsi };
    let all = [at(0xfec0_0000, 0), at(0xfec1_0000, 24), at(0xfec0_0000, 48)];
    let interrupts = Interrupts::collect(all, [], &map());
    assert_eq!(interrupts.io_apics().count(), 3);
    let distinct: Vec<_> = interrupts.distinct_io_apics().collect();
    assert_eq!(distinct, all[..2]);
}
