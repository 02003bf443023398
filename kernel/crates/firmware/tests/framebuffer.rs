//! Screens that loaders describe.

use firmware::framebuffer::{Channel, Framebuffer, MAX_SIDE, PixelFormat, Problem};
use firmware::memmap::{Kind, MemoryMap, Region};
use proptest::prelude::*;

const SCREEN: Framebuffer = Framebuffer {
    address: 0x8000_0000,
    width: 1280,
    height: 800,
    stride_bytes: 5120,
    bytes_per_pixel: 4,
    format: PixelFormat::BGR,
};

fn map() -> MemoryMap {
    let region = |start, end, kind| Region { start, end, kind };
    let regions = [
        region(0, 0x4000_0000, Kind::Usable),
        region(0x4000_0000, 0x4001_0000, Kind::AcpiReclaimable),
        region(0x8000_0000, 0x8100_0000, Kind::Reserved),
    ];
    MemoryMap::sanitise(regions, 46).0
}

#[test]
fn a_usual_screen_is_accepted() {
    let map = map();
    assert_eq!(SCREEN.check(&map), Ok(SCREEN));
    assert_eq!(SCREEN.len_bytes(), 5120 * 800);
    let unlisted = Framebuffer { address: 0xfd00_0000, ..SCREEN };
    assert_eq!(unlisted.check(&map), Ok(unlisted));
    let narrow = Framebuffer { bytes_per_pixel: 3, stride_bytes: 1280 * 3, ..SCREEN };
    assert_eq!(narrow.check(&map), Ok(narrow));
}

#[test]
fn each_lie_is_named() {
    let map = map();
    let check = |screen: Framebuffer| screen.check(&map).unwrap_err();
    assert_eq!(check(Framebuffer { width: 0, ..SCREEN }), Problem::Size { width: 0, height: 800 });
    let tall = MAX_SIDE + 1;
    assert_eq!(check(Framebuffer { height: tall, ..SCREEN }), Problem::Size { width: 1280, height: tall });
    assert_eq!(check(Framebuffer { bytes_per_pixel: 1, ..SCREEN }), Problem::PixelBytes(1));
    assert_eq!(check(Framebuffer { bytes_per_pixel: 5, ..SCREEN }), Problem::PixelBytes(5));
    assert_eq!(
        check(Framebuffer { stride_bytes: 5119, ..SCREEN }),
        Problem::Stride { stride_bytes: 5119, line_bytes: 5120 }
    );
    assert_eq!(check(Framebuffer { address: 0, ..SCREEN }), Problem::Address(0));
    assert_eq!(check(Framebuffer { address: u64::MAX, ..SCREEN }), Problem::Address(u64::MAX));
    assert_eq!(
        check(Framebuffer { address: (1 << 52) - 4096, ..SCREEN }),
        Problem::Address((1 << 52) - 4096)
    );
    // In the middle of memory, at its end, and in tables.
    for address in [0x1000, 0x3fff_f000, 0x4000_f000] {
        assert_eq!(check(Framebuffer { address, ..SCREEN }), Problem::Taken(address));
    }
    // Registers, of which the map does not tell: an I/O APIC's, and a local APIC's in the middle of the screen.
    for address in [0xfec0_0000, 0xfed8_0000] {
        assert_eq!(check(Framebuffer { address, ..SCREEN }), Problem::Registers(address));
    }
}

#[test]
fn colours_are_disjoint_and_inside_a_pixel() {
    let map = map();
    let with =
        |format, bytes_per_pixel| Framebuffer { format, bytes_per_pixel, ..SCREEN }.check(&map).is_ok();
    let channel = |shift, bits| Channel { shift, bits };
    let thin = PixelFormat { red: channel(11, 5), green: channel(5, 6), blue: channel(0, 5) };
    assert!(with(thin, 2) && with(PixelFormat::RGB, 3) && with(PixelFormat::of_bytes(24, 16, 8), 4));
    assert!(!with(PixelFormat::RGB, 2), "blue is outside");
    assert!(!with(PixelFormat::of_bytes(0, 4, 16), 4), "red and green overlap");
    assert!(!with(PixelFormat::of_bytes(0, 0, 0), 4), "grey");
    assert!(!with(PixelFormat { red: channel(16, 0), ..PixelFormat::BGR }, 4), "no red");
    assert!(!with(PixelFormat { red: channel(16, 10), ..PixelFormat::BGR }, 4), "10 bits");
    assert!(!with(PixelFormat { red: channel(255, 255), ..PixelFormat::BGR }, 4));
}

#[test]
fn colours_become_pixels() {
    assert_eq!(PixelFormat::BGR.encode(0x11, 0x22, 0x33), 0x0011_2233);
    assert_eq!(PixelFormat::RGB.encode(0x11, 0x22, 0x33), 0x0033_2211);
    let channel = |shift, bits| Channel { shift, bits };
    let thin = PixelFormat { red: channel(11, 5), green: channel(5, 6), blue: channel(0, 5) };
    assert_eq!(thin.encode(0xff, 0, 0), 0xf800);
    assert_eq!(thin.encode(0, 0xff, 0x08), 0x07e1);
}

proptest! {
    /// Whatever is accepted lies outside of listed memory, and every pixel inside of the screen.
    #[test]
    fn accepted_screens_are_safe(
        address in prop_oneof![0_u64..0x1_0000_0000, any::<u64>()],
        width in 0_u32..20_000, height in 0_u32..20_000, stride_bytes in any::<u32>(),
        bytes_per_pixel in 0_u8..6, shifts in any::<[u8; 3]>(), bits in prop::array::uniform3(0_u8..10),
    ) {
        let channel = |index: usize| Channel { shift: shifts[index] % 32, bits: bits[index] };
        let format = PixelFormat { red: channel(0), green: channel(1), blue: channel(2) };
        let map = map();
        let screen = Framebuffer { address, width, height, stride_bytes, bytes_per_pixel, format };
        if let Ok(screen) = screen.check(&map) {
            let last_line = u64::from(stride_bytes) * u64::from(height - 1);
            let end = address + last_line + u64::from(width) * u64::from(bytes_per_pixel);
            prop_assert!(end <= screen.range().end);
            let is_free = |at| map.kind_at(at).is_none_or(|kind| kind == Kind::Reserved);
            prop_assert!(is_free(address) && is_free(end - 1));
            prop_assert!(u64::from(format.encode(255, 255, 255)) < 1 << (8 * u32::from(bytes_per_pixel)));
        }
    }
}
