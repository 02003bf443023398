//! The `memory-map-init` job: initialises a descriptor for every page, in parallel. The original is the seed's "deferred
//! struct page init".

use alloc::sync::Arc;
use alloc::vec::Vec;

use frames::policy::NodePolicy;
use frames::{PageDesc, Pfn, order_for_pages};
use ktask::{JobError, MAX_NODE_RANGES, NodeId, NodeRange, Pages, Stats};

use super::huge_file::{HugeFile, OnError};
use super::huge_pool::{Request, ResizeError, Resized, resize};
use super::manners::Kind;
use super::platform::Kernel;
use crate::console::warning;
use crate::mm::descriptors::{self, Progress, SectionError};
use crate::mm::huge::HugeSize;
use crate::mm::layout::{Layout, SECTION_PAGES};
use crate::mm::zones::ZoneSet;
use crate::mm::{huge_pool, mem_map, pages, zero};

static INIT: Kind = Kind::new("memory-map-init");

/// Initialises the descriptors of all uninitialised sections, and frees their free pages into `zones`. Runs on `threads`
/// threads (`None`: as many as are useful), each on the memory of its node first.
fn run(
    layout: &Layout,
    zones: &ZoneSet<'_>,
    progress: &Progress,
    threads: Option<usize>,
) -> Result<Stats, JobError<SectionError>> {
    let range = |(sections, node): &(core::ops::Range<u64>, usize)| {
        let pages = Pages::new(sections.start * SECTION_PAGES)..Pages::new(sections.end * SECTION_PAGES);
        NodeRange::new(NodeId(*node as u32), pages)
    };
    let ranges: Vec<NodeRange<Pages>> = progress.runs().iter().map(range).collect();
    let mut total = Stats::default();
    // Only interleaved nodes have more ranges than one job takes.
    for ranges in ranges.chunks(MAX_NODE_RANGES) {
        let job = INIT
            .job_over_nodes(ranges, threads)
            .min_chunk(Pages::new(SECTION_PAGES))
            .align(Pages::new(SECTION_PAGES));
        let stats = job.run(&Kernel, |chunk| {
            (chunk.start().get()..chunk.end().get())
                .step_by(SECTION_PAGES as usize)
                .try_for_each(|page| progress.init(layout, zones, page / SECTION_PAGES).map(drop))
        })?;
        total.threads_used = total.threads_used.max(stats.threads_used);
        total.threads_at_end = total.threads_at_end.max(stats.threads_at_end);
        total.units += stats.units;
        total.chunks += stats.chunks;
        total.local_chunks += stats.local_chunks;
        total.wall_ns += stats.wall_ns;
        total.cpu_ns += stats.cpu_ns;
        total.spread_ns += stats.spread_ns;
    }
    Ok(total)
}

/// Initialises the sections that boot has left: the second step of boot. If it fails, the rest is initialised on demand.
pub fn run_deferred() -> Stats {
    let progress = descriptors::progress();
    if progress.unfinished() == 0 {
        return Stats::default();
    }
    run(descriptors::layout(), mem_map::zones(), progress, None).unwrap_or_else(|error| {
        let left = progress.unfinished();
        warning(format_args!("memory map init: {error:#}; {left} sections are left until they are needed"));
        error.stats
    })
}

/// A second set of descriptors for the whole machine. The job can be timed on it any number of times, on warm memory; the
/// real set is in use.
pub struct Shadow {
    memory: ShadowMemory,
    len_pages: u64,
}

/// The memory of a shadow.
enum ShadowMemory {
    /// A block from the page allocator.
    Block(Pfn, u8),
    /// A file of huge pages, if no block is large enough, and the size of the pool before.
    File(Arc<HugeFile>, u64),
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
    /// Allocates a shadow. Returns `None` if there is not enough memory.
    pub fn new() -> Option<Self> {
        let len_pages = descriptors::layout().end().0;
        let bytes = len_pages * size_of::<PageDesc>() as u64;
        let block = order_for_pages(bytes.div_ceil(frames::PAGE_SIZE))
            .and_then(|order| Some(ShadowMemory::Block(pages::alloc(order)?, order)));
        Some(Self { memory: block.or_else(|| ShadowMemory::in_file(bytes))?, len_pages })
    }

    /// Runs the whole job, initialisation and freeing, on `threads` threads, and checks every descriptor.
    pub fn run(&mut self, threads: Option<usize>) -> Result<ShadowRun, JobError<SectionError>> {
        let layout = descriptors::layout();
        let zones = ZoneSet::new(layout, self.cleared());
        let progress = Progress::new(layout);
        zones.mark_section_heads(layout);
        let stats = run(layout, &zones, &progress, threads)?;
        let ok = progress.unfinished() == 0 && is_fresh(layout, &zones);
        Ok(ShadowRun { stats, ok, units: layout.described_pages() })
    }

    /// Runs the job until its first error, then once more. Returns whether the first run failed, and whether every descriptor
    /// was correct in the end.
    pub fn run_twice(&mut self) -> (bool, bool) {
        let layout = descriptors::layout();
        let zones = ZoneSet::new(layout, self.cleared());
        let progress = Progress::new(layout);
        zones.mark_section_heads(layout);
        let has_failed = run(layout, &zones, &progress, None).is_err();
        let is_whole = |zones: &ZoneSet<'_>| zones.iter().all(|zone| zone.allocator.lock().verify().is_ok());
        let ok = is_whole(&zones) && run(layout, &zones, &progress, None).is_ok();
        (has_failed, ok && is_fresh(layout, &zones))
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
        unsafe { core::slice::from_raw_parts(start, self.len_pages as usize) }
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
