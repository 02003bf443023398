//! The page allocator: page frames by node, nearest first.
//!
//! Single pages come from the CPU's own cache ([`page_cache`]). Everything else
//! comes from the zones, in this order: those above their low watermark, from
//! near to far; memory that is not initialised yet; those above their minimum;
//! what the caches held. What lies below the minimum is for the kernel's own
//! needs ([`alloc_reserved`]).

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use frames::{Census, FreeError, Inconsistency, PageDesc, PageState, Pfn, order_pages};
use params::registry::FAULT_ALLOC;
use spin::Once;

use super::layout::Layout;
#[cfg(debug_assertions)]
use super::poison;
use super::zones::{NodeZone, ZoneSet};
use super::{descriptors, page_cache, zero_pool};
use crate::arch::paging::phys_to_virt;
use crate::arch::percpu::{self, MAX_CPUS};
use crate::platform::nodes;

struct Machine {
    zones: ZoneSet<'static>,
    descs: &'static [PageDesc],
}

static MACHINE: Once<Machine> = Once::new();
/// Page allocations by jobs so far, for fault injection.
static JOB_ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// Brings the allocator into being, with nothing free yet. `descs` describe
/// the whole machine, by page frame number.
pub fn init(layout: &Layout, descs: &'static [PageDesc]) -> &'static ZoneSet<'static> {
    let machine = MACHINE.call_once(|| Machine { zones: ZoneSet::new(layout, descs), descs });
    #[cfg(debug_assertions)]
    poison::init(layout.end());
    percpu::all().for_each(page_cache::attach);
    for cpu in 0..MAX_CPUS {
        // A node without memory has no pages to keep at hand.
        if let Some(home) = machine.zones.home_of(nodes::nodes().node_of_cpu(cpu)) {
            page_cache::init(cpu, home, descs);
        }
    }
    &machine.zones
}

fn machine() -> &'static Machine {
    MACHINE.get().expect("the page allocator is used before it exists")
}

/// All zones.
///
/// # Panics
/// Before [`init`]: a bug of ours.
pub fn zones() -> &'static ZoneSet<'static> {
    &machine().zones
}

/// The zone with this id; `None` also before [`init`].
pub fn zone_with_id(id: u16) -> Option<&'static NodeZone<'static>> {
    MACHINE.get()?.zones.get(id)
}

/// The node that the page frame is of; `None` where there is no memory.
pub fn node_of(pfn: Pfn) -> Option<usize> {
    let desc = desc(pfn)?;
    if desc.state() == PageState::Hole {
        return None;
    }
    zone_with_id(desc.zone_id()).map(|zone| zone.node)
}

/// Takes 2^`order` page frames, aligned to their size, as near as can be.
#[inline]
pub fn alloc(order: u8) -> Option<Pfn> {
    match order {
        0 => check_poison(page_cache::take_or(alloc_page_slowly), 0),
        _ => alloc_near(nodes::current(), order),
    }
}

#[cold]
fn alloc_page_slowly() -> Option<Pfn> {
    page_cache::take_after_refill().or_else(|| alloc_near(nodes::current(), 0))
}

/// As [`alloc`], as near to `node` as can be.
pub fn alloc_near(node: usize, order: u8) -> Option<Pfn> {
    let page = alloc_from_zones(node, order)?;
    page_cache::count_alloc(order_pages(order));
    check_poison(Some(page), order)
}

/// As [`alloc`], for what the kernel cannot do without: the reserve too.
pub fn alloc_reserved(order: u8) -> Option<Pfn> {
    alloc(order).or_else(|| {
        let page = zones().near(nodes::current()).find_map(|zone| zone.allocator.lock().alloc(order))?;
        page_cache::count_alloc(order_pages(order));
        check_poison(Some(page), order)
    })
}

/// Takes blocks of `order` from `node` alone until `blocks` is full or the node
/// is down to its minimum; returns how many. What caches hold is not touched.
pub fn alloc_bulk_on(node: usize, order: u8, blocks: &mut [Pfn]) -> usize {
    let mut count = 0;
    for zone in zones().iter().filter(|zone| zone.node == node) {
        count += zone.allocator.lock().alloc_bulk(order, &mut blocks[count..], zone.marks.min_pages);
    }
    page_cache::count_alloc(count as u64 * order_pages(order));
    blocks[..count].iter().for_each(|block| {
        check_poison(Some(*block), order);
    });
    count
}

fn alloc_from_zones(node: usize, order: u8) -> Option<Pfn> {
    let above = |reserve: fn(&NodeZone<'_>) -> u64| {
        let mut near = zones().near(node);
        near.find_map(|zone| zone.allocator.lock().alloc_above(order, reserve(zone)))
    };
    loop {
        if let Some(page) = above(|zone| zone.marks.low_pages) {
            return Some(page);
        }
        if !descriptors::grow(node) {
            break;
        }
    }
    let page = above(|zone| zone.marks.min_pages);
    if page.is_some() || !drain_caches() {
        return page;
    }
    above(|zone| zone.marks.min_pages)
}

/// As [`alloc`], for jobs: `fault.alloc` may make it fail.
pub fn alloc_for_job(order: u8) -> Option<Pfn> {
    (count_job_allocations(1) == 1).then(|| alloc(order))?
}

/// Counts allocations by a job; returns how many of them come before the one
/// that `fault.alloc` makes fail: all, mostly.
pub fn count_job_allocations(count: u64) -> u64 {
    let before = JOB_ALLOCATIONS.fetch_add(count, SeqCst);
    match FAULT_ALLOC.get() {
        Some(nth) if before < nth && nth <= before + count => nth - before - 1,
        _ => count,
    }
}

/// Has `fault.alloc` count from here.
pub fn restart_fault_count() {
    JOB_ALLOCATIONS.store(0, SeqCst);
}

/// Gives page frames back.
///
/// # Panics
/// When they were not allocated: whoever frees them twice may be writing to
/// somebody else's memory already.
#[inline]
pub fn free(pfn: Pfn, order: u8) {
    poison_block(pfn, order);
    match order {
        0 => page_cache::put_or(pfn, |pfn| free_slowly(pfn, 0)),
        _ => free_slowly(pfn, order),
    }
}

/// Gives blocks of `order` back: as [`free`] for each, with one hold of the lock
/// for all that are of one zone and beside each other in `blocks`.
///
/// # Panics
/// As [`free`].
pub fn free_bulk(blocks: &[Pfn], order: u8) {
    blocks.iter().for_each(|block| poison_block(*block, order));
    for of_one_zone in blocks.chunk_by(|a, b| zone_id_of(*a) == zone_id_of(*b)) {
        let zone = zone_id_of(of_one_zone[0]).and_then(zone_with_id);
        let zone = zone.unwrap_or_else(|| panic!("freeing page {}, which there is not", of_one_zone[0]));
        if let Err((freed, error)) = zone.allocator.lock().free_bulk(order, of_one_zone) {
            panic!("freeing 2^{order} pages at {:#x}: {error}", of_one_zone[freed].address());
        }
    }
    page_cache::count_free(blocks.len() as u64 * order_pages(order));
}

fn zone_id_of(pfn: Pfn) -> Option<u16> {
    desc(pfn).map(PageDesc::zone_id)
}

/// In debug builds, has who goes on using a block of `order` found out.
#[inline]
fn poison_block(block: Pfn, order: u8) {
    #[cfg(debug_assertions)]
    if desc(block).is_some_and(|desc| desc.state() == PageState::AllocatedHead { order }) {
        // SAFETY: the caller gives the block up (invariant 12), and it is one of this order.
        unsafe { poison::fill(block, order) };
    }
    let _ = (block, order);
}

#[cold]
fn free_slowly(pfn: Pfn, order: u8) {
    if let Err(error) = try_free(pfn, order) {
        panic!("freeing 2^{order} pages at {:#x}: {error}", pfn.address());
    }
}

/// The block that somebody is about to be given. In debug builds, of which each page was found as it was left when it
/// was freed.
#[inline(always)]
#[cfg_attr(debug_assertions, track_caller)]
fn check_poison(block: Option<Pfn>, order: u8) -> Option<Pfn> {
    #[cfg(debug_assertions)]
    if let Some(first) = block {
        poison::check(first, order);
    }
    #[cfg(not(debug_assertions))]
    let _ = order;
    block
}

/// As [`free`], for tests of misuse.
pub fn try_free(pfn: Pfn, order: u8) -> Result<(), FreeError> {
    if order == 0 && page_cache::put_after_flush(pfn) {
        return Ok(());
    }
    let zone = desc(pfn).and_then(|desc| zone_with_id(desc.zone_id()));
    let zone = zone.ok_or(FreeError::OutOfRange { pfn, len_pages: order_pages(order) })?;
    zone.allocator.lock().free(pfn, order)?;
    page_cache::count_free(order_pages(order));
    Ok(())
}

/// Number of page frames that nobody holds, initialised or not.
pub fn free_pages() -> u64 {
    let managed: u64 = zones().iter().map(|zone| zone.managed_pages).sum();
    managed.saturating_add_signed(-page_cache::allocated_pages())
}

/// Number of free page frames in the zones: initialised, and in no cache.
pub fn initialised_pages() -> u64 {
    zones().iter().map(|zone| zone.allocator.lock().free_pages()).sum()
}

/// Number of free page frames of one node, those in caches not among them.
pub fn free_pages_on(node: usize) -> u64 {
    let on_node = zones().iter().filter(|zone| zone.node == node);
    on_node.map(|zone| zone.allocator.lock().free_pages()).sum()
}

/// Number of blocks of `order` that [`alloc_bulk_on`] would give on `node`: the
/// reserve is not among them.
pub fn free_blocks_on(node: usize, order: u8) -> u64 {
    let on_node = zones().iter().filter(|zone| zone.node == node);
    on_node.map(|zone| zone.allocator.lock().blocks_above(order, zone.marks.min_pages)).sum()
}

/// Gives what the caches and the pools of pre-zeroed pages hold back to the zones,
/// so that it can become part of larger blocks; says whether there was any.
pub fn drain_caches() -> bool {
    let had_cached = page_cache::drain_all();
    let had_zeroed = zero_pool::drain_all();
    had_cached || had_zeroed
}

/// Takes a page of `node` that the kernel does not need for anything better,
/// for keeping it at hand: it counts as free. It goes back by [`give_spare`].
pub fn take_spare(node: usize) -> Option<Pfn> {
    let mut on_node = zones().iter().filter(|zone| zone.node == node);
    check_poison(on_node.find_map(|zone| zone.allocator.lock().alloc_above(0, zone.marks.high_pages)), 0)
}

/// Gives back what [`take_spare`] gave.
pub fn give_spare(pfn: Pfn) {
    let zone = desc(pfn).and_then(|desc| zone_with_id(desc.zone_id()));
    let freed = zone.map(|zone| zone.allocator.lock().free(pfn, 0));
    assert!(matches!(freed, Some(Ok(()))), "giving back page {pfn}: {freed:?}");
}

/// The descriptor of a page frame.
pub fn desc(pfn: Pfn) -> Option<&'static PageDesc> {
    machine().descs.get(pfn.0 as usize)
}

/// Checks everything that the allocator believes; reads every descriptor. The
/// pages of all zones, added up.
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

/// Where the frame is in the physical map.
pub fn virt(pfn: Pfn) -> *mut u8 {
    phys_to_virt(pfn.address()) as *mut u8
}
