//! The page allocator: page frames by node, nearest first.
//!
//! Single pages come from the CPU's own cache ([`page_cache`]). Everything else
//! comes from the zones, in this order:
//!
//! 1. zones above their low watermark, from near to far;
//! 2. sections that are not initialised yet;
//! 3. zones above their minimum;
//! 4. what the caches and the pools of pre-zeroed pages held;
//! 5. pages that are kept only because they may be useful again ([`set_reclaim`]).
//!
//! The reserve below the minimum is for the kernel's own needs ([`alloc_reserved`]).
//!
//! Two functions here count allocated pages, and no other takes blocks from zones or returns them: [`take_from_zone`]
//! and [`return_to_zone`]. A page that moves between a zone and a cache, or a pool of pre-zeroed pages, stays free:
//! [`page_cache`] and [`zero_pool`] do that themselves.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use frames::{Census, FreeError, Inconsistency, Pfn, order_pages};
use params::registry::FAULT_ALLOC;
use spin::Once;

use super::mem_map::{self, zone_of, zones};
use super::poison::{self, check_poison, poison_block};
use super::zones::NodeZone;
use super::{descriptors, page_cache, zero, zero_pool};
use crate::arch::chaos::{self, Point};
use crate::arch::percpu::{self, MAX_CPUS};
use crate::platform::nodes;

/// Page allocations by jobs so far, for fault injection.
static JOB_ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// Batches that an allocation reclaims at most.
const RECLAIM_ROUNDS: usize = 16;

/// Frees a batch of pages as near to a node as possible; see [`set_reclaim`].
static RECLAIM: Once<fn(usize) -> bool> = Once::new();

/// Sets the function that frees pages when nothing else is left. It takes the node that is short, and returns whether
/// trying again is worth it. It runs where the allocation runs, often under a lock: it takes bounded time, does not block
/// and does not allocate. The first call counts.
pub fn set_reclaim(reclaim: fn(usize) -> bool) {
    RECLAIM.call_once(|| reclaim);
}

/// Attaches the registered CPUs to their page caches, and sets the zone of each
/// cache. The zones must exist.
pub fn init() {
    poison::init(descriptors::layout().end());
    percpu::all().for_each(page_cache::attach);
    for cpu in 0..MAX_CPUS {
        // A node without memory has no pages to cache.
        if let Some(home) = zones().home_of(nodes::nodes().node_of_cpu(cpu)) {
            page_cache::init(cpu, home, mem_map::descs());
        }
    }
}

/// Allocates 2^`order` page frames, aligned to their size, as near as possible.
#[inline]
pub fn alloc(order: u8) -> Option<Pfn> {
    chaos::point(Point::Alloc);
    match order {
        0 => {
            let page = page_cache::take_or(alloc_page_slowly);
            page.inspect(|page| check_poison(*page, 0))
        }
        _ => alloc_near(nodes::current(), order),
    }
}

#[cold]
fn alloc_page_slowly() -> Option<Pfn> {
    page_cache::take_after_refill().or_else(|| alloc_near(nodes::current(), 0))
}

/// Allocates a zeroed page: from the pool of this CPU's node, else one that is
/// cleared now.
pub fn alloc_zeroed() -> Option<Pfn> {
    zero_pool::take().or_else(|| {
        let page = alloc(0)?;
        // SAFETY: the page was just allocated (invariant 12).
        unsafe { zero::zero_frames(page, 1) };
        Some(page)
    })
}

/// Allocates as [`alloc`], as near to `node` as possible.
pub fn alloc_near(node: usize, order: u8) -> Option<Pfn> {
    let above = |reserve: fn(&NodeZone<'_>) -> u64| {
        zones().near(node).find_map(|zone| take_block(zone, order, reserve(zone)))
    };
    loop {
        if let Some(block) = above(|zone| zone.marks.low_pages) {
            return Some(block);
        }
        if !descriptors::grow(node) {
            break;
        }
    }
    let above_minimum = || above(|zone| zone.marks.min_pages);
    let block = above_minimum();
    if block.is_some() {
        return block;
    }
    let drained = drain_caches().then(above_minimum).flatten();
    drained.or_else(|| reclaim_for(node, above_minimum))
}

/// Reclaims pages, a batch at a time, until `alloc` succeeds or nothing more is freed.
#[cold]
fn reclaim_for(node: usize, alloc: impl Fn() -> Option<Pfn>) -> Option<Pfn> {
    let reclaim = RECLAIM.get()?;
    (0..RECLAIM_ROUNDS).map_while(|_| reclaim(node).then(&alloc)).flatten().next()
}

/// Allocates as [`alloc`], from the reserve too: for what the kernel cannot do
/// without.
pub fn alloc_reserved(order: u8) -> Option<Pfn> {
    alloc(order).or_else(|| zones().near(nodes::current()).find_map(|zone| take_block(zone, order, 0)))
}

/// Allocates blocks of `order` from `node` alone until `blocks` is full or the node
/// is down to its minimum. Returns their number. Pages in caches stay there.
pub fn alloc_bulk_on(node: usize, order: u8, blocks: &mut [Pfn]) -> usize {
    let mut count = 0;
    for zone in zones().iter().filter(|zone| zone.node == node) {
        count += take_from_zone(zone, order, &mut blocks[count..], zone.marks.min_pages);
    }
    count
}

/// Counts allocations by a job. Returns how many of them come before the one
/// that `fault.alloc` makes fail: usually all.
pub fn count_job_allocations(count: u64) -> u64 {
    let before = JOB_ALLOCATIONS.fetch_add(count, SeqCst);
    match FAULT_ALLOC.get() {
        Some(nth) if before < nth && nth <= before + count => nth - before - 1,
        _ => count,
    }
}

/// Restarts the count that `fault.alloc` refers to.
pub fn restart_fault_count() {
    JOB_ALLOCATIONS.store(0, SeqCst);
}

/// Frees a block of `order`.
///
/// # Panics
/// When no such block is allocated: a caller that frees twice may already have
/// written to another owner's memory.
#[inline]
pub fn free(pfn: Pfn, order: u8) {
    chaos::point(Point::Free);
    // SAFETY: if the block is allocated, it is the caller's, which gives it up (invariant 12).
    unsafe { poison_block(pfn, order) };
    match order {
        0 => page_cache::put_or(pfn, |pfn| free_slowly(pfn, 0)),
        _ => free_slowly(pfn, order),
    }
}

#[cold]
fn free_slowly(pfn: Pfn, order: u8) {
    if let Err(error) = try_free(pfn, order) {
        panic!("freeing 2^{order} pages at {:#x}: {error}", pfn.address());
    }
}

/// Frees blocks of `order`, as [`free`] does for each. A zone's lock is taken once
/// for neighbours in `blocks` of the same zone.
///
/// # Panics
/// As [`free`].
pub fn free_bulk(blocks: &[Pfn], order: u8) {
    // SAFETY: as in `free`.
    blocks.iter().for_each(|block| unsafe { poison_block(*block, order) });
    let zone_id = |block: Pfn| mem_map::desc(block).map(frames::PageDesc::zone_id);
    for of_one_zone in blocks.chunk_by(|a, b| zone_id(*a) == zone_id(*b)) {
        let first = of_one_zone[0];
        let zone = zone_of(first).unwrap_or_else(|| panic!("freeing page {first}, which does not exist"));
        if let Err((freed, error)) = return_to_zone(zone, order, of_one_zone) {
            panic!("freeing 2^{order} pages at {:#x}: {error}", of_one_zone[freed].address());
        }
    }
}

/// Frees as [`free`], with an error instead of a panic: for tests of misuse.
pub fn try_free(pfn: Pfn, order: u8) -> Result<(), FreeError> {
    if order == 0 && page_cache::put_after_flush(pfn) {
        return Ok(());
    }
    let zone = zone_of(pfn).ok_or(FreeError::OutOfRange { pfn, len_pages: order_pages(order) })?;
    return_to_zone(zone, order, &[pfn]).map_err(|(_, error)| error)
}

/// Takes blocks of `order` from `zone` until `blocks` is full or no more than
/// `reserve_pages` would be left. Counts them as allocated and returns their number.
fn take_from_zone(zone: &NodeZone<'_>, order: u8, blocks: &mut [Pfn], reserve_pages: u64) -> usize {
    let count = zone.allocator.lock().alloc_bulk(order, blocks, reserve_pages);
    if count > 0 {
        page_cache::count_alloc(count as u64 * order_pages(order));
        blocks[..count].iter().for_each(|block| check_poison(*block, order));
    }
    count
}

/// Takes one block, as [`take_from_zone`].
fn take_block(zone: &NodeZone<'_>, order: u8, reserve_pages: u64) -> Option<Pfn> {
    let mut block = [Pfn(0)];
    (take_from_zone(zone, order, &mut block, reserve_pages) == 1).then_some(block[0])
}

/// Returns blocks of `order` to their zone and counts them as free. After an
/// error, which comes with the number of blocks before it, only those are free.
fn return_to_zone(zone: &NodeZone<'_>, order: u8, blocks: &[Pfn]) -> Result<(), (usize, FreeError)> {
    let result = zone.allocator.lock().free_bulk(order, blocks);
    let freed = result.map_or_else(|(freed, _)| freed, |()| blocks.len());
    if freed > 0 {
        page_cache::count_free(freed as u64 * order_pages(order));
    }
    result
}

/// Returns the pages of all caches and of all pools of pre-zeroed pages to the
/// zones, where they can merge into larger blocks. Returns whether there were any.
pub fn drain_caches() -> bool {
    let had_cached = page_cache::drain_all();
    let had_zeroed = zero_pool::drain_all();
    had_cached || had_zeroed
}

/// Checks that descriptors, lists and counters of all zones agree; reads every
/// descriptor. Returns the sum of the zones' pages by state.
pub fn verify() -> Result<Census, Inconsistency> {
    drain_caches();
    let mut sum = Census::default();
    for zone in zones().iter() {
        let census = zone.allocator.lock().verify()?;
        sum.reserved_pages += census.reserved_pages;
        sum.unclaimed_pages += census.unclaimed_pages;
        sum.free_pages += census.free_pages;
        sum.allocated_pages += census.allocated_pages;
        sum.cached_pages += census.cached_pages;
        for order in 0..frames::ORDERS {
            sum.free_blocks[order] += census.free_blocks[order];
            sum.allocated_blocks[order] += census.allocated_blocks[order];
        }
    }
    Ok(sum)
}
