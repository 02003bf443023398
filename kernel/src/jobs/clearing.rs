//! Work on extents of page frames in parallel: clearing, poisoning, checking. The original is `clear_gigantic_page` of the
//! seed: one huge page is cleared by many CPUs.
//!
//! A unit is a page of 4 KiB, so chunks may be parts of a huge page. The CPUs of each node work on the memory of their node
//! first.

use alloc::vec::Vec;
use core::convert::Infallible;
use core::ops::Range;

use frames::{Extents, Part};
use ktask::{JobError, MAX_NODE_RANGES, NodeId, NodeRange, Pages};

use super::manners::Kind;
use super::node_stats::{JobStats, NodeCounter};
use super::platform::Kernel;
use crate::mm::{mem_map, zero};
use crate::platform::nodes;

/// Minimum pages in a chunk: 1 MiB, some hundred microseconds.
const MIN_CHUNK_PAGES: u64 = 256;

static POISON: Kind = Kind::new("poison");
static VERIFY: Kind = Kind::new("verify");

/// Clears `extents` on `threads` threads (`None`: as many as are useful). Calls `cleared` with each part of an extent, once it
/// is clear: the parts together are all pages, each once.
///
/// # Errors
/// The first error of `cleared`, or an invalid number of threads.
///
/// # Safety
/// Each frame is the caller's alone (invariant 12) until `cleared` was called with all parts of its extent, or this returns.
pub unsafe fn clear<E: Send>(
    kind: &Kind,
    extents: &Extents<'_>,
    threads: Option<usize>,
    cleared: impl Fn(Part) -> Result<(), E> + Sync,
) -> Result<JobStats, JobError<E>> {
    run(kind, extents, threads, |pages| {
        let parts = extents.parts(pages);
        // SAFETY: the frames are the caller's alone, by its promise. No other chunk has these pages (invariant 5), and
        // `cleared` was called with none of them.
        unsafe { zero::zero_extents(parts.clone().map(|part| (part.first, part.len_pages))) };
        parts.into_iter().try_for_each(&cleared)
    })
}

/// Clears `extents`, as [`clear`] does, where nothing is left to do with the parts.
///
/// # Errors
/// An invalid number of threads.
///
/// # Safety
/// The frames are the caller's alone (invariant 12).
pub unsafe fn clear_all(
    kind: &Kind,
    extents: &Extents<'_>,
    threads: Option<usize>,
) -> Result<JobStats, JobError<Infallible>> {
    // SAFETY: the same, and `cleared` gives no part away.
    unsafe { clear(kind, extents, threads, |_| Ok(())) }
}

/// Fills `extents` with a pattern that is not zero.
///
/// # Safety
/// The frames are the caller's alone (invariant 12).
pub unsafe fn poison(extents: &Extents<'_>) {
    let filled: Result<JobStats, JobError<Infallible>> = run(&POISON, extents, None, |pages| {
        // SAFETY: the frames are the caller's alone, by its promise, and no other chunk has these pages (invariant 5).
        extents.parts(pages).for_each(|part| unsafe { zero::poison_frames(part.first, part.len_pages) });
        Ok(())
    });
    filled.expect("poisoning cannot fail");
}

/// Returns whether every byte is zero.
///
/// # Safety
/// The frames are the caller's (invariant 12), and no thread writes to them meanwhile.
pub unsafe fn is_zero(extents: &Extents<'_>) -> bool {
    let checked = run(&VERIFY, extents, None, |pages| {
        // SAFETY: the frames are the caller's, and no thread writes to them, by its promise.
        let is_zero = extents.parts(pages).all(|part| unsafe { zero::is_zero(part.first, part.len_pages) });
        if is_zero { Ok(()) } else { Err(()) }
    });
    checked.is_ok()
}

/// Runs `work` on ranges of the pages of `extents`, each on one node.
fn run<E: Send>(
    kind: &Kind,
    extents: &Extents<'_>,
    threads: Option<usize>,
    work: impl Fn(Range<u64>) -> Result<(), E> + Sync,
) -> Result<JobStats, JobError<E>> {
    const { assert!(firmware::nodes::MAX_NODES <= MAX_NODE_RANGES) };
    let range = |(node, pages): (usize, Range<u64>)| {
        NodeRange::new(NodeId(node as u32), Pages::new(pages.start)..Pages::new(pages.end))
    };
    // One extent is the common case, a page fault: it needs no memory.
    let single: Option<NodeRange<Pages>> = extents.nodes().next().map(range);
    let several: Vec<NodeRange<Pages>> = match extents.nodes().nth(1) {
        Some(_) => extents.nodes().map(range).collect(),
        None => Vec::new(),
    };
    let ranges = if several.is_empty() { single.as_slice() } else { several.as_slice() };
    let job = kind.job_over_nodes(ranges, threads).min_chunk(Pages::new(MIN_CHUNK_PAGES));
    let counter = NodeCounter::new();
    let result = job.run(&Kernel, |chunk| {
        let pages = chunk.start().get()..chunk.end().get();
        // Where the thread runs counts, not where it started: it may migrate, even within a chunk. And where the frames are,
        // not what the job was told.
        let is_local = || {
            let node = nodes::current();
            extents.parts(pages.clone()).all(|part| mem_map::node_of(part.first) == Some(node))
        };
        let was_local = is_local();
        let result = work(pages.clone());
        counter.count(&chunk, was_local && is_local());
        result
    });
    result.map(|total| counter.complete(total))
}
