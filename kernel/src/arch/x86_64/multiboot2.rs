//! The Multiboot2 entry: reads the tags of GRUB and other loaders. The crate `firmware` reads them on bytes, where it is
//! tested.

use firmware::multiboot2::{self, HEADER_BYTES, LOADER_MAGIC, Tags};
use protocol::record::Entry;

use super::handover::{self, Handover, Problem, read_physical};
use super::paging::{BOOT_MAP_BYTES, PHYS_MAP_BASE};
use super::{boot_map, image, tsc};

/// Starts the kernel: the first Rust function. The entry code calls it once, on the boot stack and the boot map, with the
/// registers that the loader left. Without tags the kernel has no memory, which `kernel_main` reports.
#[unsafe(no_mangle)]
extern "C" fn multiboot2_start(tags_address: u64, entry_tsc: u64, magic: u64) -> ! {
    tsc::set_origin(entry_tsc);
    // From here on an exception is reported.
    super::trap::load();
    image::publish(boot_map::loaded_whole);
    let block = block(tags_address, magic as u32);
    let tags = block.map_or_else(Tags::none, Tags::parse);
    let cmdline = handover::copy_cmdline(tags.command_line.iter().copied());
    let (regions, map) = handover::copy_map(tags.regions(), tags.regions().count() as u64);
    let handover = Handover {
        entry: Entry::Multiboot2,
        cmdline,
        framebuffer: tags.framebuffer,
        problem: tags.problem.map(Problem::Tags),
        map,
    };
    // The copy of the root pointer stays where it is: it is read before any page is allocated.
    let rsdp = tags.rsdp_offset.map(|offset| tags_address + offset as u64);
    handover::enter(handover, regions, rsdp)
}

/// Returns the block of tags.
fn block(address: u64, magic: u32) -> Result<&'static [u8], multiboot2::Problem> {
    if magic != LOADER_MAGIC {
        return Err(multiboot2::Problem::Magic(magic));
    }
    let unreadable = multiboot2::Problem::Unreadable { address };
    let header = read_physical::<[u8; HEADER_BYTES]>(address).ok_or(unreadable)?;
    let len_bytes = multiboot2::block_bytes(header)?;
    let range = address..address + u64::from(len_bytes);
    if range.end > BOOT_MAP_BYTES || image::holds_physical(&range) {
        return Err(unreadable);
    }
    // SAFETY:
    // 1. The range is not at address 0 and ends within the first 4 GiB, which the boot map maps (invariant 13).
    // 2. It is outside the image. So nothing writes it before page frames are allocated, and the boot CPU is alone
    //    (invariant 17). No reference outlives that.
    Ok(unsafe { core::slice::from_raw_parts((PHYS_MAP_BASE + address) as *const u8, len_bytes as usize) })
}
