//! Page caches: for each CPU, single pages of its node.
//!
//! A page that is taken from the cache or put into it touches this CPU's memory
//! only. The cache's lock is this CPU's too. It keeps interrupts out, and lets
//! other CPUs read the counts, and drain the cache when memory is short.
//!
//! Allocated pages of all orders are counted here, per CPU, by `from_zone_pages`.
//! Pages that move between caches and zones are free all the time.

use core::ops::Range;

use frames::cache::BATCH_PAGES;
use frames::{PageCache, PageDesc, Pfn};

use super::mem_map;
use super::zones::NodeZone;
use crate::arch::lock_class::LockClass;
use crate::arch::percpu::{self, MAX_CPUS, PerCpu};
use crate::arch::spin_lock::IrqSpinLock;

struct CpuPages {
    cache: PageCache<'static>,
    /// All descriptors of the machine; empty until [`init`].
    descs: &'static [PageDesc],
    /// Pages that this CPU took from zones, less those that it returned. Those not
    /// in the cache are allocated.
    from_zone_pages: i64,
    stats: CacheStats,
}

/// How often a CPU's cache was filled and flushed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Times that it was filled from the zone.
    pub refills: u64,
    /// Times that a part of it was returned to the zone.
    pub flushes: u64,
}

/// A page cache with its counts, alone on its cache lines.
#[repr(align(128))]
struct CpuPageCache(IrqSpinLock<CpuPages>);
const _: () = assert!(align_of::<CpuPageCache>() == 128 && size_of::<CpuPageCache>().is_multiple_of(128));

/// Order of the blocks that are not split to fill a cache with neighbouring pages: huge pages.
const SPARED_ORDER: u8 = 9;

/// The id of no zone: no page fits into a cache before [`init`].
const NO_ZONE: u16 = u16::MAX;

static CACHES: [CpuPageCache; MAX_CPUS] = [const {
    let stats = CacheStats { refills: 0, flushes: 0 };
    CpuPageCache(IrqSpinLock::of(
        LockClass::PAGE_CACHE,
        CpuPages { cache: PageCache::new(NO_ZONE), descs: &[], from_zone_pages: 0, stats },
    ))
}; MAX_CPUS];

/// Sets the zone of the cache of CPU number `cpu`.
pub fn init(cpu: usize, home: u16, descs: &'static [PageDesc]) {
    let mut cpu_pages = CACHES[cpu].0.lock();
    cpu_pages.cache = PageCache::new(home);
    cpu_pages.descs = descs;
}

/// Sets the CPU's pointer to its cache, before its first allocation (invariant 21).
pub fn attach(cpu: &PerCpu) {
    let cpu_pages: *const IrqSpinLock<CpuPages> = &raw const CACHES[cpu.id().index()].0;
    cpu.set_pages(cpu_pages.cast());
}

/// Returns this CPU's cache. If the thread is moved meanwhile, it is another CPU's,
/// which serves as well.
#[inline(always)]
fn here() -> &'static IrqSpinLock<CpuPages> {
    let cpu_pages = percpu::this_cpu_pages().cast::<IrqSpinLock<CpuPages>>();
    // SAFETY: only `attach` sets the pointer, to a static of this type, before the CPU's first allocation (invariant
    // 21).
    unsafe { &*cpu_pages }
}

/// Takes a page of this CPU's node from the cache; calls `when_empty` when the
/// cache is empty.
///
/// The two returns are separate on purpose: the usual path then has no further
/// branch.
#[inline(always)]
pub fn take_or(when_empty: fn() -> Option<Pfn>) -> Option<Pfn> {
    let mut cpu_pages = here().lock_inline();
    if cpu_pages.cache.is_empty() {
        drop(cpu_pages);
        return when_empty();
    }
    cpu_pages.cache.take()
}

/// Takes a page from the cache, after a refill from the zone if it is empty;
/// `None` when the zone is short of pages.
pub fn take_after_refill() -> Option<Pfn> {
    let mut cpu_pages = here().lock();
    if cpu_pages.cache.is_empty() {
        cpu_pages.refill();
    }
    cpu_pages.cache.take()
}

/// Puts a page of this CPU's node into the cache. Calls `when_refused` when the
/// cache is full, when the page is of another node, and when it is not allocated.
#[inline(always)]
pub fn put_or(pfn: Pfn, when_refused: fn(Pfn)) {
    let mut cpu_pages = here().lock_inline();
    let CpuPages { cache, descs, .. } = &mut *cpu_pages;
    if !cache.put(descs, pfn) {
        drop(cpu_pages);
        when_refused(pfn);
    }
}

/// Puts a page of this CPU's node into the cache, after a flush if it is full.
/// Returns false for a page of another node, and for one that is not allocated.
pub fn put_after_flush(pfn: Pfn) -> bool {
    let mut cpu_pages = here().lock();
    let cpu_pages = &mut *cpu_pages;
    if cpu_pages.cache.is_full() {
        cpu_pages.flush();
    }
    cpu_pages.cache.put(cpu_pages.descs, pfn)
}

/// Counts pages that were taken from a zone without the cache.
pub fn count_alloc(pages: u64) {
    here().lock().from_zone_pages += pages as i64;
}

/// Counts pages that were returned to a zone without the cache.
pub fn count_free(pages: u64) {
    here().lock().from_zone_pages -= pages as i64;
}

impl CpuPages {
    fn zone(&self) -> Option<&'static NodeZone<'static>> {
        mem_map::zone_with_id(self.cache.zone_id())
    }

    #[cold]
    fn refill(&mut self) {
        let Some(zone) = self.zone() else { return };
        let mut batch = [Pfn(0); BATCH_PAGES];
        let count = zone.allocator.lock().alloc_in_runs(SPARED_ORDER, &mut batch, zone.marks.low_pages);
        for pfn in &batch[..count] {
            let is_cached = self.cache.put(self.descs, *pfn);
            assert!(is_cached, "page {pfn} from the zone does not fit into its cache");
        }
        self.from_zone_pages += count as i64;
        self.stats.refills += 1;
    }

    #[cold]
    fn flush(&mut self) {
        let mut batch = [Pfn(0); BATCH_PAGES];
        let count = self.cache.drain(&mut batch);
        if let Some(zone) = self.zone() {
            let freed = zone.allocator.lock().free_bulk(0, &batch[..count]);
            freed.unwrap_or_else(|(_, error)| panic!("a cached page: {error}"));
        }
        self.from_zone_pages -= count as i64;
        self.stats.flushes += 1;
    }
}

/// Flushes all caches into their zones. Returns whether there was any page.
pub fn drain_all() -> bool {
    let mut found = false;
    for cpu in percpu::all() {
        let mut cpu_pages = CACHES[cpu.id().index()].0.lock();
        while !cpu_pages.cache.is_empty() {
            cpu_pages.flush();
            found = true;
        }
    }
    found
}

/// Page counts of one CPU.
#[derive(Debug, Clone, Copy)]
pub(super) struct CpuCounts {
    from_zone_pages: i64,
    /// Pages in the CPU's cache.
    pub(super) cached_pages: u64,
}

impl CpuCounts {
    /// Pages allocated through the CPU, less those freed through it.
    pub(super) fn allocated_pages(self) -> i64 {
        self.from_zone_pages - self.cached_pages as i64
    }
}

/// Returns the page counts of CPU number `cpu`, from one moment.
pub(super) fn counts(cpu: usize) -> CpuCounts {
    let cpu_pages = CACHES[cpu].0.lock();
    CpuCounts { from_zone_pages: cpu_pages.from_zone_pages, cached_pages: cpu_pages.cache.len() as u64 }
}

/// Returns the memory of the cache of CPU number `cpu` and its counts, for tests.
pub fn memory_of(cpu: usize) -> Range<usize> {
    let start = (&raw const CACHES[cpu]).addr();
    start..start + size_of::<CpuPageCache>()
}

/// Returns how often the cache of CPU number `cpu` was filled and flushed.
pub fn stats(cpu: usize) -> CacheStats {
    CACHES[cpu].0.lock().stats
}
