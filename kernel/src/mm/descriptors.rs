//! Memory map init: initialises the descriptor of every page frame, and frees
//! the free pages into the zones.
//!
//! The descriptors are one array, indexed by page frame number: a page's
//! descriptor is one addition away. Memory of the same node backs the array. For
//! holes, one shared read-only page of zeros backs it, which reads as "hole" and
//! costs next to nothing.
//!
//! As in Linux's deferred struct page init, initialisation has two steps. Early
//! in the boot, one CPU initialises enough memory for the rest of the boot. All
//! CPUs initialise the rest, in sections of 128 MiB: each other CPU from the time
//! when it first idles ([`idle_help`](super::idle_help)), the boot CPU when it comes
//! to that step. An allocation that finds no initialised memory before that
//! initialises a section by itself ([`grow`]).
//!
//! Sections are independent of each other. Blocks merge across a section's border
//! only with blocks as large as a section. The first descriptor of every section is
//! marked as not free before the first section is initialised.

use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use firmware::nodes::NodeMemory;
use frames::{FreeError, PageDesc, Pfn};
use params::registry::{FAULT_SECTION, MEMORY_EARLY};
use spin::Once;

use super::early::EarlyMemory;
use super::layout::Layout;
use super::zones::ZoneSet;
use super::{mem_map, space, stats};
use crate::arch::paging::{DESCRIPTORS_BASE, MapError, PAGE_BYTES, Rights, phys_to_virt};
use crate::platform::nodes;

const PAGE_2M: u64 = 2 << 20;
const DESC_BYTES: u64 = size_of::<PageDesc>() as u64;

static LAYOUT: Once<Layout> = Once::new();
static PROGRESS: Once<Progress> = Once::new();
/// Sections claimed so far, for fault injection.
static SECTIONS_TRIED: AtomicU64 = AtomicU64::new(0);
/// Sections that [`grow`] initialised.
static GROWN: AtomicU64 = AtomicU64::new(0);

/// Returns the machine's layout.
///
/// # Panics
/// Before [`init_early`]: a kernel bug.
pub fn layout() -> &'static Layout {
    LAYOUT.get().expect("the layout of memory is used before it is known")
}

/// Returns the descriptors of the pages below `end`, by page frame number.
fn array(end: Pfn) -> &'static [PageDesc] {
    // SAFETY:
    // 1. `map_array` mapped the array from page 0 to the highest usable page, for ever (invariant 20).
    // 2. Descriptors are atomics: any bytes are a valid value, and they may be shared.
    // 3. Holes are mapped read-only and never stored to: initialisation and allocator write descriptors of usable pages
    //    only.
    unsafe { core::slice::from_raw_parts(DESCRIPTORS_BASE as *const PageDesc, end.0 as usize) }
}

/// Maps the descriptor array.
pub fn map_array(early: &mut EarlyMemory) -> Result<(), MapError> {
    let hole = early.alloc(PAGE_BYTES, PAGE_BYTES).ok_or(MapError::NoTableFrame)?;
    zero_page(hole);
    let mut done = 0;
    let parts: Vec<NodeMemory> = early.map.usable().flat_map(|memory| nodes::nodes().split(memory)).collect();
    for part in parts {
        // Neighbouring parts may share a page of the array.
        let Range { start, end } = array_pages(Pfn::whole_pages(&(part.start..part.end)));
        let wanted = start.max(done)..end;
        if wanted.is_empty() {
            continue;
        }
        let mut alloc = || early.alloc(PAGE_BYTES, PAGE_BYTES);
        space::with_tables(|tables| {
            let virt = DESCRIPTORS_BASE + done;
            tables.map_repeated(virt, hole, wanted.start - done, Rights::ReadOnly, &mut alloc)
        })?;
        map_backing(early, wanted.clone(), part)?;
        done = wanted.end;
    }
    Ok(())
}

/// Returns the part of the array that holds the descriptors of `pages`, as
/// offsets in bytes, rounded to whole pages.
fn array_pages(pages: Range<Pfn>) -> Range<u64> {
    let start = pages.start.0 * DESC_BYTES / PAGE_BYTES * PAGE_BYTES;
    start..(pages.end.0 * DESC_BYTES).next_multiple_of(PAGE_BYTES)
}

fn zero_page(page: u64) {
    // SAFETY: the caller has just allocated the page (invariant 12), and it is in the physical map (invariant 11).
    unsafe { (phys_to_virt(page) as *mut u8).write_bytes(0, PAGE_BYTES as usize) };
}

/// Backs a range of the array with memory near `part`: its middle by 2 MiB
/// pages, its ends by small ones. The first and the last small page are zeroed:
/// they may hold descriptors that are never initialised.
fn map_backing(early: &mut EarlyMemory, range: Range<u64>, part: NodeMemory) -> Result<(), MapError> {
    let middle_start = range.start.next_multiple_of(PAGE_2M).min(range.end);
    let middle_end = (range.end / PAGE_2M * PAGE_2M).max(middle_start);
    let ranges = [
        (range.start..middle_start, PAGE_BYTES),
        (middle_start..middle_end, PAGE_2M),
        (middle_end..range.end, PAGE_BYTES),
    ];
    for (range, align) in ranges {
        if !range.is_empty() {
            let len = range.end - range.start;
            let phys = early.alloc_near(len, align, part).ok_or(MapError::NoTableFrame)?;
            let mut alloc = || early.alloc(PAGE_BYTES, PAGE_BYTES);
            space::with_tables(|tables| {
                tables.map(DESCRIPTORS_BASE + range.start, phys, len, Rights::Data, &mut alloc)
            })?;
            zero_page(phys);
            zero_page(phys + len - PAGE_BYTES);
        }
    }
    Ok(())
}

/// Which sections are claimed and initialised.
pub struct Progress {
    /// Runs of sections that hold memory, with their nodes.
    runs: Vec<(Range<u64>, usize)>,
    /// For each run, the section that an idle CPU looks at next: see [`init_next`](Self::init_next).
    next: Vec<AtomicU64>,
    claimed: Vec<AtomicBool>,
    /// Sections with memory that are not claimed.
    unclaimed: AtomicU64,
    /// Sections with memory that are not initialised.
    unfinished: AtomicU64,
}

impl Progress {
    /// Returns the progress of a layout of which no section is claimed.
    pub fn new(layout: &Layout) -> Self {
        let mut claimed: Vec<AtomicBool> = Vec::new();
        let mut count = 0;
        let runs = layout.sections_by_node();
        for (sections, _) in &runs {
            // Sections between the runs have no memory: they count as claimed.
            claimed.resize_with(sections.start as usize, || AtomicBool::new(true));
            claimed.resize_with(sections.end as usize, || AtomicBool::new(false));
            count += sections.end - sections.start;
        }
        let next = runs.iter().map(|(sections, _)| AtomicU64::new(sections.start)).collect();
        Self { runs, next, claimed, unclaimed: AtomicU64::new(count), unfinished: AtomicU64::new(count) }
    }

    /// Claims and initialises section number `section`; returns false when it was
    /// claimed before. An injected error releases the claim.
    pub fn init(&self, layout: &Layout, zones: &ZoneSet<'_>, section: u64) -> Result<bool, SectionError> {
        let Some(claimed) = self.claimed.get(section as usize) else { return Ok(false) };
        if claimed.swap(true, SeqCst) {
            return Ok(false);
        }
        self.unclaimed.fetch_sub(1, SeqCst);
        let number = SECTIONS_TRIED.fetch_add(1, SeqCst) + 1;
        if FAULT_SECTION.get() == Some(number) {
            self.unclaimed.fetch_add(1, SeqCst);
            claimed.store(false, SeqCst);
            return Err(SectionError::Injected { section });
        }
        let result = zones.init_section(layout, section);
        self.unfinished.fetch_sub(1, SeqCst);
        result.map(|()| true).map_err(SectionError::Free)
    }

    /// Initialises the next section that is not claimed: of `node` while it has any, then of the others. Returns `None` when
    /// every section was met once. A section whose claim was released after an error is not met again.
    pub fn init_next(
        &self,
        layout: &Layout,
        zones: &ZoneSet<'_>,
        node: usize,
    ) -> Option<Result<(), SectionError>> {
        let runs = || self.runs.iter().zip(&self.next);
        let near = runs().filter(|((_, of), _)| *of == node);
        let far = runs().filter(|((_, of), _)| *of != node);
        for ((sections, _), next) in near.chain(far) {
            while next.load(SeqCst) < sections.end {
                let section = next.fetch_add(1, SeqCst);
                if section >= sections.end {
                    break;
                }
                match self.init(layout, zones, section) {
                    Ok(false) => {}
                    done => return Some(done.map(drop)),
                }
            }
        }
        None
    }

    /// Returns the first section that is not claimed: of `node`, or of any.
    fn find(&self, node: Option<usize>) -> Option<u64> {
        let mut runs = self.runs.iter().filter(|(_, of)| node.is_none_or(|node| node == *of));
        let is_unclaimed = |section: &u64| !self.claimed[*section as usize].load(SeqCst);
        runs.find_map(|(run, _)| run.clone().find(is_unclaimed))
    }

    /// Returns the runs of sections that hold memory, each with its node; sorted
    /// and disjoint.
    pub fn runs(&self) -> &[(Range<u64>, usize)] {
        &self.runs
    }

    /// Returns the number of sections that are not initialised.
    pub fn unfinished(&self) -> u64 {
        self.unfinished.load(SeqCst)
    }

    /// Returns the number of sections that are not claimed.
    pub fn unclaimed(&self) -> u64 {
        self.unclaimed.load(SeqCst)
    }
}

/// Why a section was not initialised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectionError {
    /// `fault.section` named it; it can be tried again.
    Injected {
        /// Its number.
        section: u64,
    },
    /// Its pages are in a wrong state: a kernel bug.
    Free(FreeError),
}

impl core::fmt::Display for SectionError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Injected { section } => write!(f, "section {section} failed, as fault.section asked"),
            Self::Free(error) => error.fmt(f),
        }
    }
}

/// Restarts the count that `fault.section` refers to.
pub fn restart_fault_count() {
    SECTIONS_TRIED.store(0, SeqCst);
}

/// Takes over all memory from early allocation, which must not be used any more,
/// and initialises sections until there is enough memory for the boot.
pub fn init_early(early: &EarlyMemory) -> Result<(), SectionError> {
    let layout = LAYOUT.call_once(|| Layout::new(early.map, early.remaining(), nodes::nodes()));
    let zones = mem_map::init(layout, array(layout.end()));
    zones.mark_section_heads(layout);
    let progress = PROGRESS.call_once(|| Progress::new(layout));
    let enough = MEMORY_EARLY.get_bytes() / PAGE_BYTES;
    while stats::initialised_pages() < enough {
        match progress.find(None) {
            Some(section) => progress.init(layout, zones, section)?,
            None => break,
        };
    }
    Ok(())
}

/// Returns the progress of initialisation.
///
/// # Panics
/// Before [`init_early`]: a kernel bug.
pub fn progress() -> &'static Progress {
    PROGRESS.get().expect("the progress of memory map init is read before it has begun")
}

/// Initialises one more section for an allocation: of `node`, else of any node.
/// Returns false when no section is left.
pub fn grow(node: usize) -> bool {
    let Some(progress) = PROGRESS.get() else { return false };
    while progress.unclaimed() > 0 {
        let Some(section) = progress.find(Some(node)).or_else(|| progress.find(None)) else { break };
        if progress.init(layout(), mem_map::zones(), section) == Ok(true) {
            GROWN.fetch_add(1, SeqCst);
            return true;
        }
    }
    // Sections that other threads are initialising will be done soon. Only a caller with interrupts on may wait: this
    // CPU may have to run those threads.
    let before = progress.unfinished();
    while x86_64::instructions::interrupts::are_enabled() && before > progress.unclaimed() {
        if progress.unfinished() < before {
            return true;
        }
        crate::arch::cpu::relax();
    }
    false
}

/// Returns the number of sections that [`grow`] initialised.
pub fn grown_sections() -> u64 {
    GROWN.load(SeqCst)
}
