//! Memory: page allocator, descriptors, clearing methods, stacks, pools of pre-zeroed pages.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use frames::{PAGE_SIZE, PageDesc, Pfn, order_for_pages, order_pages};
use params::Param;
use params::registry::ZERO_POOL_PAGES;
use runqueue::CpuMask;

use super::wait::{free_or_permanent_pages, within_20_s};
use crate::arch::clear::{self, ClearMethod};
use crate::arch::paging::DESCRIPTORS_BASE;
use crate::arch::percpu;
use crate::debug::ktest::Stopped;
use crate::mm::stacks::{Stack, THREAD_STACK_PAGES};
use crate::mm::{descriptors, mem_map, page_cache, pages, space, stats, zero, zero_pool};
use crate::platform::nodes;
use crate::{check, kernel_tests, sched, skip_if};

kernel_tests! { "mm":
    fn every_page_is_accounted_for() {
        let layout = descriptors::layout();
        let census = match pages::verify() {
            Ok(census) => census,
            Err(error) => return Err(Stopped::Failed(alloc::format!("{error}"))),
        };
        check!(census.unclaimed_pages == 0, "{} pages were never freed", census.unclaimed_pages);
        let owned = census.free_pages + census.allocated_pages + census.cached_pages;
        let free = layout.free_pages();
        check!(owned == free, "{owned} pages in the allocator, not {free}");
        let reserved = layout.described_pages() - free;
        check!(census.reserved_pages == reserved, "{} pages reserved, not {reserved}", census.reserved_pages);
    }

    fn blocks_are_aligned_and_disjoint() needs(MemoryMib(16)) {
        let free_before = free_or_permanent_pages();
        let mut taken: Vec<(Pfn, u8)> = Vec::new();
        // The largest order available: pools of huge pages may have taken the rest.
        let is_available = |order: &u8| (0..nodes::nodes().len()).any(|node| stats::free_blocks_on(node, *order) >= 4);
        let Some(large) = (0..=9).rev().find(is_available) else { return Err(Stopped::Skipped("needs free memory".into())) };
        for order in [0, 3, large, 1, 0, 5, 2, large, 0].map(|order| large.min(order)) {
            let Some(block) = pages::alloc(order) else {
                check!(false, "no block of order {order}");
                continue;
            };
            check!(block.is_aligned(order), "{:#x} is not aligned to order {order}", block.address());
            for (other, other_order) in &taken {
                let apart = block.0 + order_pages(order) <= other.0 || other.0 + order_pages(*other_order) <= block.0;
                check!(apart, "{:#x} and {:#x} overlap", block.address(), other.address());
            }
            taken.push((block, order));
        }
        for (block, order) in taken {
            pages::free(block, order);
        }
        check!(free_or_permanent_pages() == free_before);
    }

    /// A block from `alloc_bulk_on` is of that node, by its descriptor and by its
    /// address.
    fn memory_comes_from_the_requested_node() {
        let nodes = nodes::nodes();
        for node in 0..nodes.len() {
            for order in [0, 4, 9] {
                let mut block = [Pfn(0)];
                if pages::alloc_bulk_on(node, order, &mut block) == 0 {
                    continue;
                }
                let [block] = block;
                let found = (mem_map::node_of(block), nodes.node_of_address(block.address()));
                pages::free(block, order);
                check!(found == (Some(node), node), "{:#x} is of {found:?}, not {node}", block.address());
            }
            let Some(near) = pages::alloc_near(node, 0) else { continue };
            let is_near = mem_map::node_of(near) == Some(node) || stats::free_pages_on(node) == 0;
            pages::free(near, 0);
            check!(is_near, "a page near node {node} is on {:?}", mem_map::node_of(near));
        }
        check!(mem_map::node_of(descriptors::layout().end()).is_none());
    }

    fn descriptors_lie_on_the_node_of_their_pages() needs(MemoryNodes(2)) {
        let nodes = nodes::nodes();
        let layout = descriptors::layout();
        let (mut local, mut remote) = (0_u64, 0_u64);
        for extent in layout.extents_in(Pfn(0)..layout.end()) {
            // A page of descriptors describes 256 pages. One that describes pages of two nodes is on either.
            let whole = extent.pages.start.0.next_multiple_of(256)..extent.pages.end.0 / 256 * 256;
            for pfn in whole.step_by(256) {
                let virt = DESCRIPTORS_BASE + pfn * size_of::<PageDesc>() as u64;
                let phys = space::with_tables(|tables| tables.translate(virt));
                let Some(phys) = phys else {
                    check!(false, "the descriptor of page {pfn:#x} is not mapped");
                    continue;
                };
                let same = nodes.node_of_address(phys) == layout.zones()[usize::from(extent.zone)].node;
                *(if same { &mut local } else { &mut remote }) += 1;
            }
        }
        // A node may have had too little memory in one piece.
        check!(remote * 50 <= local, "{remote} of {} pages of descriptors are remote", local + remote);
    }

    /// The descriptors of holes are all in one page of zeros.
    fn holes_cost_one_page() {
        let layout = descriptors::layout();
        let mut end = Pfn(0);
        let mut seen = None;
        for extent in layout.extents_in(Pfn(0)..layout.end()) {
            let bytes = |pfn: Pfn| DESCRIPTORS_BASE + pfn.0 * size_of::<PageDesc>() as u64;
            let hole = bytes(end).next_multiple_of(PAGE_SIZE)..bytes(extent.pages.start) / PAGE_SIZE * PAGE_SIZE;
            for virt in hole.step_by(PAGE_SIZE as usize) {
                let phys = space::with_tables(|tables| tables.translate(virt));
                check!(phys.is_some() && *seen.get_or_insert(phys) == phys, "{virt:#x} is mapped to {phys:?}");
                let rights = space::with_tables(|tables| tables.rights_of(virt));
                check!(rights == Some((false, false)), "{virt:#x} has rights {rights:?}");
            }
            end = extent.pages.end;
        }
    }

    fn a_freed_page_is_allocated_next() {
        let cpu = percpu::this_cpu().id().index();
        let on_this_cpu = sched::spawn_on(CpuMask::single(cpu), "test/cache", move || {
            let warm = pages::alloc(0).expect("a page");
            pages::free(warm, 0);
            let before = page_cache::stats(cpu);
            let page = pages::alloc(0).expect("a page");
            pages::free(page, 0);
            let again = pages::alloc(0).expect("a page");
            pages::free(again, 0);
            assert_eq!(page, again);
            assert_eq!(page_cache::stats(cpu), before, "the zone was called");
            assert!(pages::try_free(page, 0).is_err(), "a page in the cache was freed again");
        });
        match on_this_cpu {
            Ok(thread) => thread.join(),
            Err(error) => check!(false, "{error}"),
        }
    }

    /// In debug builds a read of a freed page finds the poison pattern.
    fn freed_pages_are_poisoned() needs(Debug) {
        for order in [0, 3] {
            let Some(block) = pages::alloc(order) else {
                return Err(Stopped::Failed("no block".into()));
            };
            let word = mem_map::virt(block).cast::<u64>();
            // SAFETY: the block is ours (invariant 12).
            unsafe { word.write_volatile(0) };
            pages::free(block, order);
            // SAFETY: a read of mapped memory without an owner, on purpose; idle cpus may have cleared it.
            let found = unsafe { word.read_volatile() };
            check!(found != 0 || zero_pool::len(nodes::current()) > 0, "order {order}: not poisoned");
        }
    }

    fn freeing_twice_is_refused() {
        let Some(block) = pages::alloc(2) else {
            return Err(Stopped::Failed("no block of order 2".into()));
        };
        check!(pages::try_free(block, 1).is_err(), "a block was freed with the wrong order");
        pages::free(block, 2);
        check!(pages::try_free(block, 2).is_err(), "a block was freed twice");
    }

    /// All CPUs at once; each owner marks its pages.
    fn the_allocator_survives_all_cpus() {
        let free_before = free_or_permanent_pages();
        let threads: Vec<_> = (0..8u64)
            .map(|number| {
                sched::spawn("test/alloc", move || {
                    let mut state = number + 1;
                    for _ in 0..300 {
                        // A xorshift generator: any spread of orders will do.
                        state ^= state << 13;
                        state ^= state >> 7;
                        state ^= state << 17;
                        let order = (state % 5) as u8;
                        if let Some(block) = pages::alloc(order) {
                            let mark = mem_map::virt(block).cast::<u64>();
                            // SAFETY: the block was just allocated (invariant 12), mapped and aligned.
                            unsafe { mark.write_volatile(number) };
                            sched::yield_now();
                            // SAFETY: as above.
                            let found = unsafe { mark.read_volatile() };
                            assert_eq!(found, number, "another owner wrote to page {:#x}", block.address());
                            pages::free(block, order);
                        }
                    }
                })
            })
            .collect();
        for thread in threads.into_iter().flatten() {
            thread.join();
        }
        check!(free_or_permanent_pages() == free_before, "pages were lost");
        check!(pages::verify().is_ok());
    }

    /// A new stack holds no old data, and no code that an emulator would watch.
    fn a_new_stack_is_clear() {
        let order = order_for_pages(THREAD_STACK_PAGES).expect("a stack is no larger than the largest block");
        let blocks: Vec<_> = (0..8).map_while(|_| pages::alloc(order)).collect();
        skip_if!(blocks.is_empty(), "needs free memory");
        for block in blocks {
            // SAFETY: the block was just allocated (invariant 12), and has that many pages.
            unsafe { zero::poison_frames(block, THREAD_STACK_PAGES) };
            pages::free(block, order);
        }
        let Some(stack) = Stack::new_unused() else { return Err(Stopped::Skipped("needs free memory".into())) };
        let words = (THREAD_STACK_PAGES * PAGE_SIZE) as usize / size_of::<u64>();
        let bottom = (stack.top() as *const u64).wrapping_sub(words);
        // SAFETY: that much is mapped below the top, aligned to pages; no thread runs on the stack as long as we own it.
        let contents = unsafe { core::slice::from_raw_parts(bottom, words) };
        let dirty = contents.iter().position(|word| *word != 0);
        check!(dirty.is_none(), "word {dirty:?} from the bottom is not zero");
    }

    fn every_zeroing_method_clears_exactly_its_extent() {
        const GRANULE: usize = clear::CLEAR_GRANULE_BYTES;
        let Some(block) = pages::alloc(2) else {
            return Err(Stopped::Failed("no block of order 2".into()));
        };
        let bytes = (order_pages(2) * PAGE_SIZE) as usize;
        let start = mem_map::virt(block);
        for method in ClearMethod::ALL.into_iter().filter(|method| method.is_available()) {
            for (from, len) in [(0, GRANULE), (4096, 4096), (GRANULE, bytes - 2 * GRANULE), (0, bytes), (4096, 0)] {
                // SAFETY: the block is ours (invariant 12); offsets and lengths are multiples of the granule within it.
                let wrong = unsafe {
                    clear::fill(start, bytes, u64::MAX);
                    clear::clear(method, start.add(from), len);
                    let all = core::slice::from_raw_parts(start, bytes);
                    all.iter().enumerate().position(|(at, byte)| {
                        let cleared = (from..from + len).contains(&at);
                        *byte != if cleared { 0 } else { 0xff }
                    })
                };
                check!(wrong.is_none(), "{}: byte {wrong:?} is wrong for {from}+{len}", method.name());
            }
        }
        pages::free(block, 2);
    }

    /// Extents in any order, adjacent or not: they are cleared, and no other page is.
    fn extents_are_cleared_and_nothing_else() needs(MemoryMib(16)) {
        let Some(block) = pages::alloc(6) else {
            return Err(Stopped::Failed("no block of order 6".into()));
        };
        // SAFETY: the block is ours (invariant 12), and all extents are within its 64 pages.
        unsafe { zero::poison_frames(block, 64) };
        let extents = [(block + 8, 2), (block + 10, 20), (block + 40, 1), (block + 1, 3), (block + 63, 1)];
        // SAFETY: as above.
        unsafe { zero::zero_extents(extents) };
        for page in 0..64 {
            let wanted = extents.iter().any(|(first, len)| (first.0..first.0 + len).contains(&(block.0 + page)));
            // SAFETY: as above.
            let is_zero = unsafe { zero::is_zero(block + page, 1) };
            check!(is_zero == wanted, "page {page}: clear {is_zero}, wanted {wanted}");
        }
        pages::free(block, 6);
    }

    /// Idle CPUs fill the pool with zeroed pages, and a lower limit empties it.
    fn idle_cpus_fill_the_pool_of_prezeroed_pages() {
        let free_before = free_or_permanent_pages();
        let limit = ZERO_POOL_PAGES.get();
        let node = nodes::current();
        skip_if!(stats::free_pages_on(node) < 1000, "needs free memory on this cpu's node");
        check!(ZERO_POOL_PAGES.set("32").is_ok());
        zero_pool::trim();
        // A request makes idle CPUs begin, even where memory was short before.
        if let Some(page) = pages::alloc_zeroed() {
            pages::free(page, 0);
        }
        // This CPU is idle too while its thread sleeps.
        let reaches = |pages| within_20_s(|| zero_pool::len(node) == pages);
        check!(reaches(32), "{} pages after 20 s", zero_pool::len(node));
        let mut taken: Vec<Pfn> = Vec::new();
        for _ in 0..40 {
            taken.extend(pages::alloc_zeroed());
        }
        check!(taken.len() == 40, "{} of 40 zeroed pages were available", taken.len());
        for page in &taken {
            // SAFETY: the page is ours (invariant 12); it is dirtied so that it cannot come back zeroed by chance.
            let is_zero = unsafe {
                let is_zero = zero::is_zero(*page, 1);
                zero::poison_frames(*page, 1);
                is_zero
            };
            check!(is_zero, "page {page} is not zeroed");
        }
        for page in taken {
            pages::free(page, 0);
        }
        check!(ZERO_POOL_PAGES.set("0").is_ok());
        zero_pool::trim();
        // An idle CPU that is clearing a page now returns it by itself.
        check!(reaches(0) && !zero_pool::wants_page(), "{} pages of 0", zero_pool::len(node));
        check!(free_or_permanent_pages() == free_before, "pages were lost");
        check!(ZERO_POOL_PAGES.set(&alloc::format!("{limit}")).is_ok());
    }

    /// The pool never exceeds its limit, however many CPUs are clearing a page for it.
    fn prezeroed_pages_never_exceed_the_limit() {
        const LIMIT: u64 = 32;
        let node = nodes::current();
        let limit = ZERO_POOL_PAGES.get();
        // Start from an empty pool: a limit that is lowered may be exceeded for a moment.
        check!(ZERO_POOL_PAGES.set("0").is_ok());
        zero_pool::trim();
        check!(ZERO_POOL_PAGES.set(&alloc::format!("{LIMIT}")).is_ok());
        let most = Arc::new(AtomicU64::new(0));
        let cpus = percpu::all().filter(|cpu| cpu.is_online()).map(|cpu| cpu.id().index());
        let threads: Vec<_> = cpus
            .filter_map(|cpu| {
                let most = most.clone();
                let take_and_look = move || {
                    for _ in 0..200 {
                        pages::alloc_zeroed().into_iter().for_each(|page| pages::free(page, 0));
                        sched::sleep_ns(10_000);
                        most.fetch_max(zero_pool::len(node), SeqCst);
                    }
                };
                sched::spawn_on(CpuMask::single(cpu), "test/zeroed", take_and_look).ok()
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join());
        check!(ZERO_POOL_PAGES.set(&alloc::format!("{limit}")).is_ok());
        zero_pool::trim();
        let most = most.load(SeqCst);
        skip_if!(most < LIMIT / 2, "needs memory to spare on this cpu's node");
        check!(most <= LIMIT, "{most} pages, not {LIMIT}");
    }

    fn a_byte_that_is_not_zero_is_found() {
        let Some(page) = pages::alloc(0) else {
            return Err(Stopped::Failed("no page".into()));
        };
        for at in [0, 1, 2047, 4088, 4095] {
            // SAFETY: the page is ours (invariant 12) and `at` is within it.
            let (before, after) = unsafe {
                zero::zero_frames(page, 1);
                let before = zero::is_zero(page, 1);
                mem_map::virt(page).add(at).write(1);
                (before, zero::is_zero(page, 1))
            };
            check!(before && !after, "byte {at}: zero before {before}, zero after it was written {after}");
        }
        pages::free(page, 0);
    }
}
