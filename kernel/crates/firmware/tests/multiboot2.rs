//! Tags of Multiboot2 loaders, sound and broken.

use firmware::framebuffer::{self, Framebuffer, PixelFormat};
use firmware::memmap::{Kind, Region};
use firmware::multiboot2::{MAX_BYTES, Problem, Tags, block_bytes};
use proptest::prelude::*;

/// Returns a tag of `kind`, padded to 8 bytes.
fn tag(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut tag = [kind.to_le_bytes(), (8 + body.len() as u32).to_le_bytes()].concat();
    tag.extend_from_slice(body);
    tag.resize(tag.len().next_multiple_of(8), 0);
    tag
}

/// Returns a block of `tags`, without an end tag.
fn block(tags: &[Vec<u8>]) -> Vec<u8> {
    let tags = tags.concat();
    [&(8 + tags.len() as u32).to_le_bytes()[..], &[0; 4], &tags].concat()
}

fn end() -> Vec<u8> {
    tag(0, &[])
}

fn bios_map(entry_bytes: u32, regions: &[(u64, u64, u32)]) -> Vec<u8> {
    let mut body = [entry_bytes.to_le_bytes(), [0; 4]].concat();
    for (base, len, kind) in regions {
        let mut entry = [&base.to_le_bytes()[..], &len.to_le_bytes(), &kind.to_le_bytes()].concat();
        entry.resize(entry_bytes as usize, 0xee);
        body.extend(entry);
    }
    tag(6, &body)
}

fn efi_map(entry_bytes: u32, regions: &[(u32, u64, u64)]) -> Vec<u8> {
    let mut body = [entry_bytes.to_le_bytes(), 1_u32.to_le_bytes()].concat();
    for (kind, base, pages) in regions {
        let mut entry =
            [&u64::from(*kind).to_le_bytes()[..], &base.to_le_bytes(), &[0; 8], &pages.to_le_bytes()]
                .concat();
        entry.resize(entry_bytes as usize, 0);
        body.extend(entry);
    }
    tag(17, &body)
}

fn screen(format: u8, bits: u8, colours: &[u8]) -> Vec<u8> {
    let mut body = 0x8000_0000_u64.to_le_bytes().to_vec();
    for number in [4096_u32, 1024, 768] {
        body.extend(number.to_le_bytes());
    }
    body.extend([bits, format, 0, 0]);
    body.extend(colours);
    tag(8, &body)
}

const BGR: [u8; 6] = [16, 8, 8, 8, 0, 8];

fn region(start: u64, end: u64, kind: Kind) -> Region {
    Region { start, end, kind }
}

#[test]
fn everything_that_grub_passes_is_found() {
    let bytes = block(&[
        tag(1, b"run=none log.level=debug\0"),
        tag(2, b"GRUB 2.06\0"),
        tag(4, &[640_u32.to_le_bytes(), 0x1000_u32.to_le_bytes()].concat()),
        bios_map(24, &[(0, 0x9_fc00, 1), (0xf_0000, 0x1_0000, 2), (0x10_0000, 0x700_0000, 1)]),
        screen(1, 32, &BGR),
        tag(14, &[1; 20]),
        tag(15, &[2; 36]),
        end(),
    ]);
    let tags = Tags::parse(&bytes);
    assert_eq!(tags.problem, None);
    assert_eq!(tags.command_line, b"run=none log.level=debug");
    let regions: Vec<Region> = tags.regions().collect();
    assert_eq!(
        regions,
        [
            region(0, 0x9_fc00, Kind::Usable),
            region(0xf_0000, 0x10_0000, Kind::Reserved),
            region(0x10_0000, 0x710_0000, Kind::Usable)
        ]
    );
    assert_eq!(bytes[tags.rsdp_offset.unwrap()..][..36], [2; 36], "the newer root pointer");
    let expected = Framebuffer {
        address: 0x8000_0000,
        width: 1024,
        height: 768,
        stride_bytes: 4096,
        bytes_per_pixel: 4,
        format: PixelFormat::BGR,
    };
    assert_eq!(tags.framebuffer, Some(Ok(expected)));
}

#[test]
fn the_newer_root_pointer_counts_in_either_order() {
    let bytes = block(&[tag(15, &[2; 36]), tag(14, &[1; 20]), end()]);
    assert_eq!(bytes[Tags::parse(&bytes).rsdp_offset.unwrap()], 2);
    let bytes = block(&[tag(14, &[1; 20]), end()]);
    assert_eq!(bytes[Tags::parse(&bytes).rsdp_offset.unwrap()], 1);
}

#[test]
fn the_map_of_uefi_is_second_choice() {
    let uefi = || {
        let kinds =
            [(7, 0x10_0000, 16), (4, 0x20_0000, 1), (9, 0x30_0000, 2), (10, 0x40_0000, 1), (0, 0x50_0000, 1)];
        efi_map(48, &kinds)
    };
    let bytes = block(&[uefi(), end()]);
    let tags = Tags::parse(&bytes);
    let kinds: Vec<Kind> = tags.regions().map(|region| region.kind).collect();
    assert_eq!(kinds, [Kind::Usable, Kind::Usable, Kind::AcpiReclaimable, Kind::AcpiNvs, Kind::Reserved]);
    assert_eq!(tags.regions().next(), Some(region(0x10_0000, 0x11_0000, Kind::Usable)));
    let bytes = block(&[uefi(), bios_map(24, &[(0, 4096, 1)]), end()]);
    assert_eq!(Tags::parse(&bytes).regions().count(), 1);
}

#[test]
fn without_a_map_the_basic_sizes_count() {
    let basic = tag(4, &[u32::MAX.to_le_bytes(), 1024_u32.to_le_bytes()].concat());
    let bytes = block(&[basic, end()]);
    let tags = Tags::parse(&bytes);
    assert_eq!(tags.problem, Some(Problem::NoMap));
    let regions: Vec<Region> = tags.regions().collect();
    let expected = [region(0, 0xa_0000, Kind::Usable), region(0x10_0000, 0x20_0000, Kind::Usable)];
    assert_eq!(regions, expected);
    assert_eq!(Tags::parse(&block(&[end()])).regions().count(), 0);
}

#[test]
fn screens_without_colours_of_their_own_are_not_used() {
    let found = |tag| Tags::parse(&block(&[tag, end()])).framebuffer;
    assert_eq!(found(screen(2, 16, &[])), None, "text mode is no problem");
    assert_eq!(found(screen(0, 8, &[0; 6])), Some(Err(framebuffer::Problem::UnknownFormat)));
    assert_eq!(found(screen(7, 32, &BGR)), Some(Err(framebuffer::Problem::UnknownFormat)));
    let bytes = block(&[screen(1, 32, &BGR[..4]), end()]);
    let tags = Tags::parse(&bytes);
    assert_eq!((tags.framebuffer, tags.problem), (None, Some(Problem::Short { kind: 8, size: 36 })));
    assert!(matches!(found(screen(1, 15, &BGR)), Some(Ok(Framebuffer { bytes_per_pixel: 2, .. }))));
}

#[test]
fn a_broken_tag_costs_only_itself() {
    let map = || bios_map(24, &[(0, 4096, 1)]);
    let bytes = block(&[bios_map(12, &[]), tag(15, &[2; 35]), tag(1, b"x=1"), map(), end()]);
    let tags = Tags::parse(&bytes);
    assert_eq!(tags.problem, Some(Problem::Short { kind: 6, size: 16 }));
    assert_eq!((tags.rsdp_offset, tags.command_line, tags.regions().count()), (None, &b"x=1"[..], 1));
    // A map without entries hides no other.
    let bytes = block(&[bios_map(24, &[]), map(), end()]);
    let tags = Tags::parse(&bytes);
    assert_eq!((tags.problem, tags.regions().count()), (Some(Problem::Short { kind: 6, size: 16 }), 1));
}

#[test]
fn sizes_that_lead_outside_end_the_block() {
    let mut bytes = block(&[tag(1, b"x=1\0"), tag(1, b"y=1\0"), end()]);
    let second = 8 + 16;
    for size in [0, 7, u32::MAX, 1 << 31, (bytes.len() - second + 1) as u32] {
        bytes[second + 4..second + 8].copy_from_slice(&size.to_le_bytes());
        let tags = Tags::parse(&bytes);
        assert_eq!(tags.problem, Some(Problem::TagSize { offset: second, size }));
        assert_eq!(tags.command_line, b"x=1");
    }
    let bytes = block(&[bios_map(24, &[(0, 4096, 1)])]);
    assert_eq!(Tags::parse(&bytes).problem, Some(Problem::NoEnd));
    assert_eq!(Tags::parse(&bytes).regions().count(), 1);
    assert_eq!(Tags::parse(&[]).problem, Some(Problem::NoEnd));
}

#[test]
fn lengths_that_overflow_are_clipped() {
    let bytes = block(&[bios_map(24, &[(4096, u64::MAX, 1)]), end()]);
    assert_eq!(Tags::parse(&bytes).regions().next(), Some(region(4096, u64::MAX, Kind::Usable)));
    let bytes = block(&[efi_map(40, &[(7, 4096, u64::MAX)]), end()]);
    assert_eq!(Tags::parse(&bytes).regions().next(), Some(region(4096, u64::MAX, Kind::Usable)));
}

#[test]
fn the_size_of_a_block_is_bounded() {
    let header = |size: u32| [size.to_le_bytes(), [0; 4]].concat().try_into().unwrap();
    assert_eq!(block_bytes(header(8)), Ok(8));
    assert_eq!(block_bytes(header(MAX_BYTES)), Ok(MAX_BYTES));
    for size in [0, 7, MAX_BYTES + 1, u32::MAX] {
        assert_eq!(block_bytes(header(size)), Err(Problem::BlockSize(size)));
    }
}

proptest! {
    /// Any bytes are tags, and everything in them lies in the block.
    #[test]
    fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let tags = Tags::parse(&bytes);
        prop_assert!(tags.command_line.len() <= bytes.len());
        prop_assert!(tags.rsdp_offset.is_none_or(|offset| offset + 20 <= bytes.len()));
        prop_assert!(tags.regions().all(|region| region.start <= region.end));
    }
}
