//! The UEFI entry: reads what the crate `bootloader` hands over.
//!
//! That loader maps the image page by page, in 64-bit mode, on page tables that it makes. It maps physical memory at an address
//! that it chooses. All that it hands over is copied on its tables; then the boot map takes over.

use bootloader_api::config::{BootloaderConfig, Mapping};
use bootloader_api::info::{FrameBufferInfo, PixelFormat as LoaderFormat};
use bootloader_api::{BootInfo, info};
use firmware::framebuffer::{self, Framebuffer, PixelFormat};
use params::cmdline::{self, CommandLine};
use protocol::record::Entry;
use x86_64::registers::control::{Cr3, Cr3Flags, Cr4, Cr4Flags};
use x86_64::structures::paging::PhysFrame;
use x86_64::{PhysAddr, VirtAddr};

use super::handover::{self, Handover, MAX_CMDLINE_BYTES, Problem};
use super::paging::{self, PAGE_BYTES};
use super::{boot_map, early_report, image, tsc};

/// What the kernel asks of the loader, which finds it by the name of its section.
#[used]
#[unsafe(link_section = ".bootloader-config")]
static CONFIG: [u8; BootloaderConfig::SERIALIZED_LEN] = {
    let mut config = BootloaderConfig::new_default();
    config.mappings.physical_memory = Some(Mapping::Dynamic);
    // The entry code uses the kernel's own stack.
    config.kernel_stack_size = PAGE_BYTES;
    config.serialize()
};

/// The physical memory that the loader maps at least.
const LOADER_MAP_BYTES: u64 = 4 << 30;

/// Starts the kernel: the first Rust function. The entry code calls it once, on the boot stack, and on the loader's page
/// tables. `boot_info` is the loader's argument.
#[unsafe(no_mangle)]
extern "C" fn uefi_start(boot_info: *const BootInfo, entry_tsc: u64) -> ! {
    tsc::set_origin(entry_tsc);
    // From here on an exception is reported.
    super::trap::load();
    // SAFETY: the argument is a whole `BootInfo`.
    let own_version = unsafe { version(&BootInfo::new((&mut [][..]).into())) };
    // SAFETY: the loader promises that its argument points to a mapped `BootInfo`, of whatever version.
    let loader_version = unsafe { version(boot_info) };
    if loader_version != own_version {
        early_report::cannot_run(format_args!(
            "the loader's handover is of version {loader_version:?}; should be {own_version:?}"
        ));
    }
    // SAFETY: the loader promises a valid structure, which nothing else uses. The version says that it is this type.
    let boot_info = unsafe { &*boot_info };
    let tables = LoaderTables::active(boot_info);
    image::publish(|virt| {
        tables.translate(virt).unwrap_or_else(|| {
            early_report::cannot_run(format_args!("the loader has not mapped the image's page {virt:#x}"))
        })
    });
    let (cmdline, problem) = match command_line(boot_info, &tables) {
        Ok(text) => (handover::copy_cmdline(text.iter().copied()), None),
        Err(error) => (CommandLine::default(), Some(Problem::Ramdisk(error))),
    };
    let promised = boot_info.memory_regions.len() as u64;
    let (regions, map) = handover::copy_map(boot_info.memory_regions.iter().map(handover::region), promised);
    let framebuffer = boot_info.framebuffer.as_ref().map(|found| screen(found, &tables));
    let rsdp = boot_info.rsdp_addr.into_option();
    // SAFETY: called once, while the boot CPU is alone (invariant 17). The tables in use are the loader's.
    let root = unsafe { boot_map::build() };
    // SAFETY:
    // 1. The boot map maps the image, with this code, its stack, the interrupt table and the segment table.
    // 2. The loader's memory is not accessed later by its virtual addresses.
    unsafe { Cr3::write(PhysFrame::containing_address(PhysAddr::new(root)), Cr3Flags::empty()) };
    let handover = Handover { entry: Entry::Uefi, cmdline, framebuffer, problem, map };
    handover::enter(handover, regions, rsdp)
}

/// Returns the bytes of the version at the start of a `BootInfo`: three numbers of 16 bits, and a flag. As bytes, because the
/// flag of another version may be no valid `bool`.
///
/// # Safety
/// At least eight bytes at `boot_info` are mapped and initialised.
unsafe fn version(boot_info: *const BootInfo) -> [u8; 7] {
    // SAFETY: the caller promises the bytes, and all are valid values.
    unsafe { boot_info.cast::<[u8; 7]>().read() }
}

const _: () = assert!(core::mem::offset_of!(BootInfo, api_version) == 0);

/// The loader's page tables, which are in use.
struct LoaderTables {
    root: u64,
    /// Virtual address of physical address 0.
    offset: u64,
    /// End of the physical memory that is mapped there.
    limit: u64,
}

impl LoaderTables {
    fn active(boot_info: &BootInfo) -> Self {
        if Cr4::read().contains(Cr4Flags::L5_PAGING) {
            early_report::cannot_run(format_args!("page tables have five levels; should be four"));
        }
        let Some(offset) = boot_info.physical_memory_offset.into_option() else {
            early_report::cannot_run(format_args!("the loader has not mapped physical memory"));
        };
        let end = boot_info.memory_regions.iter().map(|region| region.end).max();
        let limit = end.unwrap_or(0).max(LOADER_MAP_BYTES);
        Self { root: Cr3::read().0.start_address().as_u64(), offset, limit }
    }

    /// Returns the physical address of `virt`, if it is mapped.
    fn translate(&self, virt: u64) -> Option<u64> {
        // The walk uses the lower 48 bits. An access to another address faults.
        VirtAddr::try_new(virt).ok()?;
        let read_entry = |table: u64, index: usize| {
            if table.checked_add(PAGE_BYTES)? > self.limit {
                return None;
            }
            let entry = self.offset.checked_add(table)? as *const u64;
            // SAFETY:
            // 1. The loader maps physical memory up to the limit at its offset, and the table is below the limit.
            // 2. The index is below 512. Volatile, because the CPU sets accessed and dirty bits.
            Some(unsafe { entry.add(index).read_volatile() })
        };
        Some(paging::walk(self.root, virt, read_entry)?.1)
    }

    /// Whether all of these bytes are mapped.
    fn maps(&self, virt: u64, len_bytes: u64) -> bool {
        let Some(end) = virt.checked_add(len_bytes) else { return false };
        let first = virt & !(PAGE_BYTES - 1);
        (first..end).step_by(PAGE_BYTES as usize).all(|page| self.translate(page).is_some())
    }
}

/// Returns the text of the ramdisk, empty if there is none.
fn command_line(boot_info: &BootInfo, tables: &LoaderTables) -> Result<&'static [u8], cmdline::TextError> {
    let Some(address) = boot_info.ramdisk_addr.into_option() else { return Ok(&[]) };
    let len_bytes = boot_info.ramdisk_len;
    if len_bytes > MAX_CMDLINE_BYTES as u64 {
        return Err(cmdline::TextError::TooLong { len_bytes, most_bytes: MAX_CMDLINE_BYTES });
    }
    if address == 0 || !tables.maps(address, len_bytes) {
        return Err(cmdline::TextError::Unreadable { address });
    }
    // SAFETY: the loader's tables map these bytes, which nothing writes while the boot CPU is alone (invariant 17). The
    // text is copied before other tables are in use.
    cmdline::text(unsafe { core::slice::from_raw_parts(address as *const u8, len_bytes as usize) })
}

/// Returns the screen, by its physical address.
fn screen(found: &info::FrameBuffer, tables: &LoaderTables) -> Result<Framebuffer, framebuffer::Problem> {
    let FrameBufferInfo { width, height, pixel_format, bytes_per_pixel, stride, .. } = found.info();
    let format = match pixel_format {
        LoaderFormat::Rgb => PixelFormat::RGB,
        LoaderFormat::Bgr => PixelFormat::BGR,
        LoaderFormat::Unknown { red_position, green_position, blue_position } => {
            PixelFormat::of_bytes(red_position, green_position, blue_position)
        }
        _ => return Err(framebuffer::Problem::UnknownFormat),
    };
    let virt = found.buffer().as_ptr() as u64;
    let address = tables.translate(virt).ok_or(framebuffer::Problem::Unmapped { virt })?;
    // A number that does not fit is refused by the check.
    let side = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
    Ok(Framebuffer {
        address,
        width: side(width),
        height: side(height),
        stride_bytes: side(stride.saturating_mul(bytes_per_pixel)),
        bytes_per_pixel: u8::try_from(bytes_per_pixel).unwrap_or(u8::MAX),
        format,
    })
}
