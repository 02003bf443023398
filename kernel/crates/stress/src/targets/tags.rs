//! From any block of Multiboot2 tags to a memory map, a command line and a screen.

use firmware::framebuffer::Framebuffer;
use firmware::memmap::{MemoryMap, Region};
use firmware::multiboot2::{HEADER_BYTES, Tags, block_bytes};
use std::cell::RefCell;

use super::acpi::MAP;
use crate::input::Rng;

thread_local! {
    static REPAIRED: RefCell<MemoryMap> = const { RefCell::new(MemoryMap::EMPTY) };
}

/// Reads any block: everything that is found lies in the block, and the map can be repaired. A block is accepted if it has a
/// memory map, or a screen that passes its check.
pub fn run(rng: &mut Rng) -> bool {
    let mut block = sound(rng);
    if rng.one_in(4) {
        break_sizes(rng, &mut block);
    } else {
        rng.break_bytes(&mut block);
    }
    let mut header = [0; HEADER_BYTES];
    block.iter().zip(&mut header).for_each(|(byte, place)| *place = *byte);
    // The kernel reads as many bytes as the block claims, whatever memory they are.
    if let Ok(size) = block_bytes(header)
        && size as usize <= block.len()
    {
        block.truncate(size as usize);
    }
    let tags = Tags::parse(&block);
    let is_inside = |part: &[u8]| part.is_empty() || block.as_ptr_range().contains(&part.as_ptr());
    assert!(is_inside(tags.command_line) && !tags.command_line.contains(&0));
    assert!(tags.rsdp_offset.is_none_or(|offset| offset >= HEADER_BYTES && offset + 20 <= block.len()));
    // 20 bytes are the shortest entry of a map, and two regions come from the basic sizes.
    let count = tags.regions().count();
    assert!(count <= (block.len() / 20).max(2));
    assert!(tags.regions().all(|region: Region| region.start <= region.end));
    let has_memory = REPAIRED.with_borrow_mut(|map| {
        let report = map.fill(tags.regions(), 46);
        assert_eq!(report.input, count);
        map.total_usable_bytes() > 0
    });
    has_memory || screen(&tags)
}

/// Checks the screen: each of its lines is inside of its memory, and outside of all that is listed.
fn screen(tags: &Tags<'_>) -> bool {
    let Some(Ok(screen)) = tags.framebuffer else { return false };
    let Ok(Framebuffer { width, height, stride_bytes, bytes_per_pixel, .. }) = screen.check(&MAP) else {
        return false;
    };
    assert!(width > 0 && height > 0 && (2..=4).contains(&bytes_per_pixel));
    assert!(u64::from(stride_bytes) >= u64::from(width) * u64::from(bytes_per_pixel));
    let range = screen.range();
    assert!(range.start > 0 && range.end - range.start == u64::from(stride_bytes) * u64::from(height));
    assert!(!MAP.usable().any(|usable| usable.start < range.end && range.start < usable.end));
    true
}

/// Returns a sound block with some of the tags that loaders pass.
fn sound(rng: &mut Rng) -> Vec<u8> {
    let mut block = vec![0; HEADER_BYTES];
    for _ in 0..=rng.below(6) {
        match rng.below(9) {
            0 => put(&mut block, 1, b"run=none log.level=debug\0"),
            1 => put(&mut block, 4, &words(&[640, 0x7_fc00])),
            2..=4 => put(&mut block, 6, &bios_map(rng)),
            5 => put(&mut block, 8, &framebuffer(rng)),
            6 => put(&mut block, 14, &[0x52; 20]),
            7 => put(&mut block, 15, &[0x52; 36]),
            _ => put(&mut block, 17, &efi_map(rng)),
        }
    }
    put(&mut block, 0, &[]);
    let size = (block.len() as u32).to_le_bytes();
    block[..4].copy_from_slice(&size);
    block
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn put(block: &mut Vec<u8>, kind: u32, body: &[u8]) {
    block.extend(words(&[kind, 8 + body.len() as u32]));
    block.extend(body);
    block.resize(block.len().next_multiple_of(8), 0);
}

fn bios_map(rng: &mut Rng) -> Vec<u8> {
    let mut body = words(&[24, 0]);
    for _ in 0..=rng.below(4) {
        body.extend(((rng.below(64) as u64) << 20).to_le_bytes());
        body.extend(((rng.below(64) as u64) << 20).to_le_bytes());
        body.extend(words(&[rng.pick(&[1, 1, 1, 2, 3, 4, 5]), 0]));
    }
    body
}

fn efi_map(rng: &mut Rng) -> Vec<u8> {
    let mut body = words(&[48, 1]);
    for _ in 0..=rng.below(4) {
        body.extend(words(&[rng.below(16) as u32, 0]));
        body.extend(((rng.below(64) as u64) << 20).to_le_bytes());
        body.extend([0; 8]);
        body.extend((rng.below(1 << 12) as u64).to_le_bytes());
        body.extend([0; 16]);
    }
    body
}

fn framebuffer(rng: &mut Rng) -> Vec<u8> {
    let mut body = (rng.pick(&[0x8000_0000_u64, 0xfd00_0000, 0x1000, u64::MAX])).to_le_bytes().to_vec();
    body.extend(words(&[4096, 1024, 768]));
    body.extend([rng.pick(&[32, 24, 16, 8]), rng.pick(&[1, 1, 0, 2]), 0, 0]);
    body.extend([16, 8, 8, 8, 0, 8]);
    body
}

/// Sets the size of tags, or the size of a map's entries, to a number at or past an edge.
fn break_sizes(rng: &mut Rng, block: &mut [u8]) {
    let edges = [0, 7, 8, 9, 15, 16, 19, 20, block.len() as u32, u32::MAX, u32::MAX - 7, 1 << 31];
    for _ in 0..=rng.below(3) {
        let place = HEADER_BYTES + 4 * rng.below((block.len() - HEADER_BYTES) / 4);
        block[place..place + 4].copy_from_slice(&rng.pick(&edges).to_le_bytes());
    }
}
