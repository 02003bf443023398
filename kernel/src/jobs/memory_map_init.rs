//! Memory map init: a descriptor for every page, in parallel. The seed's
//! "deferred struct page init".

use core::ops::Range;

use frames::{FreeError, PageDesc, Pfn, Span, Zone, order_for_pages};
use ktask::{Job, JobError, Pages, Profile, Stats};

use super::platform::Kernel;
use crate::arch::irq::IrqLock;
use crate::mm::descriptors::{self, Layout, SECTION_PAGES};
use crate::mm::pages;

/// Initialises the descriptors of `pages`, whole sections, and frees into
/// `zone` what is free, on `threads` threads (`None`: as many as help).
fn run(
    layout: &Layout,
    span: &Span<'_>,
    zone: &IrqLock<Zone<'_>>,
    range: Range<Pfn>,
    threads: Option<usize>,
) -> Result<Stats, JobError<FreeError>> {
    let job = Job::new(Pages::new(range.start.0)..Pages::new(range.end.0))
        .min_chunk(Pages::new(SECTION_PAGES))
        .align(Pages::new(SECTION_PAGES))
        .profile(Profile::Boot);
    let job = match threads {
        Some(threads) => job.threads_exact(threads),
        None => job,
    };
    job.run(&Kernel, |chunk| {
        // The lock is taken once for each section: a chunk may be many.
        let mut section = Pfn(chunk.start().get());
        let end = Pfn(chunk.end().get());
        while section < end {
            let next = Pfn((section.0 / SECTION_PAGES + 1) * SECTION_PAGES).min(end);
            descriptors::init_section(layout, span, zone, section..next)?;
            section = next;
        }
        Ok(())
    })
}

/// The second step of the boot's initialisation: everything that the first
/// left.
pub fn run_deferred(range: Range<Pfn>) -> Result<Stats, JobError<FreeError>> {
    let span = pages::zone().lock().span();
    run(descriptors::layout(), &span, pages::zone(), range, None)
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
        let len_pages = descriptors::layout().end.0;
        let bytes = len_pages * size_of::<PageDesc>() as u64;
        let order = order_for_pages(bytes.div_ceil(frames::PAGE_SIZE))?;
        Some(Self { block: pages::alloc(order)?, order, len_pages })
    }

    /// Runs the whole job, initialisation and freeing, on `threads` threads,
    /// and checks every descriptor.
    pub fn run(&mut self, threads: usize) -> Result<ShadowRun, JobError<FreeError>> {
        let layout = descriptors::layout();
        let descs = self.cleared();
        let zone = Zone::new(descs, Pfn(0), 0).expect("the shadow is as large as the machine");
        let span = zone.span();
        let zone = IrqLock::new(zone);
        descriptors::mark_section_heads(layout, &span);
        let stats = run(layout, &span, &zone, Pfn(0)..layout.end, Some(threads))?;
        let ok = descriptors::verify_fresh(layout, &zone.lock());
        Ok(ShadowRun { stats, ok, units: descriptors::described_pages(layout) })
    }

    /// The descriptors, as if no one had ever written them.
    fn cleared(&mut self) -> &[PageDesc] {
        // SAFETY:
        // 1. The block is ours (invariant 12), large enough, page-aligned, and in the physical map (invariant 11).
        // 2. `&mut self` keeps an earlier slice from being alive while the memory is cleared.
        // 3. Zeroed memory is a valid array of descriptors (they are atomics; zero reads as hole).
        unsafe {
            let start = pages::virt(self.block).cast::<PageDesc>();
            start.write_bytes(0, self.len_pages as usize);
            core::slice::from_raw_parts(start, self.len_pages as usize)
        }
    }
}

impl Drop for Shadow {
    fn drop(&mut self) {
        pages::free(self.block, self.order);
    }
}
