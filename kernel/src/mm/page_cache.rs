//! Single pages of each CPU's own node, at hand for that CPU.
//!
//! Taking or giving a page that the cache has, or has room for, touches this
//! CPU's memory only. The lock is this CPU's own too: it keeps interrupts out,
//! and lets others look and drain the cache when memory is short.
//!
//! The number of pages that are in somebody's hands is counted here, per CPU,
//! for all orders: what moves between caches and zones is free all the time.

use frames::cache::BATCH_PAGES;
use frames::{PageCache, PageDesc, Pfn};

use super::{pages, zones::NodeZone};
use crate::arch::irq::IrqLock;
use crate::arch::percpu::{self, MAX_CPUS};

struct CpuPages {
    cache: PageCache,
    /// All descriptors of the machine; none until [`init`].
    descs: &'static [PageDesc],
    /// Pages taken through this CPU less those given back through it.
    handed_out: i64,
    stats: CacheStats,
}

/// How often a CPU's cache was enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Pages taken from the cache.
    pub taken: u64,
    /// Pages given back to it.
    pub freed: u64,
    /// Times that it was filled from the zone.
    pub refills: u64,
    /// Times that a part of it was given to the zone.
    pub flushes: u64,
}

#[repr(align(128))]
struct Slot(IrqLock<CpuPages>);

/// Never anybody's zone: until a cache gets its own, no page fits.
const NO_ZONE: u16 = u16::MAX;

static SLOTS: [Slot; MAX_CPUS] = [const {
    let stats = CacheStats { taken: 0, freed: 0, refills: 0, flushes: 0 };
    Slot(IrqLock::new(CpuPages { cache: PageCache::new(NO_ZONE), descs: &[], handed_out: 0, stats }))
}; MAX_CPUS];

/// Gives the cache of CPU number `cpu` its zone.
pub fn init(cpu: usize, home: u16, descs: &'static [PageDesc]) {
    let mut slot = SLOTS[cpu].0.lock();
    slot.cache = PageCache::new(home);
    slot.descs = descs;
}

/// This CPU's cache; another's if the thread moves just now, which is as right.
fn here() -> &'static IrqLock<CpuPages> {
    &SLOTS[percpu::this_cpu().id().index()].0
}

/// Takes a page of this CPU's node; `None` when its zone is short of them.
pub fn take() -> Option<Pfn> {
    let mut slot = here().lock();
    let slot = &mut *slot;
    if slot.cache.is_empty() {
        slot.refill();
    }
    let pfn = slot.cache.take(slot.descs)?;
    slot.handed_out += 1;
    slot.stats.taken += 1;
    Some(pfn)
}

/// Takes back a page of this CPU's node; false for any other page, and for
/// what is no allocated page at all.
pub fn put(pfn: Pfn) -> bool {
    let mut slot = here().lock();
    let slot = &mut *slot;
    if slot.cache.is_full() {
        slot.flush();
    }
    let is_taken = slot.cache.put(slot.descs, pfn);
    slot.handed_out -= i64::from(is_taken);
    slot.stats.freed += u64::from(is_taken);
    is_taken
}

/// Counts pages that went past the cache: taken, or given back if negative.
pub fn account(handed_out: i64) {
    here().lock().handed_out += handed_out;
}

impl CpuPages {
    fn zone(&self) -> Option<&'static NodeZone<'static>> {
        pages::zone_with_id(self.cache.zone_id())
    }

    #[cold]
    fn refill(&mut self) {
        let Some(zone) = self.zone() else { return };
        let mut batch = [Pfn(0); BATCH_PAGES];
        let count = zone.allocator.lock().alloc_bulk(0, &mut batch, zone.marks.low_pages);
        for pfn in &batch[..count] {
            let is_cached = self.cache.put(self.descs, *pfn);
            assert!(is_cached, "page {pfn} from the zone does not fit into its cache");
        }
        self.stats.refills += 1;
    }

    #[cold]
    fn flush(&mut self) {
        let mut batch = [Pfn(0); BATCH_PAGES];
        let count = self.cache.drain(self.descs, &mut batch);
        if let Some(zone) = self.zone() {
            let freed = zone.allocator.lock().free_bulk(0, &batch[..count]);
            freed.unwrap_or_else(|(_, error)| panic!("a cached page: {error}"));
        }
        self.stats.flushes += 1;
    }
}

/// Empties all caches into their zones; says whether there was anything.
pub fn drain_all() -> bool {
    let mut found = false;
    for cpu in percpu::all() {
        let mut slot = SLOTS[cpu.id().index()].0.lock();
        while !slot.cache.is_empty() {
            slot.flush();
            found = true;
        }
    }
    found
}

/// Pages in somebody's hands.
pub fn handed_out() -> i64 {
    percpu::all().map(|cpu| SLOTS[cpu.id().index()].0.lock().handed_out).sum()
}

/// How often the cache of CPU number `cpu` was enough.
pub fn stats(cpu: usize) -> CacheStats {
    SLOTS[cpu].0.lock().stats
}
