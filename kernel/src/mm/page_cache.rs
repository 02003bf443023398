//! Single pages of each CPU's own node, at hand for that CPU.
//!
//! Taking or giving a page that the cache has, or has room for, touches this
//! CPU's memory only. The lock is this CPU's own too: it keeps interrupts out,
//! and lets others look and drain the cache when memory is short.
//!
//! The number of pages that are in somebody's hands is counted here, per CPU,
//! for all orders: what moves between caches and zones is free all the time.

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
    /// All descriptors of the machine; none until [`init`].
    descs: &'static [PageDesc],
    /// Pages taken from zones through this CPU less those given to zones. What
    /// of them is not in the cache is in somebody's hands.
    from_zone_pages: i64,
    stats: CacheStats,
}

/// How often a CPU's cache was not enough.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Times that it was filled from the zone.
    pub refills: u64,
    /// Times that a part of it was given to the zone.
    pub flushes: u64,
}

/// A cache alone on its cache lines, its counts included.
#[repr(align(128))]
struct CpuPageCache(IrqSpinLock<CpuPages>);
const _: () = assert!(align_of::<CpuPageCache>() == 128 && size_of::<CpuPageCache>().is_multiple_of(128));

/// Blocks that are not broken so that a cache's pages lie together: huge pages.
const SPARED_ORDER: u8 = 9;

/// Never anybody's zone: until a cache gets its own, no page fits.
const NO_ZONE: u16 = u16::MAX;

static CACHES: [CpuPageCache; MAX_CPUS] = [const {
    let stats = CacheStats { refills: 0, flushes: 0 };
    CpuPageCache(IrqSpinLock::of(
        LockClass::PAGE_CACHE,
        CpuPages { cache: PageCache::new(NO_ZONE), descs: &[], from_zone_pages: 0, stats },
    ))
}; MAX_CPUS];

/// Gives the cache of CPU number `cpu` its zone.
pub fn init(cpu: usize, home: u16, descs: &'static [PageDesc]) {
    let mut cpu_pages = CACHES[cpu].0.lock();
    cpu_pages.cache = PageCache::new(home);
    cpu_pages.descs = descs;
}

/// Has a CPU find its cache, before it takes its first page (invariant 21).
pub fn attach(cpu: &PerCpu) {
    let cpu_pages: *const IrqSpinLock<CpuPages> = &raw const CACHES[cpu.id().index()].0;
    cpu.set_pages(cpu_pages.cast());
}

/// This CPU's cache; another's if the thread moves just now, which is as right.
#[inline(always)]
fn here() -> &'static IrqSpinLock<CpuPages> {
    let cpu_pages = percpu::this_cpu_pages().cast::<IrqSpinLock<CpuPages>>();
    // SAFETY: only `attach` sets the pointer, to a static of this type, before the CPU takes its first page
    // (invariant 21).
    unsafe { &*cpu_pages }
}

/// Takes a page of this CPU's node from the cache; when that is empty, does
/// what `otherwise` does.
///
/// The ways out are apart on purpose: the usual one has no question left to ask.
#[inline(always)]
pub fn take_or(otherwise: fn() -> Option<Pfn>) -> Option<Pfn> {
    let mut cpu_pages = here().lock_inline();
    if cpu_pages.cache.is_empty() {
        drop(cpu_pages);
        return otherwise();
    }
    cpu_pages.cache.take()
}

/// Takes a page from the cache, which is filled from the zone if need be;
/// `None` when that is short of pages.
pub fn take_after_refill() -> Option<Pfn> {
    let mut cpu_pages = here().lock();
    if cpu_pages.cache.is_empty() {
        cpu_pages.refill();
    }
    cpu_pages.cache.take()
}

/// Takes back a page of this CPU's node. When there is no room, and with any
/// other page, and with what is no page that anybody holds, does what
/// `otherwise` does.
#[inline(always)]
pub fn put_or(pfn: Pfn, otherwise: fn(Pfn)) {
    let mut cpu_pages = here().lock_inline();
    let CpuPages { cache, descs, .. } = &mut *cpu_pages;
    if !cache.put(descs, pfn) {
        drop(cpu_pages);
        otherwise(pfn);
    }
}

/// Takes back a page of this CPU's node, after making room if need be; false
/// for any other page, and for what is no page that anybody holds.
pub fn put_after_flush(pfn: Pfn) -> bool {
    let mut cpu_pages = here().lock();
    let cpu_pages = &mut *cpu_pages;
    if cpu_pages.cache.is_full() {
        cpu_pages.flush();
    }
    cpu_pages.cache.put(cpu_pages.descs, pfn)
}

/// Counts pages that were taken from a zone, past the cache.
pub fn count_alloc(pages: u64) {
    here().lock().from_zone_pages += pages as i64;
}

/// Counts pages that were returned to a zone, past the cache.
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

/// Empties all caches into their zones; says whether there was anything.
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

/// The memory that the cache of CPU number `cpu` and its counts are in, for tests.
pub fn memory_of(cpu: usize) -> Range<usize> {
    let start = (&raw const CACHES[cpu]).addr();
    start..start + size_of::<CpuPageCache>()
}

/// How often the cache of CPU number `cpu` was not enough.
pub fn stats(cpu: usize) -> CacheStats {
    CACHES[cpu].0.lock().stats
}
