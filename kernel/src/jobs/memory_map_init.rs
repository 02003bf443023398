//! Memory map init: a descriptor for every page, in parallel. The seed's
//! "deferred struct page init".

use alloc::vec::Vec;

use frames::{PageDesc, Pfn, order_for_pages};
use ktask::{Job, JobError, MAX_NODE_RANGES, NodeId, NodeRange, Pages, Profile, Stats};

use super::platform::Kernel;
use crate::console::warning;
use crate::mm::descriptors::{self, Progress, SectionError};
use crate::mm::layout::{Layout, SECTION_PAGES};
use crate::mm::zones::ZoneSet;
use crate::mm::{pages, zero};

/// Initialises the descriptors of all sections that are not, and frees into
/// `zones` what is free, on `threads` threads (`None`: as many as help), each
/// on the memory of its node first.
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
    // More ranges than one job takes come only with interleaved nodes.
    for ranges in ranges.chunks(MAX_NODE_RANGES) {
        let job = Job::over_nodes(ranges)
            .min_chunk(Pages::new(SECTION_PAGES))
            .align(Pages::new(SECTION_PAGES))
            .profile(Profile::Boot);
        let job = match threads {
            Some(threads) => job.threads_exact(threads),
            None => job,
        };
        let stats = job.run(&Kernel, |chunk| {
            (chunk.start().get()..chunk.end().get())
                .step_by(SECTION_PAGES as usize)
                .try_for_each(|page| progress.init(layout, zones, page / SECTION_PAGES).map(drop))
        })?;
        total.threads_used = total.threads_used.max(stats.threads_used);
        total.units += stats.units;
        total.chunks += stats.chunks;
        total.local_chunks += stats.local_chunks;
        total.wall_ns += stats.wall_ns;
        total.cpu_ns += stats.cpu_ns;
        total.spread_ns += stats.spread_ns;
    }
    Ok(total)
}

/// The second step of the boot's initialisation: everything that the first
/// left. What cannot be done now is done when it is needed.
pub fn run_deferred() -> Stats {
    let progress = descriptors::progress();
    if progress.unfinished() == 0 {
        return Stats::default();
    }
    run(descriptors::layout(), pages::zones(), progress, None).unwrap_or_else(|error| {
        let left = progress.unfinished();
        warning(format_args!("memory map init: {error}; {left} sections are left until they are needed"));
        error.stats
    })
}

/// A second set of descriptors for the whole machine, to time the job on warm
/// memory as often as wanted: the real one is in use.
pub struct Shadow {
    block: Pfn,
    order: u8,
    len_pages: u64,
}

/// What a timed run did.
pub struct ShadowRun {
    /// The job's own account.
    pub stats: Stats,
    /// Whether every descriptor was right afterwards.
    pub ok: bool,
    /// Descriptors written.
    pub units: u64,
}

impl Shadow {
    /// Takes memory for it; `None` when there is not enough in one piece.
    pub fn new() -> Option<Self> {
        let len_pages = descriptors::layout().end().0;
        let bytes = len_pages * size_of::<PageDesc>() as u64;
        let order = order_for_pages(bytes.div_ceil(frames::PAGE_SIZE))?;
        Some(Self { block: pages::alloc(order)?, order, len_pages })
    }

    /// Runs the whole job, initialisation and freeing, on `threads` threads,
    /// and checks every descriptor.
    pub fn run(&mut self, threads: usize) -> Result<ShadowRun, JobError<SectionError>> {
        let layout = descriptors::layout();
        let zones = ZoneSet::new(layout, self.cleared());
        let progress = Progress::new(layout);
        zones.mark_section_heads(layout);
        let stats = run(layout, &zones, &progress, Some(threads))?;
        let ok = progress.unfinished() == 0 && is_fresh(layout, &zones);
        Ok(ShadowRun { stats, ok, units: layout.described_pages() })
    }

    /// Runs the job to its first error, then once more; says whether the first
    /// run failed and whether every descriptor was right in the end.
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

    /// The descriptors, as if no one had ever written them.
    fn cleared(&mut self) -> &[PageDesc] {
        // SAFETY:
        // 1. The block is ours (invariant 12), large enough, page-aligned, and in the physical map (invariant 11).
        // 2. `&mut self` keeps an earlier slice from being alive while the memory is cleared.
        // 3. Zeroed memory is a valid array of descriptors (they are atomics; zero reads as hole).
        unsafe {
            zero::zero_frames(self.block, frames::order_pages(self.order));
            core::slice::from_raw_parts(pages::virt(self.block).cast::<PageDesc>(), self.len_pages as usize)
        }
    }
}

/// Checks every descriptor against the layout, for zones from which nothing
/// was allocated.
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
        pages::free(self.block, self.order);
    }
}
