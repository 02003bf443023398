//! What a loader hands over, in one form for all loaders.
//!
//! Each entry (`pvh`, `multiboot2`, `uefi`) copies what it needs out of the loader's memory into the kernel image, publishes
//! it here, and calls `kernel_main`. Later reads are of the firmware's tables, and of the root
//! pointer's copy in the loader's tags, before the first page frame is allocated.

use core::mem::MaybeUninit;

use bootloader_api::BootInfo;
use bootloader_api::info::{MemoryRegion, MemoryRegionKind};
use firmware::framebuffer::{self, Framebuffer};
use firmware::memmap::{Kind, MAX_REGIONS, MapReport, MemoryMap, Region};
use firmware::multiboot2;
use params::cmdline::{CommandLine, TextError};
use protocol::record::Entry;
use spin::Once;

use super::boot_cell::BootCell;
use super::paging::{BOOT_MAP_BYTES, PHYS_MAP_BASE};

core::arch::global_asm!(include_str!("boot.s"));

// SAFETY: `main.rs` defines it with this signature; it is called by its symbol, as the layers above are not imported here.
unsafe extern "Rust" {
    /// The boot, where every entry leads.
    safe fn kernel_main(boot_info: &'static mut BootInfo) -> !;
}

/// Most bytes of the command line that are copied from the loader.
pub const MAX_CMDLINE_BYTES: usize = protocol::MAX_COMMAND_LINE_BYTES;

/// What a loader hands over besides the `BootInfo`.
#[derive(Clone, Copy)]
pub struct Handover {
    /// The way into the kernel.
    pub entry: Entry,
    /// The command line, empty when the loader gave none.
    pub cmdline: CommandLine<'static>,
    /// The screen, not checked against the memory map yet.
    pub framebuffer: Option<Result<Framebuffer, framebuffer::Problem>>,
    /// A problem of the handover.
    pub problem: Option<Problem>,
    /// The result of reading the memory map.
    pub map: MapReading,
}

/// A problem of a handover. Displays as one line.
#[derive(Clone, Copy, Debug)]
pub enum Problem {
    /// The tags of Multiboot2 are broken.
    Tags(multiboot2::Problem),
    /// The ramdisk is not a command line.
    Ramdisk(TextError),
}

impl core::fmt::Display for Problem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Tags(problem) => write!(f, "the loader's tags {problem}"),
            Self::Ramdisk(error) => {
                write!(f, "the loader's ramdisk is no command line and not used: {error}")
            }
        }
    }
}

static HANDOVER: Once<Handover> = Once::new();

/// Returns what the loader handed over.
///
/// # Panics
/// Before an entry has published it: a kernel bug.
pub fn get() -> &'static Handover {
    HANDOVER.get().expect("every entry publishes the handover first")
}

/// The result of reading the loader's memory map.
#[derive(Clone, Copy, Default)]
pub struct MapReading {
    /// Number of entries that cannot be read.
    pub unreadable: u64,
    /// The report of the repair, for a map of more than [`MAX_REGIONS`] entries.
    pub condensed: Option<MapReport>,
}

/// Publishes the handover and starts the kernel. The boot map is in use, and the image's pages are published.
pub(super) fn enter(handover: Handover, regions: &'static mut [MemoryRegion], rsdp: Option<u64>) -> ! {
    static BOOT_INFO: BootCell<MaybeUninit<BootInfo>> = BootCell::new(MaybeUninit::uninit());

    HANDOVER.call_once(|| handover);
    let mut boot_info = BootInfo::new(regions.into());
    boot_info.physical_memory_offset = Some(PHYS_MAP_BASE).into();
    boot_info.rsdp_addr = rsdp.filter(|rsdp| *rsdp != 0).into();
    // SAFETY: an entry calls this once, with interrupts off, while the boot CPU is alone (invariant 17).
    kernel_main(unsafe { BOOT_INFO.take() }.write(boot_info))
}

/// Copies a `T` out of physical memory, if it lies within the boot map. `T` is an integer or a structure of integers.
pub(super) fn read_physical<T: Copy>(address: u64) -> Option<T> {
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

/// Copies the loader's memory map, of which `promised` entries were announced. A map with too many entries is repaired here
/// already, which takes less room. The repair counts every entry that it drops.
pub(super) fn copy_map(
    entries: impl Iterator<Item = Region> + Clone,
    promised: u64,
) -> (&'static mut [MemoryRegion], MapReading) {
    static REGIONS: BootCell<[MaybeUninit<MemoryRegion>; MAX_REGIONS]> =
        BootCell::new([const { MaybeUninit::uninit() }; MAX_REGIONS]);
    static CONDENSED: BootCell<MemoryMap> = BootCell::new(MemoryMap::EMPTY);

    /// Most entries that are read. No machine has more.
    const MAX_ENTRIES: usize = 1 << 16;

    let entries = entries.take(MAX_ENTRIES);
    let count = entries.clone().count();
    let mut reading = MapReading { unreadable: promised - count as u64, condensed: None };
    // SAFETY: each entry calls this once, with interrupts off, while the boot CPU is alone (invariant 17).
    let regions = unsafe { REGIONS.take() };
    let mut len = 0;
    let mut push = |region: Region| {
        let Region { start, end, kind } = region;
        regions[len].write(MemoryRegion { start, end, kind: loader_kind(kind) });
        len += 1;
    };
    if count <= MAX_REGIONS {
        entries.for_each(&mut push);
    } else {
        // SAFETY: as for `REGIONS`.
        let map = unsafe { CONDENSED.take() };
        // `platform::memory_map` checks the addresses against the width of the CPU's.
        reading.condensed = Some(map.fill(entries, u8::MAX));
        map.regions().iter().copied().for_each(&mut push);
    }
    // SAFETY: `push` has written the first `len` elements, and `MaybeUninit<T>` has the layout of `T`.
    let regions =
        unsafe { core::slice::from_raw_parts_mut(regions.as_mut_ptr().cast::<MemoryRegion>(), len) };
    (regions, reading)
}

fn loader_kind(kind: Kind) -> MemoryRegionKind {
    match kind {
        Kind::Usable => MemoryRegionKind::Usable,
        other => MemoryRegionKind::UnknownBios(other.to_e820()),
    }
}

/// Returns a region of a `BootInfo`. The loader's own memory is not usable.
pub fn region(region: &MemoryRegion) -> Region {
    let kind = match region.kind {
        MemoryRegionKind::Usable => Kind::Usable,
        MemoryRegionKind::UnknownBios(number) => Kind::from_e820(number),
        MemoryRegionKind::UnknownUefi(number) => Kind::from_uefi(number),
        _ => Kind::Reserved,
    };
    Region { start: region.start, end: region.end, kind }
}

/// Copies the command line out of the loader's memory: up to the end of `bytes`, at most [`MAX_CMDLINE_BYTES`].
pub(super) fn copy_cmdline(bytes: impl Iterator<Item = u8>) -> CommandLine<'static> {
    static BUFFER: BootCell<[u8; MAX_CMDLINE_BYTES]> = BootCell::new([0; MAX_CMDLINE_BYTES]);
    // SAFETY: each entry calls this once, with interrupts off, while the boot CPU is alone (invariant 17).
    let buffer = unsafe { BUFFER.take() };
    let mut len = 0;
    for byte in bytes {
        if len == buffer.len() {
            return CommandLine { bytes: buffer, is_cut: true };
        }
        buffer[len] = byte;
        len += 1;
    }
    CommandLine { bytes: &buffer[..len], is_cut: false }
}
