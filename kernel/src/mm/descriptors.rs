//! Memory map init: a descriptor for every page frame, and the free ones into
//! the page allocator.
//!
//! The descriptors are one array, indexed by page frame number. Where there is
//! memory, the array is backed by memory; where there is none, by one shared
//! read-only page of zeros, which reads as "hole". So finding a page's
//! descriptor is one addition, and holes cost next to nothing.
//!
//! As in Linux's deferred struct page init, initialisation has two steps. Early
//! in the boot, one CPU initialises enough for the rest of the boot to live on.
//! What is left is done by all CPUs, in whole sections of 128 MiB. Sections are
//! independent of each other: blocks merge across a section's border only with
//! blocks as large as a section, and the first descriptor of every section is
//! marked as not free before the first of them is initialised.

use alloc::vec::Vec;
use core::ops::Range;

use firmware::memmap::MemoryMap;
use frames::{FreeError, InitKind, PageDesc, Pfn, Span, Zone};
use spin::Once;

use super::early::EarlyMemory;
use super::{pages, space};
use crate::arch::irq::IrqLock;
use crate::arch::paging::{DESCRIPTORS_BASE, MapError, PAGE_BYTES, Rights, phys_to_virt};

/// Pages of a section: the least that one thread initialises at a time.
pub const SECTION_PAGES: u64 = 1 << 15;
/// Free memory that the first step leaves the rest of the boot to live on.
const EARLY_FREE_BYTES: u64 = 64 << 20;
/// The one zone's id.
const ZONE_ID: u16 = 0;
const PAGE_2M: u64 = 2 << 20;

const DESC_BYTES: u64 = size_of::<PageDesc>() as u64;

/// Which pages are what: the input of initialisation.
#[derive(Debug)]
pub struct Layout {
    /// Pages that go to the allocator.
    pub free: Vec<Range<Pfn>>,
    /// Memory that was handed out before there was an allocator.
    pub reserved: Vec<Range<Pfn>>,
    /// One past the highest page.
    pub end: Pfn,
}

static LAYOUT: Once<Layout> = Once::new();

/// The machine's layout.
///
/// # Panics
/// Before [`init_early`]: a bug of ours.
pub fn layout() -> &'static Layout {
    LAYOUT.get().expect("the layout of memory is used before it is known")
}

/// Maps the descriptor array.
pub fn map_array(early: &mut EarlyMemory) -> Result<(), MapError> {
    let hole = alloc_zeroed_page(early)?;
    let mut done = 0;
    let backed: Vec<Range<u64>> =
        early.map.usable().map(|memory| array_pages(Pfn::whole_pages(&memory))).collect();
    for wanted in backed {
        // Neighbouring regions may share a page of the array.
        let wanted = wanted.start.max(done)..wanted.end;
        if wanted.is_empty() {
            continue;
        }
        map_holes(early, hole, done..wanted.start)?;
        map_backing(early, wanted.clone())?;
        done = wanted.end;
    }
    Ok(())
}

/// Offsets into the array, in whole pages, of the descriptors of `pages`.
fn array_pages(pages: Range<Pfn>) -> Range<u64> {
    let start = pages.start.0 * DESC_BYTES / PAGE_BYTES * PAGE_BYTES;
    start..(pages.end.0 * DESC_BYTES).next_multiple_of(PAGE_BYTES)
}

fn alloc_zeroed_page(early: &mut EarlyMemory) -> Result<u64, MapError> {
    let page = early.alloc(PAGE_BYTES, PAGE_BYTES).ok_or(MapError::NoTableFrame)?;
    zero_page(page);
    Ok(page)
}

fn zero_page(page: u64) {
    // SAFETY: a page of our own (invariant 12), in the physical map (invariant 11).
    unsafe { (phys_to_virt(page) as *mut u8).write_bytes(0, PAGE_BYTES as usize) };
}

fn map(early: &mut EarlyMemory, offset: u64, phys: u64, len: u64, rights: Rights) -> Result<(), MapError> {
    let mut alloc = || early.alloc(PAGE_BYTES, PAGE_BYTES);
    space::with_tables(|tables| tables.map(DESCRIPTORS_BASE + offset, phys, len, rights, &mut alloc))
}

fn map_holes(early: &mut EarlyMemory, hole: u64, range: Range<u64>) -> Result<(), MapError> {
    range
        .step_by(PAGE_BYTES as usize)
        .try_for_each(|offset| map(early, offset, hole, PAGE_BYTES, Rights::ReadOnly))
}

/// Backs a range of the array: its middle by 2 MiB pages, its ends by small
/// ones. The first and last small page are zeroed, for they may describe pages
/// that nobody initialises.
fn map_backing(early: &mut EarlyMemory, range: Range<u64>) -> Result<(), MapError> {
    let middle_start = range.start.next_multiple_of(PAGE_2M).min(range.end);
    let middle_end = (range.end / PAGE_2M * PAGE_2M).max(middle_start);
    let pieces = [
        (range.start..middle_start, PAGE_BYTES),
        (middle_start..middle_end, PAGE_2M),
        (middle_end..range.end, PAGE_BYTES),
    ];
    for (piece, align) in pieces {
        if !piece.is_empty() {
            let len = piece.end - piece.start;
            let phys = early.alloc(len, align).ok_or(MapError::NoTableFrame)?;
            map(early, piece.start, phys, len, Rights::Data)?;
            zero_page(phys);
            zero_page(phys + len - PAGE_BYTES);
        }
    }
    Ok(())
}

/// The first step: takes over from early allocation, which must not be used any
/// more, and initialises as many sections as give the boot enough free memory.
/// Returns the pages that are left for the second step.
pub fn init_early(early: &EarlyMemory) -> Result<Range<Pfn>, FreeError> {
    let end = Pfn::containing(early.map.highest_usable_end());
    // SAFETY:
    // 1. `map_array` mapped the array from page 0 to the highest usable page, for ever.
    // 2. Descriptors are atomics: any bytes are a value, and shared access is what they are for.
    // 3. Holes are mapped read-only and never stored to: initialisation and allocator touch usable pages only.
    let descs = unsafe { core::slice::from_raw_parts(DESCRIPTORS_BASE as *const PageDesc, end.0 as usize) };
    let span = Span::new(descs, Pfn(0), ZONE_ID).unwrap_or_else(|error| panic!("descriptor array: {error}"));
    pages::init(span);

    let free: Vec<Range<Pfn>> = early.remaining().map(|bytes| Pfn::whole_pages(&bytes)).collect();
    let reserved = subtract(&early.map, &free);
    let layout = LAYOUT.call_once(|| Layout { free, reserved, end });
    mark_section_heads(layout, &span);

    let mut section = Pfn(0);
    let enough = EARLY_FREE_BYTES / PAGE_BYTES;
    while section < end && pages::free_pages() < enough {
        let next = Pfn((section.0 + SECTION_PAGES).min(end.0));
        init_section(layout, &span, pages::zone(), section..next)?;
        section = next;
    }
    Ok(section..end)
}

/// Usable memory that is not in `free`.
fn subtract(map: &MemoryMap, free: &[Range<Pfn>]) -> Vec<Range<Pfn>> {
    let mut rest = Vec::new();
    for memory in map.usable() {
        let memory = Pfn::whole_pages(&memory);
        let mut from = memory.start;
        for range in free.iter().filter(|range| memory.start <= range.start && range.end <= memory.end) {
            if from < range.start {
                rest.push(from..range.start);
            }
            from = range.end;
        }
        if from < memory.end {
            rest.push(from..memory.end);
        }
    }
    rest
}

fn intersect(a: &Range<Pfn>, b: &Range<Pfn>) -> Option<Range<Pfn>> {
    let both = a.start.max(b.start)..a.end.min(b.end);
    (both.start < both.end).then_some(both)
}

/// Marks the first page of every section as not free, so that a merge in one
/// section never takes what lies in the next for a free block.
pub fn mark_section_heads(layout: &Layout, span: &Span<'_>) {
    for memory in layout.free.iter().chain(&layout.reserved) {
        let mut head = Pfn(memory.start.0.next_multiple_of(SECTION_PAGES));
        while head < memory.end {
            let one = head..head + 1;
            span.init_range(one, InitKind::Reserved).expect("memory of the layout is in the span");
            head = head + SECTION_PAGES;
        }
    }
}

/// Initialises the descriptors of `pages` (whole sections) and gives the free
/// ones to `zone`. Different sections may be done at the same time.
pub fn init_section(
    layout: &Layout,
    span: &Span<'_>,
    zone: &IrqLock<Zone<'_>>,
    pages: Range<Pfn>,
) -> Result<(), FreeError> {
    let in_pages = |range: &Range<Pfn>| intersect(range, &pages);
    for (ranges, kind) in [(&layout.reserved, InitKind::Reserved), (&layout.free, InitKind::Usable)] {
        for range in ranges.iter().filter_map(in_pages) {
            span.init_range(range, kind).expect("memory of the layout is in the span");
        }
    }
    layout.free.iter().filter_map(in_pages).try_for_each(|range| zone.lock().free_initial(range).map(drop))
}

/// Number of pages of the layout that a descriptor is written for.
pub fn described_pages(layout: &Layout) -> u64 {
    layout.free.iter().chain(&layout.reserved).map(|range| range.end.0 - range.start.0).sum()
}

/// Checks every descriptor of `zone` against the layout, for a zone from
/// which nothing was allocated.
pub fn verify_fresh(layout: &Layout, zone: &Zone<'_>) -> bool {
    let pages_of =
        |ranges: &[Range<Pfn>]| ranges.iter().map(|range| range.end.0 - range.start.0).sum::<u64>();
    zone.verify().is_ok_and(|census| {
        census.free_pages == pages_of(&layout.free)
            && census.reserved_pages == pages_of(&layout.reserved)
            && census.unclaimed_pages == 0
            && census.allocated_pages == 0
    })
}
