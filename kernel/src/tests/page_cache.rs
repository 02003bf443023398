//! Page caches: which memory an allocation from the CPU's cache touches.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::array;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

use frames::{PageDesc, Pfn, RUN_ORDER, ZoneStats, order_pages};
use params::Param;
use params::registry::ZERO_POOL_PAGES;
use runqueue::CpuMask;

use crate::arch::irq::IrqGuard;
use crate::arch::paging::{self, Rights};
use crate::arch::{boot_stack, image, percpu};
use crate::debug::ktest::Stopped;
use crate::mm::page_cache::{self, CacheStats};
use crate::mm::{mem_map, pages};
use crate::platform::nodes;
use crate::sched::{self, SpawnError};
use crate::{check, kernel_tests, skip_if};

/// Pages that a thread of these tests allocates at a time: two lines of descriptors.
const HELD: usize = 8;

fn no_thread(error: SpawnError) -> Stopped {
    Stopped::Failed(alloc::format!("no thread: {error}"))
}

/// Allocates pages and frees them, from and to this CPU's cache if possible.
fn alloc_and_free() -> [Option<Pfn>; HELD] {
    let taken = array::from_fn(|_| pages::alloc(0));
    taken.into_iter().flatten().for_each(|page| pages::free(page, 0));
    taken
}

/// Order of half a huge page.
const HALF_ORDER: u8 = 8;

/// Splits a huge page of `node` so that half of it is free; returns the other half, for the caller to free.
fn split_a_huge_page_on(node: usize) -> Option<Pfn> {
    let mut halves = [Pfn(0); 2];
    let taken = pages::alloc_bulk_on(node, HALF_ORDER, &mut halves);
    // The buddy of the first half is either the second or was not free before.
    halves[..taken].first().into_iter().for_each(|half| pages::free(*half, HALF_ORDER));
    halves[..taken].get(1).copied()
}

/// Returns the kernel's variables, word by word, without the page that guards the
/// boot stack.
fn variables() -> impl Iterator<Item = (usize, u64)> {
    let data = image::parts().into_iter().find(|(_, rights)| *rights == Rights::Data);
    let Range { start, end } = data.map_or(0..0, |(range, _)| range);
    let guard = boot_stack::guard()..boot_stack::guard() + paging::PAGE_BYTES;
    (start..end).step_by(8).filter(move |address| !guard.contains(address)).map(|address| {
        // SAFETY: the image's data is mapped (invariant 11) but for the guard page. Other CPUs write it by atomics or
        // under locks; a volatile read of an aligned word returns some value of it.
        (address as usize, unsafe { (address as *const u64).read_volatile() })
    })
}

/// Returns the addresses of variables outside of `own` that changed while `work` ran.
fn written_by(own: &Range<usize>, before: &mut Vec<u64>, work: impl FnOnce()) -> Vec<usize> {
    before.clear();
    let _irq = IrqGuard::new();
    before.extend(variables().map(|(_, word)| word));
    work();
    let changed = variables().zip(before.iter()).filter(|((_, now), before)| now != *before);
    // At most 16: few change, and none in the end.
    changed.map(|((address, _), _)| address).filter(|address| !own.contains(address)).take(16).collect()
}

/// Returns the counts of calls of all zones and all caches.
fn call_counts() -> (Vec<ZoneStats>, Vec<CacheStats>) {
    let of_zones = mem_map::zones().iter().map(|zone| *zone.allocator.lock().stats()).collect();
    (of_zones, percpu::all().map(|cpu| page_cache::stats(cpu.id().index())).collect())
}

kernel_tests! { "mm":
    /// An allocation writes no variable of the kernel but the CPU's own cache.
    fn a_page_from_the_cache_touches_no_shared_variable() needs(MemoryMib(32), Release) {
        // The copy of the variables takes more than a MiB.
        let cpu = percpu::this_cpu().id().index();
        let found = Arc::new(spin::Once::new());
        let result = found.clone();
        let thread = sched::spawn_on(CpuMask::single(cpu), "test/cache", move || {
            let own = page_cache::memory_of(cpu);
            alloc_and_free();
            let mut before = Vec::with_capacity(variables().count());
            // Other CPUs write their variables now and then; the allocation writes the same ones each time.
            let mut foreign = written_by(&own, &mut before, || _ = alloc_and_free());
            for _ in 0..50 {
                if foreign.is_empty() {
                    break;
                }
                sched::sleep_ns(1_000_000);
                alloc_and_free();
                foreign = written_by(&own, &mut before, || _ = alloc_and_free());
            }
            result.call_once(|| foreign);
        });
        thread.map_err(no_thread)?.join();
        let foreign = found.get().cloned().unwrap_or_default();
        check!(foreign.is_empty(), "variables at {foreign:x?} were written");
    }

    /// All CPUs at once: no zone is called, no cache is filled or flushed, and no
    /// cache line holds descriptors of two CPUs' pages.
    fn all_cpus_take_pages_without_a_shared_line() needs(MemoryMib(16)) {
        // Debug builds fill and check each page.
        const ROUNDS: usize = if cfg!(debug_assertions) { 200 } else { 20_000 };
        // CPUs of a node without memory have no cache.
        let has_memory = |cpu: &usize| mem_map::zones().home_of(nodes::nodes().node_of_cpu(*cpu)).is_some();
        let cpus = percpu::all().filter(|cpu| cpu.is_online()).map(|cpu| cpu.id().index());
        let cpus: Vec<usize> = cpus.filter(has_memory).collect();
        skip_if!(cpus.len() < 2, "needs two cpus with memory of their node");
        // All begin with an empty cache, without pages that were freed at random before. Idle CPUs take no pages.
        let pool_pages = ZERO_POOL_PAGES.get();
        check!(ZERO_POOL_PAGES.set("0").is_ok());
        // Scattered single pages are free, in no order, as after a long run.
        let mut odd: Vec<Option<Pfn>> = (0..(64 * cpus.len()).next_power_of_two()).map(|_| pages::alloc(0)).collect();
        for step in 0..odd.len() / 3 {
            // An odd stride visits each index once.
            let at = step * 37 % odd.len();
            odd[at].take().into_iter().for_each(|page| pages::free(page, 0));
        }
        pages::drain_caches();
        // Whole runs are free too: a cache does not split a huge page for them.
        let beside: Vec<Pfn> = cpus.iter().flat_map(|cpu| split_a_huge_page_on(nodes::nodes().node_of_cpu(*cpu))).collect();
        let ready = Arc::new(AtomicU32::new(0));
        let taken: Vec<Arc<spin::Once<[Option<Pfn>; HELD]>>> = cpus.iter().map(|_| Arc::default()).collect();
        let mut threads = Vec::new();
        for (cpu, taken) in cpus.iter().zip(&taken) {
            let (ready, taken) = (ready.clone(), taken.clone());
            let thread = sched::spawn_on(CpuMask::single(*cpu), "test/cache", move || {
                alloc_and_free();
                ready.fetch_add(1, SeqCst);
                // The second half begins once the counts before it are read.
                while ready.load(SeqCst) < u32::MAX {
                    sched::yield_now();
                }
                (0..ROUNDS).for_each(|_| _ = alloc_and_free());
                taken.call_once(alloc_and_free);
            });
            threads.push(thread.map_err(no_thread)?);
        }
        while (ready.load(SeqCst) as usize) < cpus.len() {
            sched::yield_now();
        }
        let before = call_counts();
        ready.store(u32::MAX, SeqCst);
        for taken in &taken {
            while taken.get().is_none() {
                sched::yield_now();
            }
        }
        let after = call_counts();
        check!(ZERO_POOL_PAGES.set(&alloc::format!("{pool_pages}")).is_ok());
        threads.into_iter().for_each(|thread| thread.join());
        odd.into_iter().flatten().for_each(|page| pages::free(page, 0));
        beside.into_iter().for_each(|block| pages::free(block, HALF_ORDER));
        check!(after == before, "a zone or a cache was called: {after:?} after {before:?}");
        let line = |page: Pfn| page.0 * size_of::<PageDesc>() as u64 / (order_pages(RUN_ORDER) * 16);
        let mut owners = BTreeMap::new();
        for (cpu, taken) in cpus.iter().zip(&taken) {
            let Some(taken) = taken.get() else { continue };
            check!(taken.iter().all(Option::is_some), "cpu {cpu} had not enough pages");
            for page in taken.iter().flatten() {
                let owner = *owners.entry(line(*page)).or_insert(*cpu);
                check!(owner == *cpu, "page {page} of cpu {cpu} has its descriptor beside one of cpu {owner}");
            }
        }
    }
}
