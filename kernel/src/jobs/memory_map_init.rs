//! The `memory-map-init` job: initialises a descriptor for every page, in parallel. The original is the seed's "deferred
//! struct page init".
//!
//! In the boot the other CPUs take their sections themselves ([`idle_help`]), and the job is the boot CPU's part. The timing
//! run gives the job all threads, on separate descriptors.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Display;
use core::ops::Range;

use frames::policy::NodePolicy;
use frames::{PageDesc, Pfn, order_for_pages};
use ktask::{JobError, MAX_NODE_RANGES, NodeId, NodeRange, Pages, Stats};

use super::huge_file::{HugeFile, OnError};
use super::huge_pool::{Request, ResizeError, Resized, resize};
use super::manners::Kind;
use super::platform::Kernel;
use super::rounds::add_stats;
use crate::console::warning;
use crate::mm::descriptors::{self, Progress, SectionError};
use crate::mm::huge::HugeSize;
use crate::mm::layout::{Layout, SECTION_PAGES};
use crate::mm::zones::ZoneSet;
use crate::mm::{huge_pool, idle_help, mem_map, pages, stats, zero};

static INIT: Kind = Kind::new("memory-map-init");

/// One set of descriptors of the whole machine.
struct Map<'a> {
    zones: ZoneSet<'a>,
    progress: Progress,
}

/// Initialises the descriptors of all uninitialised sections of `maps`, and frees their free pages into the zones. Runs on
/// `threads` threads (`None`: as many as are useful), each on the memory of its node first.
fn run(
    layout: &Layout,
    maps: &[(&ZoneSet<'_>, &Progress)],
    threads: Option<usize>,
) -> Result<Stats, JobError<SectionError>> {
    // The job numbers the sections of all maps in a row.
    let sections_of_map = layout.end().0.div_ceil(SECTION_PAGES);
    let range = |first: u64, (sections, node): &(Range<u64>, usize)| {
        let page = |section: u64| Pages::new((first + section) * SECTION_PAGES);
        NodeRange::new(NodeId(*node as u32), page(sections.start)..page(sections.end))
    };
    let ranges: Vec<NodeRange<Pages>> = (0_u64..)
        .zip(maps)
        .flat_map(|(map, (_, progress))| {
            progress.runs().iter().map(move |run| range(map * sections_of_map, run))
        })
        .collect();
    let mut total = Stats::default();
    // Only interleaved nodes, or many maps, have more ranges than one job takes.
    for ranges in ranges.chunks(MAX_NODE_RANGES) {
        let job = INIT
            .job_over_nodes(ranges, threads)
            .min_chunk(Pages::new(SECTION_PAGES))
            .align(Pages::new(SECTION_PAGES));
        let stats = job.run(&Kernel, |chunk| {
            (chunk.start().get()..chunk.end().get()).step_by(SECTION_PAGES as usize).try_for_each(|page| {
                let section = page / SECTION_PAGES;
                let (zones, progress) = maps[(section / sections_of_map) as usize];
                progress.init(layout, zones, section % sections_of_map).map(drop)
            })
        })?;
        add_stats(&mut total, &stats);
    }
    Ok(total)
}

/// Initialises the sections that boot has left: the second step of boot. If it fails, the rest is initialised on demand.
///
/// The job has one thread. The other CPUs have been taking sections since they came online, and go on meanwhile.
pub fn run_deferred() {
    let progress = descriptors::progress();
    let failed = |error: &dyn Display| {
        let left = progress.unfinished();
        warning(format_args!("memory map init: {error:#}; {left} sections are left until they are needed"));
    };
    let mut error = None;
    if idle_help::failure().is_none() && progress.unclaimed() > 0 {
        error = run(descriptors::layout(), &[(mem_map::zones(), progress)], Some(1)).err();
    }
    idle_help::end();
    match (error, idle_help::failure()) {
        (Some(error), _) => failed(&error),
        (None, Some(error)) => failed(&error),
        (None, None) => {}
    }
}

/// More sets of descriptors for the whole machine. The job can be timed on them any number of times, on warm memory; the
/// real set is in use.
pub struct Shadow {
    memory: ShadowMemory,
    /// Descriptors of a set.
    len_pages: u64,
    sets: u64,
}

/// The memory of a shadow.
enum ShadowMemory {
    /// A block from the page allocator.
    Block(Pfn, u8),
    /// A file of huge pages, if no block is large enough, and the size of the pool before.
    File(Arc<HugeFile>, u64),
}

/// The part of free memory that descriptors may take which are made only to be timed: one in so many.
const PART_OF_FREE: u64 = 16;

/// Returns the size of one set of descriptors.
fn set_bytes(layout: &Layout) -> u64 {
    layout.end().0 * size_of::<PageDesc>() as u64
}

fn run_maps(
    layout: &Layout,
    maps: &[Map<'_>],
    threads: Option<usize>,
) -> Result<Stats, JobError<SectionError>> {
    let maps: Vec<(&ZoneSet<'_>, &Progress)> = maps.iter().map(|map| (&map.zones, &map.progress)).collect();
    run(layout, &maps, threads)
}

/// The result of a timed run.
pub struct ShadowRun {
    /// The job's statistics.
    pub stats: Stats,
    /// Whether every descriptor was correct afterwards.
    pub ok: bool,
    /// Number of descriptors written.
    pub units: u64,
}

impl Shadow {
    /// Allocates one set. Returns `None` if there is not enough memory.
    pub fn new() -> Option<Self> {
        Self::of_sets(1)
    }

    /// Allocates as many sets as together describe `described_pages`, in no more than a part of the free memory; at least
    /// one. Returns `None` if there is not enough memory for that.
    pub fn describing(described_pages: u64) -> Option<Self> {
        let layout = descriptors::layout();
        let wanted = described_pages / layout.described_pages().max(1);
        let most = stats::free_pages() * frames::PAGE_SIZE / PART_OF_FREE / set_bytes(layout).max(1);
        Self::of_sets(wanted.min(most).max(1))
    }

    fn of_sets(sets: u64) -> Option<Self> {
        let layout = descriptors::layout();
        let bytes = sets * set_bytes(layout);
        let block = order_for_pages(bytes.div_ceil(frames::PAGE_SIZE))
            .and_then(|order| Some(ShadowMemory::Block(pages::alloc(order)?, order)));
        Some(Self {
            memory: block.or_else(|| ShadowMemory::in_file(bytes))?,
            len_pages: layout.end().0,
            sets,
        })
    }

    /// Runs the whole job, initialisation and freeing, on `threads` threads, and checks every descriptor.
    pub fn run(&mut self, threads: Option<usize>) -> Result<ShadowRun, JobError<SectionError>> {
        let layout = descriptors::layout();
        let maps = self.fresh_maps(layout);
        let mut stats = run_maps(layout, &maps, threads)?;
        // The job's nodes are those of the memory described. The shadow's own frames may be anywhere.
        stats.local_chunks = None;
        let ok = maps.iter().all(|map| map.progress.unfinished() == 0 && is_fresh(layout, &map.zones));
        Ok(ShadowRun { stats, ok, units: layout.described_pages() * maps.len() as u64 })
    }

    /// Runs the job until its first error, then once more. Returns whether the first run failed, and whether every descriptor
    /// was correct in the end.
    pub fn run_twice(&mut self) -> (bool, bool) {
        let layout = descriptors::layout();
        let maps = self.fresh_maps(layout);
        let has_failed = run_maps(layout, &maps, None).is_err();
        let is_whole = |map: &Map<'_>| map.zones.iter().all(|zone| zone.allocator.lock().verify().is_ok());
        let ok = maps.iter().all(is_whole) && run_maps(layout, &maps, None).is_ok();
        (has_failed, ok && maps.iter().all(|map| is_fresh(layout, &map.zones)))
    }

    /// Initialises one section after the other as idle CPUs do, until none is left for them, then runs the job. Returns how
    /// many sections failed, how many were left for the job, and whether every descriptor was correct in the end.
    pub fn run_by_section(&mut self, node: usize) -> (u64, u64, bool) {
        let layout = descriptors::layout();
        let maps = self.fresh_maps(layout);
        let mut failed = 0;
        for map in &maps {
            while let Some(done) = map.progress.init_next(layout, &map.zones, node) {
                failed += u64::from(done.is_err());
            }
        }
        let left = maps.iter().map(|map| map.progress.unclaimed()).sum();
        let ok = run_maps(layout, &maps, None).is_ok() && maps.iter().all(|map| is_fresh(layout, &map.zones));
        (failed, left, ok)
    }

    /// Clears the descriptors, and returns a map over each set of them.
    fn fresh_maps(&mut self, layout: &Layout) -> Vec<Map<'_>> {
        let set_len = self.len_pages as usize;
        let map = |descs| {
            let zones = ZoneSet::new(layout, descs);
            zones.mark_section_heads(layout);
            Map { zones, progress: Progress::new(layout) }
        };
        self.cleared().chunks_exact(set_len).map(map).collect()
    }

    /// Returns the descriptors, cleared as if they had never been written.
    fn cleared(&mut self) -> &[PageDesc] {
        let start = match &self.memory {
            ShadowMemory::Block(block, order) => {
                // SAFETY: we own the block (invariant 12), and with `&mut self` no earlier slice is alive.
                unsafe { zero::zero_frames(*block, frames::order_pages(*order)) };
                mem_map::virt(*block).cast::<PageDesc>()
            }
            ShadowMemory::File(file, _) => {
                // SAFETY: only `self` has the file, and with `&mut self` no earlier slice is alive.
                unsafe { file.clear() };
                file.base() as *mut PageDesc
            }
        };
        // SAFETY:
        // 1. We own the memory (invariant 12). It is large enough, page-aligned and mapped. A block is mapped by the
        //    physical map (invariant 11). A file is mapped itself: it has all its pages and frees none while `self` exists.
        // 2. With `&mut self` no earlier slice is alive while the memory is cleared.
        // 3. Zeroed memory is a valid array of descriptors (they are atomics; zero reads as hole).
        unsafe { core::slice::from_raw_parts(start, (self.len_pages * self.sets) as usize) }
    }
}

impl ShadowMemory {
    /// Creates a file of at least `bytes`, with all its pages.
    fn in_file(bytes: u64) -> Option<Self> {
        let size = HugeSize::Size2M;
        let len_bytes = bytes.next_multiple_of(size.bytes());
        let total_before = huge_pool::pool(size).total();
        let pool =
            |wanted| Request { wanted, policy: NodePolicy::Local, all_or_nothing: true, threads: None };
        resize(size, pool(total_before + len_bytes / size.bytes())).ok()?;
        let file = HugeFile::new(size, len_bytes).ok();
        let file = file.filter(|file| file.fallocate(0, len_bytes, OnError::Release, None).is_ok());
        if file.is_none() {
            warn_of_pool(resize(size, pool(total_before)));
        }
        Some(Self::File(file?, total_before))
    }
}

fn warn_of_pool(resized: Result<Resized, ResizeError>) {
    if let Err(error) = resized {
        warning(format_args!("memory-map-init: {error:#}"));
    }
}

/// Returns whether every descriptor agrees with the layout. Nothing was allocated from `zones`.
fn is_fresh(layout: &Layout, zones: &ZoneSet<'_>) -> bool {
    let mut described = 0;
    let mut free = 0;
    for zone in zones.iter() {
        let Ok(census) = zone.allocator.lock().verify() else { return false };
        if census.unclaimed_pages + census.allocated_pages + census.cached_pages > 0 {
            return false;
        }
        described += census.free_pages + census.reserved_pages;
        free += census.free_pages;
    }
    free == layout.free_pages() && described == layout.described_pages()
}

impl Drop for Shadow {
    fn drop(&mut self) {
        match &self.memory {
            ShadowMemory::Block(block, order) => pages::free(*block, *order),
            ShadowMemory::File(_, total_before) => {
                // The file's pages leave the pool when they return to it.
                let wanted = *total_before;
                let request =
                    Request { wanted, policy: NodePolicy::Local, all_or_nothing: true, threads: None };
                warn_of_pool(resize(HugeSize::Size2M, request));
            }
        }
    }
}
