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

use super::{pages, zones::NodeZone};
use crate::arch::irq::IrqSpinLock;
use crate::arch::lock_class::LockClass;
use crate::arch::percpu::{self, MAX_CPUS, PerCpu};

struct CpuPages {
    cache: PageCache<'static>,
    /// All descriptors of the machine; none until [`init`].
    descs: &'static [PageDesc],
    /// Pages taken from zones through this CPU less those given to zones. What
    /// of them is not in the cache is in somebody's hands.
    drawn: i64,
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
struct Slot(IrqSpinLock<CpuPages>);
const _: () = assert!(align_of::<Slot>() == 128 && size_of::<Slot>().is_multiple_of(128));

/// Blocks that are not broken so that a cache's pages lie together: huge pages.
const SPARED_ORDER: u8 = 9;

/// Never anybody's zone: until a cache gets its own, no page fits.
const NO_ZONE: u16 = u16::MAX;

static SLOTS: [Slot; MAX_CPUS] = [const {
    let stats = CacheStats { refills: 0, flushes: 0 };
    Slot(IrqSpinLock::of(
        LockClass::PAGE_CACHE,
        CpuPages { cache: PageCache::new(NO_ZONE), descs: &[], drawn: 0, stats },
    ))
}; MAX_CPUS];

/// Gives the cache of CPU number `cpu` its zone.
pub fn init(cpu: usize, home: u16, descs: &'static [PageDesc]) {
    let mut slot = SLOTS[cpu].0.lock();
    slot.cache = PageCache::new(home);
    slot.descs = descs;
}

/// Has a CPU find its cache, before it takes its first page (invariant 21).
pub fn attach(cpu: &PerCpu) {
    let slot: *const IrqSpinLock<CpuPages> = &raw const SLOTS[cpu.id().index()].0;
    cpu.set_pages(slot.cast());
}

/// This CPU's cache; another's if the thread moves just now, which is as right.
#[inline(always)]
fn here() -> &'static IrqSpinLock<CpuPages> {
    let slot = percpu::this_cpu_pages().cast::<IrqSpinLock<CpuPages>>();
    // SAFETY: only `attach` sets the pointer, to a static of this type, before the CPU takes its first page
    // (invariant 21).
    unsafe { &*slot }
}

/// Takes a page of this CPU's node from the cache; when that is empty, does
/// what `otherwise` does.
///
/// The ways out are apart on purpose: the usual one has no question left to ask.
#[inline(always)]
pub fn take_or(otherwise: fn() -> Option<Pfn>) -> Option<Pfn> {
    let mut slot = here().lock_inline();
    if slot.cache.is_empty() {
        drop(slot);
        return otherwise();
    }
    slot.cache.take()
}

/// Takes a page from the cache, which is filled from the zone if need be;
/// `None` when that is short of pages.
pub fn take_after_refill() -> Option<Pfn> {
    let mut slot = here().lock();
    if slot.cache.is_empty() {
        slot.refill();
    }
    slot.cache.take()
}

/// Takes back a page of this CPU's node. When there is no room, and with any
/// other page, and with what is no page that anybody holds, does what
/// `otherwise` does.
#[inline(always)]
pub fn put_or(pfn: Pfn, otherwise: fn(Pfn)) {
    let mut slot = here().lock_inline();
    let CpuPages { cache, descs, .. } = &mut *slot;
    if !cache.put(descs, pfn) {
        drop(slot);
        otherwise(pfn);
    }
}

/// Takes back a page of this CPU's node, after making room if need be; false
/// for any other page, and for what is no page that anybody holds.
pub fn put_after_flush(pfn: Pfn) -> bool {
    let mut slot = here().lock();
    let slot = &mut *slot;
    if slot.cache.is_full() {
        slot.flush();
    }
    slot.cache.put(slot.descs, pfn)
}

/// Counts pages that went past the cache: taken, or given back if negative.
pub fn account(pages: i64) {
    here().lock().drawn += pages;
}

impl CpuPages {
    fn zone(&self) -> Option<&'static NodeZone<'static>> {
        pages::zone_with_id(self.cache.zone_id())
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
        self.drawn += count as i64;
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
        self.drawn -= count as i64;
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
    let by_cpu = |cpu: &percpu::PerCpu| {
        let slot = SLOTS[cpu.id().index()].0.lock();
        slot.drawn - slot.cache.len() as i64
    };
    percpu::all().map(by_cpu).sum()
}

/// The memory that the cache of CPU number `cpu` and its counts are in, for tests.
pub fn memory_of(cpu: usize) -> Range<usize> {
    let start = (&raw const SLOTS[cpu]).addr();
    start..start + size_of::<Slot>()
}

/// Pages in caches.
pub fn cached() -> u64 {
    percpu::all().map(|cpu| SLOTS[cpu.id().index()].0.lock().cache.len() as u64).sum()
}

/// How often the cache of CPU number `cpu` was not enough.
pub fn stats(cpu: usize) -> CacheStats {
    SLOTS[cpu].0.lock().stats
}
