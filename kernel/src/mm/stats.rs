//! Counts of free, cached and allocated page frames.
//!
//! Pages move between zones, page caches and pools of pre-zeroed pages at any
//! time, so a sum over all of them is never exact. Allocated pages are counted
//! instead, where they leave and enter the zones; all other pages are free.

use super::{mem_map, page_cache};
use crate::arch::percpu;

/// Returns the number of allocated page frames.
pub fn allocated_pages() -> i64 {
    percpu::all().map(|cpu| page_cache::counts(cpu.id().index())).map(|counts| counts.allocated_pages()).sum()
}

/// Returns the number of page frames in the CPUs' caches.
pub fn cached_pages() -> u64 {
    percpu::all().map(|cpu| page_cache::counts(cpu.id().index()).cached_pages).sum()
}

/// Returns the number of page frames that are not allocated, initialised or not.
pub fn free_pages() -> u64 {
    let managed: u64 = mem_map::zones().iter().map(|zone| zone.managed_pages).sum();
    managed.saturating_add_signed(-allocated_pages())
}

/// Returns the number of free page frames in the zones: initialised, and in no cache or pool.
pub fn initialised_pages() -> u64 {
    mem_map::zones().iter().map(|zone| zone.allocator.lock().free_pages()).sum()
}

/// Returns the number of free page frames in the zones of one node.
pub fn free_pages_on(node: usize) -> u64 {
    let on_node = mem_map::zones().iter().filter(|zone| zone.node == node);
    on_node.map(|zone| zone.allocator.lock().free_pages()).sum()
}

/// Returns the number of blocks of `order` that [`pages::alloc_bulk_on`](super::pages::alloc_bulk_on)
/// would take from `node`. That leaves out the reserve.
pub fn free_blocks_on(node: usize, order: u8) -> u64 {
    let on_node = mem_map::zones().iter().filter(|zone| zone.node == node);
    on_node.map(|zone| zone.allocator.lock().blocks_above(order, zone.marks.min_pages)).sum()
}
