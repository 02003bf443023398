//! Pools of pre-zeroed pages: idle CPUs clear pages ahead of time, so that an
//! allocation of a zeroed page need not wait.
//!
//! Each node has a pool. Its pages count as free, and go back to the zone when
//! memory is short.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use firmware::nodes::MAX_NODES;
use frames::Pfn;
use params::registry::ZERO_POOL_PAGES;

use trace::{Event, EventClass};

use super::page_stack::PageStack;
use super::poison::check_poison;
use super::{mem_map, page_cache, zero};
use crate::arch::tracepoint;
use crate::platform::nodes;

struct NodePool {
    zeroed: PageStack,
    /// CPUs that are clearing a page for the pool.
    clearing: AtomicU64,
    /// Set when the zone had no spare page, and when the pool was shrunk. Idle CPUs
    /// ask the zone again after the next request for a pre-zeroed page.
    is_zone_short: AtomicBool,
}

static POOLS: [NodePool; MAX_NODES] = [const { NodePool::new() }; MAX_NODES];

impl NodePool {
    const fn new() -> Self {
        Self { zeroed: PageStack::new(), clearing: AtomicU64::new(0), is_zone_short: AtomicBool::new(false) }
    }

    /// Returns whether there is room for one more page when `clearing` CPUs are
    /// about to add one each.
    fn has_room(&self, clearing: u64, limit: u64) -> bool {
        clearing + self.zeroed.len() < limit
    }

    /// Returns the pages beyond `limit` to the zone; returns whether there were any.
    fn shrink_to(&self, limit: u64) -> bool {
        let mut found = false;
        while self.zeroed.len() > limit {
            let Some(page) = self.zeroed.pop() else { break };
            // Idle CPUs must not take the page again at once: memory is short.
            self.is_zone_short.store(true, SeqCst);
            return_uncounted(page);
            found = true;
        }
        found
    }
}

/// Takes a page of `node`, if its zone has more than the kernel needs for
/// anything better. The page stays uncounted: pages of the pools are free.
fn take_uncounted(node: usize) -> Option<Pfn> {
    let mut on_node = mem_map::zones().iter().filter(|zone| zone.node == node);
    let page = on_node.find_map(|zone| zone.allocator.lock().alloc_above(0, zone.marks.high_pages))?;
    check_poison(page, 0);
    Some(page)
}

/// Returns a page from [`take_uncounted`] to its zone.
fn return_uncounted(page: Pfn) {
    let freed = mem_map::zone_of(page).map(|zone| zone.allocator.lock().free(page, 0));
    assert!(matches!(freed, Some(Ok(()))), "giving back page {page}: {freed:?}");
}

/// Takes a page from the pool of this CPU's node and counts it as allocated;
/// `None` when the pool is empty.
pub fn take() -> Option<Pfn> {
    let pool = &POOLS[nodes::current()];
    pool.is_zone_short.store(false, SeqCst);
    let page = pool.zeroed.pop()?;
    page_cache::count_alloc(1);
    if cfg!(debug_assertions) {
        // SAFETY: the page is ours since it left the pool (invariant 12).
        let is_zeroed = unsafe { zero::is_zero(page, 1) };
        assert!(
            is_zeroed,
            "invariant 12: page {page} was written to while it waited in the pool of pre-zeroed pages"
        );
    }
    Some(page)
}

/// Returns whether the pool of this CPU's node has room, and its zone spare pages.
pub fn wants_page() -> bool {
    let pool = &POOLS[nodes::current()];
    pool.has_room(pool.clearing.load(SeqCst), ZERO_POOL_PAGES.get()) && !pool.is_zone_short.load(SeqCst)
}

/// Clears one page for the pool of this CPU's node, if there is room and the zone
/// has a spare page.
pub fn add_page() {
    let node = nodes::current();
    let pool = &POOLS[node];
    let limit = ZERO_POOL_PAGES.get();
    // All idle CPUs of the node may be here: each CPU counted before has a page in the pool, or will have.
    if pool.has_room(pool.clearing.fetch_add(1, SeqCst), limit) {
        tracepoint::event(EventClass::Pool, || Event::PoolFillBegin { node: node as u16 });
        let page = take_uncounted(node);
        match page {
            Some(page) => {
                // SAFETY: the page was just allocated (invariant 12).
                unsafe { zero::zero_frames(page, 1) };
                pool.zeroed.push(page);
            }
            None => pool.is_zone_short.store(true, SeqCst),
        }
        tracepoint::event(EventClass::Pool, || Event::PoolFillEnd { filled: page.is_some() });
    }
    pool.clearing.fetch_sub(1, SeqCst);
    // The limit may have been lowered, and the pool trimmed, while the page was cleared.
    let limit_now = ZERO_POOL_PAGES.get();
    if limit_now < limit {
        pool.shrink_to(limit_now);
    }
}

/// Puts a page of the caller into the pool, without a check: for tests of misuse.
#[cfg(debug_assertions)]
pub fn put_back_unchecked(page: Pfn) {
    page_cache::count_free(1);
    POOLS[nodes::current()].zeroed.push(page);
}

/// Returns the number of pages in the pool of `node`.
pub fn len(node: usize) -> u64 {
    POOLS[node].zeroed.len()
}

/// Returns pages beyond `zero.pool_pages` to the zones.
pub fn trim() {
    shrink_to(ZERO_POOL_PAGES.get());
}

/// Returns all pages of the pools to the zones; returns whether there were any.
pub fn drain_all() -> bool {
    shrink_to(0)
}

fn shrink_to(limit: u64) -> bool {
    // All pools: no short circuit after the first that had pages.
    POOLS.iter().fold(false, |found, pool| pool.shrink_to(limit) | found)
}
