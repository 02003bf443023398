//! Data of a Multiboot2 loader: a block of tags.

use super::rom::Blob;
use super::start_info::Range;

/// Mark in `eax` that the loader's data are tags.
pub const MAGIC: u32 = 0x36d7_6289;

/// Kind of the tag with the memory map.
pub const MEMORY_MAP: u32 = 6;
/// Kind of the tag with the screen.
pub const SCREEN: u32 = 8;
/// Kind of the tag with a copy of the newer root pointer.
pub const ROOT_POINTER: u32 = 15;
/// Kind of the tag at the end.
pub const END: u32 = 0;

const COMMAND_LINE: u32 = 1;
const BASIC_MEMORY: u32 = 4;
const OLD_ROOT_POINTER: u32 = 14;

/// A tag: its kind, its size, its contents.
#[derive(Clone, Debug)]
pub struct Tag {
    /// Kind.
    pub kind: u32,
    /// Size that the tag claims, with its header of 8 bytes.
    pub size: u32,
    /// Contents.
    pub body: Vec<u8>,
}

impl Tag {
    /// Returns a sound tag.
    pub fn new(kind: u32, body: Vec<u8>) -> Self {
        Self { kind, size: 8 + body.len() as u32, body }
    }
}

/// How a Multiboot2 loader enters the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Multiboot2 {
    /// Address of the tags.
    pub at: u32,
    /// The change to sound tags.
    pub edit: fn(&mut Vec<Tag>),
}

/// Returns the tag of a screen of 32 bits in a pixel.
pub fn screen(address: u64, width: u32, height: u32, stride_bytes: u32, format: u8) -> Tag {
    let mut body = address.to_le_bytes().to_vec();
    body.extend([stride_bytes, width, height].into_iter().flat_map(u32::to_le_bytes));
    // Bits of a pixel; then red, green, blue: lowest bit, bits.
    body.extend([32, format, 0, 0, 16, 8, 8, 8, 0, 8]);
    Tag::new(SCREEN, body)
}

/// Returns the tags of a sound loader.
pub fn sound(map: &[Range], command_line: &[u8], root_pointer: Option<&[u8]>) -> Vec<Tag> {
    let mut entries = [24_u32, 0].map(u32::to_le_bytes).concat();
    for range in map {
        entries
            .extend([range.start, range.len_bytes, range.kind as u64].into_iter().flat_map(u64::to_le_bytes));
    }
    // KiB from 0 and from 1 MiB on.
    let end = map.iter().find(|range| range.start == 1 << 20).map_or(0, |range| range.len_bytes >> 10);
    let mut tags = vec![
        Tag::new(COMMAND_LINE, [command_line, &[0]].concat()),
        Tag::new(BASIC_MEMORY, [636, end as u32].map(u32::to_le_bytes).concat()),
        Tag::new(MEMORY_MAP, entries),
    ];
    if let Some(pointer) = root_pointer {
        let kind = if pointer.len() > 20 { ROOT_POINTER } else { OLD_ROOT_POINTER };
        tags.push(Tag::new(kind, pointer.to_vec()));
    }
    tags.push(Tag::new(END, Vec::new()));
    tags
}

/// Returns the block of these tags.
pub fn block(at: u32, tags: &[Tag]) -> Blob {
    let mut bytes = vec![0; 8];
    for tag in tags {
        bytes.extend([tag.kind, tag.size].into_iter().flat_map(u32::to_le_bytes));
        bytes.extend(&tag.body);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    let size = (bytes.len() as u32).to_le_bytes();
    bytes[..4].copy_from_slice(&size);
    Blob { at: at.into(), bytes }
}
