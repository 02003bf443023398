//! Early allocation: a bump allocator over the firmware's map, until the page
//! allocator takes over all memory that is left.

use core::ops::Range;

use firmware::early::EarlyFrames;
use firmware::memmap::{Kind, MemoryMap};
use firmware::nodes::NodeMemory;

use super::space;
use crate::arch::paging::{self, MapError, PAGE_BYTES, PageTables, Rights};
use crate::arch::{BootCell, boot_stack, image, smp};
use crate::platform::nodes;

/// Page 0 is not used: null pointers, and the real mode vector table.
const FLOOR: u64 = PAGE_BYTES;
/// Real mode code, and so the trampoline, lies below.
const REAL_MODE_LIMIT: u64 = 1 << 20;

/// The machine's memory during early allocation, which is permanent.
pub struct EarlyMemory {
    /// The repaired firmware map.
    pub map: &'static MemoryMap,
    frames: &'static mut EarlyFrames,
    trampoline_page: Option<u64>,
}

impl EarlyMemory {
    /// Returns all usable memory but the kernel image, with one page below 1 MiB
    /// set aside for starting other CPUs.
    ///
    /// # Safety
    /// The caller calls this once, on the boot CPU, while it is alone (invariant 17).
    pub unsafe fn new(map: &'static MemoryMap) -> Self {
        /// Too large for the boot stack.
        static FRAMES: BootCell<EarlyFrames> = BootCell::new(EarlyFrames::EMPTY);
        // SAFETY: once and alone, by the caller's promise.
        let frames = unsafe { FRAMES.take() };
        frames.fill(map, FLOOR);
        image::physical_runs().for_each(|run| frames.reserve(run));
        let trampoline_page = frames.alloc(smp::TRAMPOLINE_BYTES, PAGE_BYTES, Some(REAL_MODE_LIMIT));
        // Low memory is scarce and some of it is the firmware's workspace: do not use the rest.
        frames.reserve(0..REAL_MODE_LIMIT);
        Self { map, frames, trampoline_page }
    }

    /// Returns the page below 1 MiB for starting CPUs, if there is one.
    pub fn trampoline_page(&self) -> Option<u64> {
        self.trampoline_page
    }

    /// Allocates `len_bytes` for good; returns the physical address.
    pub fn alloc(&mut self, len_bytes: u64, align: u64) -> Option<u64> {
        self.frames.alloc(len_bytes, align, None)
    }

    /// As [`alloc`](Self::alloc), as near to `part` as possible: in it, else
    /// elsewhere on its node, else anywhere.
    pub fn alloc_near(&mut self, len_bytes: u64, align: u64, part: NodeMemory) -> Option<u64> {
        let Self { map, frames, .. } = self;
        let on_node = |other: &NodeMemory| other.node == part.node;
        let others = map.usable().flat_map(|memory| nodes::nodes().split(memory)).filter(on_node);
        let near = core::iter::once(part)
            .chain(others)
            .find_map(|near| frames.alloc_within(len_bytes, align, near.start.max(FLOOR)..near.end));
        near.or_else(|| self.alloc(len_bytes, align))
    }

    /// Allocates a page frame that the boot map reaches.
    pub fn alloc_page_below_4g(&mut self) -> Option<u64> {
        self.frames.alloc(PAGE_BYTES, PAGE_BYTES, Some(paging::BOOT_MAP_BYTES))
    }

    /// Returns the memory that is still free, by physical address, in whole pages.
    pub fn remaining(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.frames.remaining()
    }

    /// Builds the kernel's own page tables and switches to them. They map the image,
    /// each part with its rights, and the physical map.
    ///
    /// # Safety
    /// The caller calls this once, on the boot CPU, while that runs on the boot map.
    pub unsafe fn switch_to_own_tables(&mut self) -> Result<(), MapError> {
        let frames = &mut *self.frames;
        let mut alloc = || frames.alloc(PAGE_BYTES, PAGE_BYTES, Some(paging::BOOT_MAP_BYTES));
        let mut tables = PageTables::new(&mut alloc).ok_or(MapError::NoTableFrame)?;
        map_image(&mut tables, &mut alloc)?;
        map_physical(&mut tables, self.map, &mut alloc)?;
        // SAFETY:
        // 1. The image is mapped, with the boot stack but its guard page.
        // 2. The physical map covers all memory that early code reaches by physical address (invariant 11).
        unsafe { tables.activate() };
        space::adopt(tables);
        Ok(())
    }
}

fn map_image(tables: &mut PageTables, alloc: &mut dyn FnMut() -> Option<u64>) -> Result<(), MapError> {
    for (part, rights) in image::parts() {
        for virt in part.step_by(PAGE_BYTES as usize) {
            if virt != boot_stack::guard() {
                tables.map(virt, image::physical_of(virt), PAGE_BYTES, rights, alloc)?;
            }
        }
    }
    Ok(())
}

/// Maps all memory that can hold data. The image's code and constants are
/// read-only here too: no alias of them is writable.
fn map_physical(
    tables: &mut PageTables,
    map: &MemoryMap,
    alloc: &mut dyn FnMut() -> Option<u64>,
) -> Result<(), MapError> {
    let memory = |kind| matches!(kind, Kind::Usable | Kind::AcpiReclaimable | Kind::AcpiNvs);
    for region in map.regions().iter().filter(|region| memory(region.kind)) {
        let mut start = region.start;
        while start < region.end {
            let constants = image::constant_runs().filter(|run| run.end > start).min_by_key(|run| run.start);
            let (end, rights) = match constants {
                Some(run) if run.start <= start => (run.end, Rights::ReadOnly),
                Some(run) => (run.start, Rights::Data),
                None => (region.end, Rights::Data),
            };
            let end = end.min(region.end);
            tables.map(paging::phys_to_virt(start), start, end - start, rights, alloc)?;
            start = end;
        }
    }
    Ok(())
}
