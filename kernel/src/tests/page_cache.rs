//! Single pages: what their way from the CPU's cache and back touches.

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

use super::wait::needs_mib;
use crate::arch::irq::IrqGuard;
use crate::arch::paging::{self, Rights};
use crate::arch::{image, percpu, pvh};
use crate::debug::ktest::Stopped;
use crate::mm::page_cache::{self, CacheStats};
use crate::mm::{mem_map, pages};
use crate::platform::nodes;
use crate::sched::{self, SpawnError};
use crate::{check, kernel_tests, skip_if};

/// Pages that a thread of these tests holds at a time: two lines of descriptors.
const HELD: usize = 8;

fn no_thread(error: SpawnError) -> Stopped {
    Stopped::Failed(alloc::format!("no thread: {error}"))
}

/// Takes pages and gives them back, from and to this CPU's cache if it can.
fn take_and_give() -> [Option<Pfn>; HELD] {
    let taken = array::from_fn(|_| pages::alloc(0));
    taken.into_iter().flatten().for_each(|page| pages::free(page, 0));
    taken
}

/// Order of half a huge page.
const HALF_ORDER: u8 = 8;

/// Has half a huge page of `node` be free; returns what keeps it from becoming whole again, to be given back.
fn break_a_huge_page_on(node: usize) -> Option<Pfn> {
    let mut halves = [Pfn(0); 2];
    let taken = pages::alloc_bulk_on(node, HALF_ORDER, &mut halves);
    // The other half of the first is either the second or was no free half before.
    halves[..taken].first().into_iter().for_each(|half| pages::free(*half, HALF_ORDER));
    halves[..taken].get(1).copied()
}

/// The kernel's variables, word by word; the page that guards the boot stack is
/// none.
fn variables() -> impl Iterator<Item = (usize, u64)> {
    let data = image::parts().into_iter().find(|(_, rights)| *rights == Rights::Data);
    let Range { start, end } = data.map_or(0..0, |(range, _)| range);
    let guard = pvh::boot_stack_guard()..pvh::boot_stack_guard() + paging::PAGE_BYTES;
    (start..end).step_by(8).filter(move |address| !guard.contains(address)).map(|address| {
        // SAFETY: the image's data is mapped (invariant 11) but for the guard page. Who writes it meanwhile does so by
        // atomics or under locks, and a volatile word read at its own alignment is whatever was there.
        (address as usize, unsafe { (address as *const u64).read_volatile() })
    })
}

/// Addresses of variables that changed while `work` ran, those in `own` left out.
fn written_by(own: &Range<usize>, before: &mut Vec<u64>, work: impl FnOnce()) -> Vec<usize> {
    before.clear();
    let _irq = IrqGuard::new();
    before.extend(variables().map(|(_, word)| word));
    work();
    let changed = variables().zip(before.iter()).filter(|((_, now), before)| now != *before);
    // Few, and none at all in the end: room for them is there.
    changed.map(|((address, _), _)| address).filter(|address| !own.contains(address)).take(16).collect()
}

/// What all zones and all caches were asked for.
fn asked() -> (Vec<ZoneStats>, Vec<CacheStats>) {
    let of_zones = mem_map::zones().iter().map(|zone| *zone.allocator.lock().stats()).collect();
    (of_zones, percpu::all().map(|cpu| page_cache::stats(cpu.id().index())).collect())
}

kernel_tests! { "mm":
    /// Of all the kernel's variables only the CPU's own cache is written.
    fn a_page_from_the_cache_touches_no_shared_variable() {
        // The list of pages that it takes is more than a MiB.
        needs_mib(32)?;
        skip_if!(cfg!(debug_assertions), "debug builds keep account of each page and each lock");
        let cpu = percpu::this_cpu().id().index();
        let found = Arc::new(spin::Once::new());
        let result = found.clone();
        let thread = sched::spawn_on(CpuMask::single(cpu), "test/cache", move || {
            let own = page_cache::memory_of(cpu);
            take_and_give();
            let mut before = Vec::with_capacity(variables().count());
            // Others write what is theirs now and then; what this one writes, it writes each time.
            let mut foreign = written_by(&own, &mut before, || _ = take_and_give());
            for _ in 0..50 {
                if foreign.is_empty() {
                    break;
                }
                sched::sleep_ns(1_000_000);
                take_and_give();
                foreign = written_by(&own, &mut before, || _ = take_and_give());
            }
            result.call_once(|| foreign);
        });
        thread.map_err(no_thread)?.join();
        let foreign = found.get().cloned().unwrap_or_default();
        check!(foreign.is_empty(), "variables at {foreign:x?} were written");
    }

    /// All CPUs at once: no zone is asked, no cache is filled or emptied, and no
    /// two CPUs' pages have descriptors on one cache line.
    fn all_cpus_take_pages_without_a_shared_line() {
        // Debug builds fill and check each page.
        const ROUNDS: usize = if cfg!(debug_assertions) { 200 } else { 20_000 };
        // Others have nothing at hand.
        let has_memory = |cpu: &usize| mem_map::zones().home_of(nodes::nodes().node_of_cpu(*cpu)).is_some();
        let cpus = percpu::all().filter(|cpu| cpu.is_online()).map(|cpu| cpu.id().index());
        let cpus: Vec<usize> = cpus.filter(has_memory).collect();
        skip_if!(cpus.len() < 2, "needs two cpus with memory of their node");
        needs_mib(16)?;
        // All begin with an empty cache: what was freed here and there before is out of them. Idle CPUs take no pages.
        let pool_pages = ZERO_POOL_PAGES.get();
        check!(ZERO_POOL_PAGES.set("0").is_ok());
        // Odd single pages are free, in no order, as after a long life.
        let mut odd: Vec<Option<Pfn>> = (0..(64 * cpus.len()).next_power_of_two()).map(|_| pages::alloc(0)).collect();
        for step in 0..odd.len() / 3 {
            // An odd stride comes to each place once.
            let at = step * 37 % odd.len();
            odd[at].take().into_iter().for_each(|page| pages::free(page, 0));
        }
        pages::drain_caches();
        // Whole runs are free too: a cache does not break a huge page for them.
        let beside: Vec<Pfn> = cpus.iter().flat_map(|cpu| break_a_huge_page_on(nodes::nodes().node_of_cpu(*cpu))).collect();
        let there = Arc::new(AtomicU32::new(0));
        let taken: Vec<Arc<spin::Once<[Option<Pfn>; HELD]>>> = cpus.iter().map(|_| Arc::default()).collect();
        let mut threads = Vec::new();
        for (cpu, taken) in cpus.iter().zip(&taken) {
            let (there, taken) = (there.clone(), taken.clone());
            let thread = sched::spawn_on(CpuMask::single(*cpu), "test/cache", move || {
                take_and_give();
                there.fetch_add(1, SeqCst);
                // The second half begins when everybody has what the counts are compared with.
                while there.load(SeqCst) < u32::MAX {
                    sched::yield_now();
                }
                (0..ROUNDS).for_each(|_| _ = take_and_give());
                taken.call_once(take_and_give);
            });
            threads.push(thread.map_err(no_thread)?);
        }
        while (there.load(SeqCst) as usize) < cpus.len() {
            sched::yield_now();
        }
        let before = asked();
        there.store(u32::MAX, SeqCst);
        for taken in &taken {
            while taken.get().is_none() {
                sched::yield_now();
            }
        }
        let after = asked();
        check!(ZERO_POOL_PAGES.set(&alloc::format!("{pool_pages}")).is_ok());
        threads.into_iter().for_each(|thread| thread.join());
        odd.into_iter().flatten().for_each(|page| pages::free(page, 0));
        beside.into_iter().for_each(|block| pages::free(block, HALF_ORDER));
        check!(after == before, "somebody was asked: {after:?} after {before:?}");
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
