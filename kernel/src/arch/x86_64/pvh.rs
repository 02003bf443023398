//! The PVH entry: converts the start info of `qemu -kernel` and other direct loaders to a [`BootInfo`] for `kernel_main`.
//!
//! PVH is Xen's direct boot protocol. Its start info (magic `0x336ec578`) has the physical addresses of a memory map, the
//! ACPI root pointer and a command line. All of them lie below 4 GiB, within the boot map.

use core::mem::MaybeUninit;

use bootloader_api::BootInfo;
use bootloader_api::info::{MemoryRegion, MemoryRegionKind};
use firmware::memmap::{Kind, MAX_REGIONS, MapReport, MemoryMap, Region};
use params::cmdline::CommandLine;
use spin::Once;

use super::boot_cell::BootCell;
use super::paging::{BOOT_MAP_BYTES, PHYS_MAP_BASE};
use super::tsc;

core::arch::global_asm!(include_str!("boot.s"));

// SAFETY: `main.rs` defines it with this signature; it is called by its symbol, as the layers above are not imported here.
unsafe extern "Rust" {
    /// The boot, where every entry leads.
    safe fn kernel_main(boot_info: &'static mut BootInfo) -> !;
}

/// Bytes of the stack that `kernel_main` starts on.
const BOOT_STACK_BYTES: usize = 128 << 10;
/// Most bytes of the command line that are copied from the loader.
const MAX_CMDLINE_BYTES: usize = 4096;

/// The stack that the entry code switches to. Its first page is the guard: the kernel's page tables never map it.
#[repr(C, align(4096))]
struct BootStack {
    guard: [u8; 4096],
    bytes: [u8; BOOT_STACK_BYTES],
}

static mut BOOT_STACK: BootStack = BootStack { guard: [0; 4096], bytes: [0; BOOT_STACK_BYTES] };

core::arch::global_asm!(
    ".global BOOT_STACK_TOP",
    ".set BOOT_STACK_TOP, {stack} + {bytes}",
    stack = sym BOOT_STACK,
    bytes = const size_of::<BootStack>(),
);

/// Returns the address of the guard page below the boot stack.
pub fn boot_stack_guard() -> u64 {
    (&raw const BOOT_STACK) as u64
}

static CMDLINE: Once<CommandLine<'static>> = Once::new();
static LOADER_MAP: Once<LoaderMap> = Once::new();

/// Returns the command line, empty when the loader gave none.
pub fn cmdline() -> CommandLine<'static> {
    CMDLINE.get().copied().unwrap_or_default()
}

/// The result of reading the loader's memory map.
#[derive(Clone, Copy, Default)]
pub struct LoaderMap {
    /// Number of entries outside the boot map.
    pub unreadable: u64,
    /// The report of the repair, for a map of more than [`MAX_REGIONS`] entries.
    pub condensed: Option<MapReport>,
}

/// Returns the result of reading the loader's memory map.
pub fn loader_map() -> LoaderMap {
    LOADER_MAP.get().copied().unwrap_or_default()
}

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

/// Copies a `T` out of physical memory, if it lies within the boot map.
fn read_physical<T: Copy>(address: u64) -> Option<T> {
    let end = address.checked_add(size_of::<T>() as u64)?;
    if address == 0 || end > BOOT_MAP_BYTES {
        return None;
    }
    // SAFETY:
    // 1. The range is within the first 4 GiB, which the boot map maps (invariant 13).
    // 2. The callers use only integers and structures of integers, so any bytes are a valid value.
    // 3. `read_unaligned` needs no alignment.
    Some(unsafe { ((PHYS_MAP_BASE + address) as *const T).read_unaligned() })
}

/// Starts the kernel: the first Rust function. The entry code calls it once, on the boot stack.
#[unsafe(no_mangle)]
extern "C" fn pvh_start(start_info: u64, entry_tsc: u64) -> ! {
    tsc::set_origin(entry_tsc);
    // From here on an exception is reported.
    super::trap::load();
    let info = read_physical::<StartInfo>(start_info).filter(|info| info.magic == START_INFO_MAGIC);
    CMDLINE.call_once(|| info.map_or_else(CommandLine::default, |info| copy_cmdline(info.cmdline)));
    kernel_main(boot_info(info))
}

/// Builds the `BootInfo`. Without a start info it has no memory, which `kernel_main` reports.
fn boot_info(info: Option<StartInfo>) -> &'static mut BootInfo {
    static BOOT_INFO: BootCell<MaybeUninit<BootInfo>> = BootCell::new(MaybeUninit::uninit());

    let mut boot_info = BootInfo::new(take_regions(info).into());
    boot_info.physical_memory_offset = Some(PHYS_MAP_BASE).into();
    boot_info.rsdp_addr = info.map(|info| info.rsdp).filter(|rsdp| *rsdp != 0).into();
    // SAFETY: `boot_info` runs once, with interrupts off, while the boot CPU is alone (invariant 17).
    unsafe { BOOT_INFO.take() }.write(boot_info)
}

/// Copies the loader's memory map. A map with too many entries is repaired here already, which takes less room. The
/// repair counts every entry that it drops.
fn take_regions(info: Option<StartInfo>) -> &'static mut [MemoryRegion] {
    static REGIONS: BootCell<[MaybeUninit<MemoryRegion>; MAX_REGIONS]> =
        BootCell::new([const { MaybeUninit::uninit() }; MAX_REGIONS]);
    static CONDENSED: BootCell<MemoryMap> = BootCell::new(MemoryMap::EMPTY);

    let entries = || info.into_iter().flat_map(memory_regions);
    let count = entries().count();
    let promised = info.map_or(0, map_entries);
    let mut loader_map = LoaderMap { unreadable: promised - count as u64, condensed: None };
    // SAFETY: `boot_info` calls this once, with interrupts off, while the boot CPU is alone (invariant 17).
    let regions = unsafe { REGIONS.take() };
    let mut len = 0;
    let mut push = |region| {
        regions[len].write(region);
        len += 1;
    };
    if count <= MAX_REGIONS {
        entries().for_each(&mut push);
    } else {
        // SAFETY: as for `REGIONS`.
        let map = unsafe { CONDENSED.take() };
        let kind = |kind| match kind {
            MemoryRegionKind::UnknownBios(number) => Kind::from_e820(number),
            _ => Kind::Usable,
        };
        let plain =
            entries().map(|region| Region { start: region.start, end: region.end, kind: kind(region.kind) });
        // `platform::memory_map` checks the addresses against the width of the CPU's.
        loader_map.condensed = Some(map.fill(plain, u8::MAX));
        let as_loader = |region: &Region| MemoryRegion {
            start: region.start,
            end: region.end,
            kind: e820_kind(region.kind.to_e820()),
        };
        map.regions().iter().map(as_loader).for_each(&mut push);
    }
    LOADER_MAP.call_once(|| loader_map);
    // SAFETY: `push` has written the first `len` elements, and `MaybeUninit<T>` has the layout of `T`.
    unsafe { core::slice::from_raw_parts_mut(regions.as_mut_ptr().cast::<MemoryRegion>(), len) }
}

fn e820_kind(number: u32) -> MemoryRegionKind {
    match Kind::from_e820(number) {
        Kind::Usable => MemoryRegionKind::Usable,
        _ => MemoryRegionKind::UnknownBios(number),
    }
}

/// Most entries that are read. No machine has more.
const MAX_ENTRIES: u64 = 1 << 16;

/// Returns the number of entries of the memory map, as the loader counts them.
fn map_entries(info: StartInfo) -> u64 {
    // Version 0 of the start info ends before the memory map.
    if info.version >= 1 { info.memory_map_entries.into() } else { 0 }
}

fn memory_regions(info: StartInfo) -> impl Iterator<Item = MemoryRegion> {
    (0..map_entries(info).min(MAX_ENTRIES)).map_while(move |index| {
        let offset = index * size_of::<MemoryMapEntry>() as u64;
        let entry = read_physical::<MemoryMapEntry>(info.memory_map.checked_add(offset)?)?;
        // A length that overflows is clipped here. `platform::memory_map` checks the rest.
        let end = entry.start.saturating_add(entry.len_bytes);
        Some(MemoryRegion { start: entry.start, end, kind: e820_kind(entry.kind) })
    })
}

/// Copies the command line out of the loader's memory, up to the first NUL or [`MAX_CMDLINE_BYTES`].
fn copy_cmdline(address: u64) -> CommandLine<'static> {
    static BUFFER: BootCell<[u8; MAX_CMDLINE_BYTES]> = BootCell::new([0; MAX_CMDLINE_BYTES]);
    // SAFETY: called once, with interrupts off, while the boot CPU is alone (invariant 17).
    let buffer = unsafe { BUFFER.take() };
    let byte_at = |index: usize| {
        let address = address.checked_add(index as u64).filter(|_| address != 0)?;
        read_physical::<u8>(address).filter(|byte| *byte != 0)
    };
    let mut len = 0;
    while let Some(byte) = byte_at(len) {
        if len == buffer.len() {
            return CommandLine { bytes: buffer, is_cut: true };
        }
        buffer[len] = byte;
        len += 1;
    }
    CommandLine { bytes: &buffer[..len], is_cut: false }
}
