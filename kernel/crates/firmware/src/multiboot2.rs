//! The tags that a Multiboot2 loader (GRUB) leaves for the kernel.
//!
//! The information is one block: its size, then tags, each with a kind and a size, aligned to 8 bytes. The source is the
//! Multiboot2 specification, version 2.0, section 3.6. A loader may lie in each number: a wrong one costs its tag, and a size
//! that leads out of the block costs the tags behind it.

use core::fmt;

use crate::acpi::{RSDP_V1_BYTES, RSDP_V2_BYTES, array_at, u32_at};
use crate::framebuffer::{self, Channel, Framebuffer, PixelFormat};
use crate::memmap::{Kind, Region};

/// Value of `eax` at the entry.
pub const LOADER_MAGIC: u32 = 0x36d7_6289;
/// Most bytes of a block of tags. GRUB's has some KiB, and some hundred with the symbols of the kernel.
pub const MAX_BYTES: u32 = 16 << 20;
/// Bytes of the block before the first tag.
pub const HEADER_BYTES: usize = 8;

const TAG_HEADER_BYTES: usize = 8;
const TAG_ALIGN: usize = 8;

const TAG_END: u32 = 0;
const TAG_COMMAND_LINE: u32 = 1;
const TAG_BASIC_MEMORY: u32 = 4;
const TAG_MEMORY_MAP: u32 = 6;
const TAG_FRAMEBUFFER: u32 = 8;
const TAG_RSDP_V1: u32 = 14;
const TAG_RSDP_V2: u32 = 15;
const TAG_EFI_MAP: u32 = 17;

/// What the tags say; nothing for what is missing or broken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tags<'a> {
    /// Command line, up to its first NUL.
    pub command_line: &'a [u8],
    /// Memory map of the BIOS kind, which GRUB gives on every firmware.
    bios_map: Option<Map<'a>>,
    /// Memory map of UEFI.
    efi_map: Option<Map<'a>>,
    /// KiB of memory from address 0, and from 1 MiB on.
    basic_kib: Option<[u32; 2]>,
    /// Offset of a copy of the ACPI root pointer in the block: the newer one, if there are two.
    pub rsdp_offset: Option<usize>,
    /// The screen, not checked yet.
    pub framebuffer: Option<Result<Framebuffer, framebuffer::Problem>>,
    /// The first problem.
    pub problem: Option<Problem>,
}

/// Problem of a block of tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The block lies where it cannot be read.
    Unreadable {
        /// Its physical address.
        address: u64,
    },
    /// The loader's mark is not in its register.
    Magic(u32),
    /// The block's own size is too small or too large.
    BlockSize(u32),
    /// A tag ends outside of the block, or is shorter than its header.
    TagSize {
        /// Offset of the tag in the block.
        offset: usize,
        /// Size that the tag claims.
        size: u32,
    },
    /// A tag is too short for its kind, or has entries of an impossible size.
    Short {
        /// Kind of the tag.
        kind: u32,
        /// Size of the tag.
        size: u32,
    },
    /// The block ends without an end tag.
    NoEnd,
    /// No tag has a memory map.
    NoMap,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { address } => {
                write!(
                    f,
                    "lie at {address:#x}, where they cannot be read; should be outside the image and below 4 GiB"
                )
            }
            Self::Magic(magic) => {
                write!(f, "are not announced: {magic:#x} in eax, should be {LOADER_MAGIC:#x}")
            }
            Self::BlockSize(size) => {
                write!(f, "have {size} bytes; should be {HEADER_BYTES} to {MAX_BYTES}")
            }
            Self::TagSize { offset, size } => {
                write!(f, "contain one of {size} bytes at offset {offset}, which does not fit")
            }
            Self::Short { kind, size } => {
                write!(f, "contain one of kind {kind} that is too short: {size} bytes")
            }
            Self::NoEnd => write!(f, "have no end"),
            Self::NoMap => write!(
                f,
                "contain no memory map; of memory only the sizes below and above 1 MiB are known, if these"
            ),
        }
    }
}

impl core::error::Error for Problem {}

/// Entries of a memory map, of one size.
#[derive(Clone, Copy, Debug)]
struct Map<'a> {
    entries: &'a [u8],
    entry_bytes: usize,
    is_efi: bool,
}

impl Map<'_> {
    fn regions(&self) -> impl Iterator<Item = Region> + Clone + '_ {
        let is_efi = self.is_efi;
        self.entries
            .chunks_exact(self.entry_bytes)
            .map(move |entry| if is_efi { efi_region(entry) } else { bios_region(entry) })
    }
}

/// Base, length, kind.
const BIOS_ENTRY_BYTES: usize = 20;
/// Kind, padding, base, virtual address, pages.
const EFI_ENTRY_BYTES: usize = 32;

fn bios_region(entry: &[u8]) -> Region {
    let start = u64_at(entry, 0);
    let end = start.saturating_add(u64_at(entry, 8));
    Region { start, end, kind: Kind::from_e820(u32_at(entry, 16)) }
}

fn efi_region(entry: &[u8]) -> Region {
    let start = u64_at(entry, 8);
    let end = start.saturating_add(u64_at(entry, 24).saturating_mul(crate::PAGE_BYTES));
    // Loader and boot services have ended: their memory is free.
    let kind = match u32_at(entry, 0) {
        1..=4 | 7 => Kind::Usable,
        number => Kind::from_uefi(number),
    };
    Region { start, end, kind }
}

/// Returns the size of a block from its first eight bytes.
///
/// # Errors
/// The size is too small or too large.
pub fn block_bytes(header: [u8; HEADER_BYTES]) -> Result<u32, Problem> {
    let size = u32_at(&header, 0);
    if (HEADER_BYTES as u32..=MAX_BYTES).contains(&size) { Ok(size) } else { Err(Problem::BlockSize(size)) }
}

impl<'a> Tags<'a> {
    /// Returns no tags, because of `problem`.
    #[must_use]
    pub fn none(problem: Problem) -> Self {
        Self { problem: Some(problem), ..Self::default() }
    }

    /// Reads the tags of `block`, which begins with its header. Of several tags of one kind the first sound one counts.
    #[must_use]
    pub fn parse(block: &'a [u8]) -> Self {
        let mut tags = Self::default();
        let mut offset = HEADER_BYTES;
        let problem = loop {
            let Some(header) = block.get(offset..).and_then(|rest| rest.get(..TAG_HEADER_BYTES)) else {
                break Some(Problem::NoEnd);
            };
            let (kind, size) = (u32_at(header, 0), u32_at(header, 4));
            let end = offset.checked_add(size as usize).filter(|_| size as usize >= TAG_HEADER_BYTES);
            let Some(tag) = end.and_then(|end| block.get(offset..end)) else {
                break Some(Problem::TagSize { offset, size });
            };
            if kind == TAG_END {
                break None;
            }
            if tags.take(kind, tag, offset).is_none() {
                tags.problem.get_or_insert(Problem::Short { kind, size });
            }
            // Cannot overflow: the tag lies in the block.
            offset = (offset + tag.len()).next_multiple_of(TAG_ALIGN);
        };
        let no_map = tags.bios_map.is_none() && tags.efi_map.is_none();
        tags.problem = tags.problem.or(problem).or(no_map.then_some(Problem::NoMap));
        tags
    }

    /// Takes what a tag says. Returns `None` if the tag is too short.
    fn take(&mut self, kind: u32, tag: &'a [u8], offset: usize) -> Option<()> {
        match kind {
            TAG_COMMAND_LINE if self.command_line.is_empty() => {
                let text = &tag[TAG_HEADER_BYTES..];
                let len = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
                self.command_line = &text[..len];
            }
            TAG_BASIC_MEMORY if self.basic_kib.is_none() => {
                let sizes = tag.get(TAG_HEADER_BYTES..TAG_HEADER_BYTES + 8)?;
                self.basic_kib = Some([u32_at(sizes, 0), u32_at(sizes, 4)]);
            }
            TAG_MEMORY_MAP if self.bios_map.is_none() => {
                self.bios_map = Some(entries(tag, 16, 8, BIOS_ENTRY_BYTES, false)?);
            }
            TAG_EFI_MAP if self.efi_map.is_none() => {
                self.efi_map = Some(entries(tag, 16, 8, EFI_ENTRY_BYTES, true)?);
            }
            TAG_RSDP_V2 | TAG_RSDP_V1 => {
                let least = if kind == TAG_RSDP_V2 { RSDP_V2_BYTES } else { RSDP_V1_BYTES };
                tag.get(TAG_HEADER_BYTES..TAG_HEADER_BYTES + least)?;
                if kind == TAG_RSDP_V2 || self.rsdp_offset.is_none() {
                    self.rsdp_offset = Some(offset + TAG_HEADER_BYTES);
                }
            }
            TAG_FRAMEBUFFER if self.framebuffer.is_none() => self.framebuffer = screen(tag)?,
            _ => {}
        }
        Some(())
    }

    /// Returns the regions of the memory map, in its order. Without a map, returns those that the basic sizes describe.
    pub fn regions(&self) -> impl Iterator<Item = Region> + Clone + '_ {
        let map = self.bios_map.as_ref().or(self.efi_map.as_ref());
        let basic = self.basic_kib.filter(|_| map.is_none());
        let basic = basic.into_iter().flat_map(|[below, above]| {
            let region =
                |start: u64, kib| Region { start, end: start + u64::from(kib) * 1024, kind: Kind::Usable };
            [region(0, below.min(640)), region(1 << 20, above)]
        });
        map.into_iter().flat_map(Map::regions).chain(basic)
    }
}

/// Returns the entries of a map, which begin at byte `from` of its tag; `None` if there are none. Their size is in the tag.
fn entries(tag: &[u8], from: usize, size_at: usize, least: usize, is_efi: bool) -> Option<Map<'_>> {
    let entries = tag.get(from..)?;
    let entry_bytes = u32_at(tag, size_at) as usize;
    (least..=entries.len()).contains(&entry_bytes).then_some(Map { entries, entry_bytes, is_efi })
}

/// Returns the screen of a framebuffer tag, nothing for text mode, or `None` if the tag is too short.
#[expect(clippy::option_option, reason = "the outer one is for the operator `?`")]
fn screen(tag: &[u8]) -> Option<Option<Result<Framebuffer, framebuffer::Problem>>> {
    const DIRECT_COLOUR: u8 = 1;
    const TEXT: u8 = 2;
    let fixed = tag.get(..32)?;
    match fixed[29] {
        DIRECT_COLOUR => {}
        TEXT => return Some(None),
        _ => return Some(Some(Err(framebuffer::Problem::UnknownFormat))),
    }
    let colours = tag.get(32..38)?;
    let channel = |at: usize| Channel { shift: colours[at], bits: colours[at + 1] };
    Some(Some(Ok(Framebuffer {
        address: u64_at(fixed, 8),
        stride_bytes: u32_at(fixed, 16),
        width: u32_at(fixed, 20),
        height: u32_at(fixed, 24),
        bytes_per_pixel: fixed[28].div_ceil(8),
        format: PixelFormat { red: channel(0), green: channel(2), blue: channel(4) },
    })))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, offset))
}
