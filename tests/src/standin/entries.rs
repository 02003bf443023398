//! The addresses at which loaders enter the kernel, from its ELF file.

use object::LittleEndian;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader, ProgramHeader};
use std::path::Path;

/// Returns the address at which a direct loader enters the kernel, from its PVH note.
///
/// # Errors
///
/// When the file cannot be read, or has no such note.
pub fn pvh(elf: &Path) -> Result<u32, String> {
    const XEN_PHYS32_ENTRY: u32 = 18;
    let bytes = std::fs::read(elf).map_err(|error| cannot(elf, error))?;
    let read = || {
        let header = FileHeader64::<LittleEndian>::parse(&*bytes)?;
        for segment in header.program_headers(LittleEndian, &*bytes)? {
            let Some(mut notes) = segment.notes(LittleEndian, &*bytes)? else { continue };
            while let Some(note) = notes.next()? {
                if note.name() == b"Xen" && note.n_type(LittleEndian) == XEN_PHYS32_ENTRY {
                    return Ok(note.desc().get(..4).map(|word| u32_at(word, 0)));
                }
            }
        }
        Ok(None)
    };
    let entry = read().map_err(|error: object::Error| cannot(elf, error))?;
    entry.ok_or_else(|| cannot(elf, "no PVH note"))
}

/// Returns the address at which a Multiboot2 loader enters the kernel, from its header.
///
/// # Errors
///
/// When the file cannot be read, or the header is not as the specification says.
pub fn multiboot2(elf: &Path) -> Result<u32, String> {
    let bytes = std::fs::read(elf).map_err(|error| cannot(elf, error))?;
    in_header(&bytes).map_err(|error| cannot(elf, error))
}

fn in_header(file: &[u8]) -> Result<u32, &'static str> {
    const SEARCHED_BYTES: usize = 32 << 10;
    const MAGIC: u32 = 0xe852_50d6;
    const ENTRY_ADDRESS: u16 = 3;
    const END: u16 = 0;
    let searched = &file[..file.len().min(SEARCHED_BYTES)];
    let at = (0..searched.len().saturating_sub(16)).step_by(8).find(|at| u32_at(searched, *at) == MAGIC);
    let header = &searched[at.ok_or("no Multiboot2 header in the first 32 KiB, aligned to 8 bytes")?..];
    let length = u32_at(header, 8) as usize;
    let header = header.get(..length).ok_or("the Multiboot2 header does not end in the first 32 KiB")?;
    if [0, 4, 8, 12].into_iter().fold(0_u32, |sum, at| sum.wrapping_add(u32_at(header, at))) != 0 {
        return Err("the sum of the Multiboot2 header is not 0");
    }
    let (mut at, mut entry) = (16, None);
    while let Some(tag) = header.get(at..at + 8) {
        let kind = u16::from_le_bytes([tag[0], tag[1]]);
        match kind {
            END => return entry.ok_or("the Multiboot2 header names no entry"),
            ENTRY_ADDRESS => entry = Some(u32_at(header, at + 8)),
            _ => {}
        }
        at = (at + (u32_at(tag, 4) as usize).max(8)).next_multiple_of(8);
    }
    Err("the Multiboot2 header has no end")
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |high, byte| high << 8 | u32::from(*byte))
}

fn cannot(elf: &Path, error: impl std::fmt::Display) -> String {
    format!("{}: {error}", elf.display())
}
