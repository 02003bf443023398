//! Pools of huge pages that follow the `huge.*` parameters at run time.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use frames::policy::{NodePolicy, NodeSet};
use frames::{Pfn, order_pages};
use params::Param;
use params::registry::{HUGE_2M, HUGE_ALL_OR_NOTHING, HUGE_POLICY};
use runqueue::CpuMask;

use super::huge::{Pool, file, request};
use crate::arch::percpu::{self, PerCpu};
use crate::debug::ktest::{Stopped, TestResult};
use crate::jobs::huge_file::OnError;
use crate::jobs::huge_pool::{Request, ResizeError, apply_parameters, resize};
use crate::mm::huge::HugeSize;
use crate::mm::huge_pool::pool;
use crate::mm::zones::NodeZone;
use crate::mm::{mem_map, pages, stats};
use crate::platform::nodes;
use crate::{check, kernel_tests, sched, skip_if};

const UNIT: u64 = 2 << 20;
const SIZE: HugeSize = HugeSize::Size2M;

/// The values of the parameters before a test; dropped, it restores them.
struct Saved {
    wanted: u64,
    all_or_nothing: bool,
    policy: String,
}

impl Saved {
    fn now() -> Self {
        let mut buffer = [0; params::TEXT_CAPACITY];
        let policy = HUGE_POLICY.get(&mut buffer).into();
        Self { wanted: HUGE_2M.get(), all_or_nothing: HUGE_ALL_OR_NOTHING.get(), policy }
    }
}

impl Drop for Saved {
    fn drop(&mut self) {
        let wanted = alloc::format!("{}", self.wanted);
        let all_or_nothing = if self.all_or_nothing { "on" } else { "off" };
        let put_back =
            [HUGE_2M.set(&wanted), HUGE_ALL_OR_NOTHING.set(all_or_nothing), HUGE_POLICY.set(&self.policy)];
        assert!(put_back.iter().all(Result::is_ok), "a parameter does not accept its own value");
    }
}

/// Sets `huge.2m`, applies it, and checks that the pool has `total` pages.
fn apply(wanted: u64, total: u64) -> TestResult {
    check!(HUGE_2M.set(&alloc::format!("{wanted}")).is_ok());
    apply_parameters();
    let found = pool(SIZE).total();
    check!(found == total, "huge.2m={wanted} made a pool of {found} pages, not {total}");
    Ok(())
}

/// Returns the pages of the pool on each node.
fn by_node() -> Vec<u64> {
    pool(SIZE).count().nodes.iter().map(|node| node.pool).collect()
}

/// Allocates single pages and frees them, those of one huge page last: some of
/// these stay in this CPU's cache. Returns false when no huge page was split.
fn break_a_huge_page() -> bool {
    let huge_pages = order_pages(SIZE.order());
    let mut taken: Vec<Pfn> = (0..3 * huge_pages).filter_map(|_| pages::alloc(0)).collect();
    taken.sort_unstable();
    let is_whole = |at: &usize| {
        let (first, last) = (taken[*at], taken.get(at + huge_pages as usize - 1));
        first.is_aligned(SIZE.order()) && last.is_some_and(|last| *last - first == huge_pages - 1)
    };
    let whole = (0..taken.len())
        .find(is_whole)
        .map(|at| taken.drain(at..at + huge_pages as usize).collect::<Vec<_>>());
    let free_all = |pages: Vec<Pfn>| pages.into_iter().for_each(|page| pages::free(page, 0));
    free_all(taken);
    let is_found = whole.is_some();
    free_all(whole.unwrap_or_default());
    is_found
}

/// Returns the free pages of `node` outside of free huge pages, and the pages of its reserve.
fn small_and_reserved(node: usize) -> (u64, u64) {
    let on_node = mem_map::zones().iter().filter(|zone: &&NodeZone<'_>| zone.node == node);
    on_node.fold((0, 0), |(small, reserved), zone| {
        let allocator = zone.allocator.lock();
        let whole = allocator.blocks_above(SIZE.order(), 0) << SIZE.order();
        (small + allocator.free_pages() - whole, reserved + zone.marks.min_pages)
    })
}

kernel_tests! { "huge":
    fn pools_follow_the_parameters() needs(MemoryMib(40)) {
        let empty = Pool::of(0)?;
        let saved = Saved::now();
        apply(8, 8)?;
        check!(!apply_parameters(), "applied without a change, the parameters changed a pool");
        apply(3, 3)?;
        apply(5, 5)?;
        apply(0, 0)?;
        drop(saved);
        empty.check_all_back()?;
    }

    /// A page in use stays in a pool that shrinks until it is given back, and longer
    /// if the pool grows again before.
    fn pages_in_use_leave_the_pool_when_they_are_freed() needs(MemoryMib(40)) {
        let empty = Pool::of(0)?;
        let saved = Saved::now();
        apply(4, 4)?;
        let file = file(4)?;
        check!(file.fallocate(0, 4 * UNIT, OnError::Release, None).is_ok());
        apply(1, 4)?;
        check!(file.punch_hole(0, UNIT).is_ok() && pool(SIZE).total() == 3);
        apply(3, 3)?;
        check!(file.punch_hole(UNIT, UNIT).is_ok());
        check!(pool(SIZE).total() == 3 && pool(SIZE).free() == 1, "a page that is wanted left the pool");
        apply(0, 2)?;
        drop(file);
        check!(pool(SIZE).total() == 0, "{} pages stay in a pool of 0", pool(SIZE).total());
        drop(saved);
        empty.check_all_back()?;
    }

    fn policies_are_followed_at_run_time() needs(MemoryNodes(2), MemoryMib(40)) {
        let empty = Pool::of(0)?;
        let saved = Saved::now();
        for (policy, expected) in [("preferred:1", [0, 6]), ("bind:0", [6, 0]), ("interleave:0,1", [3, 3])] {
            check!(HUGE_POLICY.set(policy).is_ok());
            apply(6, 6)?;
            let found = by_node();
            apply(0, 0)?;
            check!(found[..2] == expected, "{policy}: {found:?}");
        }
        // Growth by one policy leaves the pages that another policy placed.
        check!(HUGE_POLICY.set("bind:0").is_ok());
        apply(2, 2)?;
        check!(HUGE_POLICY.set("bind:1").is_ok());
        apply(6, 6)?;
        check!(by_node()[..2] == [2, 4], "{:?}", by_node());
        drop(saved);
        empty.check_all_back()?;
    }

    fn a_shortage_is_reported_by_node() needs(MemoryMib(40)) {
        let empty = Pool::of(0)?;
        let saved = Saved::now();
        let available: u64 = (0..nodes::nodes().len()).map(|node| stats::free_blocks_on(node, SIZE.order())).sum();
        let wanted = available + 100;
        check!(HUGE_ALL_OR_NOTHING.set("on").is_ok());
        apply(wanted, 0)?;
        match resize(SIZE, request(wanted)) {
            Err(error @ ResizeError::Short(_)) => {
                let text = alloc::format!("{error}");
                let start = alloc::format!("0 of {wanted} wanted; before: pages of 2 MiB: node 0 0 free of 0 in the pool, ");
                check!(text.starts_with(&start) && text.contains("; now: pages of 2 MiB: node 0 "), "{text}");
            }
            other => check!(false, "{:?}", other.map(|resized| resized.total)),
        }
        check!(HUGE_ALL_OR_NOTHING.set("off").is_ok() && HUGE_2M.set(&alloc::format!("{wanted}")).is_ok());
        check!(apply_parameters());
        let total = pool(SIZE).total();
        check!(total > available / 2 && total < wanted, "{total} of {available} available");
        // The parameter keeps its value: applied again, it takes pages that were freed meanwhile.
        check!(apply_parameters(), "a pool that is short did not try again");
        apply(0, 0)?;
        drop(saved);
        empty.check_all_back()?;
    }

    /// Only single pages in CPUs' caches keep a huge page from being whole: the
    /// caches are drained for it.
    fn a_pool_grows_by_pages_from_caches() needs(MemoryMib(40)) {
        let empty = Pool::of(0)?;
        let order = SIZE.order();
        // Enough beside the kernel's reserve.
        let has_memory = |cpu: &&PerCpu| stats::free_blocks_on(nodes::of_cpu(cpu.id()), order) >= 8;
        let Some(cpu) = percpu::all().filter(|cpu| cpu.is_online()).find(has_memory) else {
            return Err(Stopped::Skipped("needs a cpu with memory of its node".into()));
        };
        let node = nodes::of_cpu(cpu.id());
        let (small, reserve) = small_and_reserved(node);
        skip_if!(small < reserve + 64, "needs free memory that is in no huge page");
        let is_broken = Arc::new(AtomicBool::new(false));
        let result = is_broken.clone();
        let on_cpu = CpuMask::single(cpu.id().index());
        match sched::spawn_on(on_cpu, "test/cache", move || result.store(break_a_huge_page(), SeqCst)) {
            Ok(thread) => thread.join(),
            Err(error) => check!(false, "{error}"),
        }
        skip_if!(!is_broken.load(SeqCst), "needs a huge page that single pages come from");
        let before = stats::free_blocks_on(node, order);
        let policy = NodePolicy::Bind(NodeSet(1 << node));
        // On this thread alone: a new helper needs a stack, which may split a huge page.
        let grown = resize(SIZE, Request { wanted: before + 1, policy, all_or_nothing: true, threads: Some(1) });
        let total = pool(SIZE).total();
        check!(grown.is_ok() && total == before + 1, "{total} pages, {before} were whole: {:?}", grown.map(|grown| grown.total));
        check!(resize(SIZE, request(0)).is_ok());
        empty.check_all_back()?;
    }
}
