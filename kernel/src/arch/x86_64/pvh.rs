//! The PVH entry: reads the start info of `qemu -kernel` and other direct loaders.
//!
//! PVH is Xen's direct boot protocol. Its start info (magic `0x336ec578`) has the physical addresses of a memory map, the
//! ACPI root pointer and a command line. All of them lie below 4 GiB, within the boot map.

use firmware::memmap::{Kind, Region};
use protocol::record::Entry;

use super::handover::{self, Handover, read_physical};
use super::{boot_map, image, tsc};

/// `struct hvm_start_info` of the PVH ABI, version 1.
#[derive(Clone, Copy)]
#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    flags: u32,
    module_count: u32,
    modules: u64,
    cmdline: u64,
    rsdp: u64,
    memory_map: u64,
    memory_map_entries: u32,
    reserved: u32,
}

/// `struct hvm_memmap_table_entry` of the PVH ABI.
#[derive(Clone, Copy)]
#[repr(C)]
struct MemoryMapEntry {
    start: u64,
    len_bytes: u64,
    kind: u32,
    reserved: u32,
}

const START_INFO_MAGIC: u32 = 0x336e_c578;

const _: () = assert!(size_of::<StartInfo>() == 56 && size_of::<MemoryMapEntry>() == 24);

/// Starts the kernel: the first Rust function. The entry code calls it once, on the boot stack and the boot map. Without a
/// start info the kernel has no memory, which `kernel_main` reports.
#[unsafe(no_mangle)]
extern "C" fn pvh_start(start_info: u64, entry_tsc: u64) -> ! {
    tsc::set_origin(entry_tsc);
    // From here on an exception is reported.
    super::trap::load();
    image::publish(boot_map::loaded_whole);
    let info = read_physical::<StartInfo>(start_info).filter(|info| info.magic == START_INFO_MAGIC);
    let cmdline = handover::copy_cmdline(info.into_iter().flat_map(|info| text(info.cmdline)));
    let promised = info.map_or(0, map_entries);
    let (regions, map) = handover::copy_map(info.into_iter().flat_map(memory_regions), promised);
    let handover = Handover { entry: Entry::Pvh, cmdline, framebuffer: None, problem: None, map };
    handover::enter(handover, regions, info.map(|info| info.rsdp))
}

/// Returns the number of entries of the memory map, as the loader counts them.
fn map_entries(info: StartInfo) -> u64 {
    // Version 0 of the start info ends before the memory map.
    if info.version >= 1 { info.memory_map_entries.into() } else { 0 }
}

fn memory_regions(info: StartInfo) -> impl Iterator<Item = Region> + Clone {
    (0..map_entries(info)).map_while(move |index| {
        let offset = index * size_of::<MemoryMapEntry>() as u64;
        let entry = read_physical::<MemoryMapEntry>(info.memory_map.checked_add(offset)?)?;
        // A length that overflows is clipped here. `platform::memory_map` checks the rest.
        let end = entry.start.saturating_add(entry.len_bytes);
        Some(Region { start: entry.start, end, kind: Kind::from_e820(entry.kind) })
    })
}

/// Returns the bytes at `address` before the first NUL.
fn text(address: u64) -> impl Iterator<Item = u8> {
    (0..).map_while(move |index: u64| {
        let address = address.checked_add(index).filter(|_| address != 0)?;
        read_physical::<u8>(address).filter(|byte| *byte != 0)
    })
}
