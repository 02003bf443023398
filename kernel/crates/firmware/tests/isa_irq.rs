//! Routes of ISA interrupts: usual tables, and tables that make no sense.

use firmware::isa_irq::{IoApic, Override, Route, RouteError, route};
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
    route(COM1, io_apics.iter().copied(), overrides.iter().copied(), &map())
}

fn moved(gsi: u32, flags: u16) -> Override {
    Override { bus: 0, irq: COM1, gsi, flags }
}

#[test]
fn without_an_override_it_is_the_pin_of_the_same_number() {
    assert_eq!(route_with(&[IO_APIC], &[]), Ok(USUAL));
    let timer = Override { bus: 0, irq: 0, gsi: 2, flags: 0 };
    let other_bus = Override { bus: 1, ..moved(9, 0xf) };
    assert_eq!(route_with(&[IO_APIC], &[timer, other_bus]), Ok(USUAL));
}

#[test]
fn an_override_moves_it_and_says_how_it_is_signalled() {
    let low_level = Route { pin: 20, is_active_low: true, is_level: true, ..USUAL };
    assert_eq!(route_with(&[IO_APIC], &[moved(20, 0xf)]), Ok(low_level));
    assert_eq!(route_with(&[IO_APIC], &[moved(20, 0x5)]), Ok(Route { pin: 20, ..USUAL }));
    assert_eq!(route_with(&[IO_APIC], &[moved(5, 0), moved(6, 0)]), Ok(Route { pin: 5, ..USUAL }));
}

#[test]
fn the_io_apic_is_the_one_that_begins_last_before_the_interrupt() {
    let second = IoApic { address: 0xfec0_1000, first_gsi: 24 };
    let third = IoApic { address: 0xfec0_2000, first_gsi: 48 };
    let route = route_with(&[third, IO_APIC, second], &[moved(30, 0)]);
    assert_eq!(route, Ok(Route { io_apic: 0xfec0_1000, pin: 6, ..USUAL }));
}

#[test]
fn nonsense_is_named() {
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

proptest! {
    /// Whatever the table says, registers are never in memory, and the pin can be.
    #[test]
    fn no_route_leads_into_memory(
        io_apics in prop::collection::vec((any::<u32>(), prop_oneof![0..30_u32, any::<u32>()]), 0..4),
        overrides in prop::collection::vec((0..2_u8, 0..6_u8, prop_oneof![0..300_u32, any::<u32>()], any::<u16>()), 0..4),
    ) {
        let io_apics = io_apics.iter().map(|(address, first_gsi)| IoApic { address: *address, first_gsi: *first_gsi });
        let overrides = overrides.iter().map(|(bus, irq, gsi, flags)| Override { bus: *bus, irq: *irq, gsi: *gsi, flags: *flags });
        if let Ok(route) = route(COM1, io_apics, overrides, &map()) {
            let address = u64::from(route.io_apic);
            prop_assert!(address + 0x14 <= 0x10_0000 || address >= 0x4000_0000);
            prop_assert!(route.pin < 240 && address % 16 == 0 && address % 4096 + 0x14 <= 4096);
        }
    }
}
