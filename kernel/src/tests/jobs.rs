//! The kernel's own jobs: correct results, and no lost page when they fail.

use alloc::sync::Arc;

use frames::PAGE_SIZE;
use params::Param;
use params::registry::{FAULT_ALLOC, FAULT_SECTION};
use runqueue::CpuMask;

use super::wait::free_or_permanent_pages;
use crate::arch::percpu;
use crate::debug::ktest::Stopped;
use crate::jobs::huge_reserve;
use crate::jobs::memory_map_init::Shadow;
use crate::jobs::node_stats::NodeCount;
use crate::jobs::zero_pages::PageRange;
use crate::mm::huge::HugeSize;
use crate::mm::{descriptors, huge_pool, pages, stats};
use crate::platform::nodes;
use crate::{check, kernel_tests, sched};

fn failed<T>(message: &str) -> Result<T, Stopped> {
    Err(Stopped::Failed(message.into()))
}

/// Reports that a test got no memory. The test is skipped if a pool of huge pages has the memory.
fn no_memory<T>(what: &'static str) -> Result<T, Stopped> {
    if huge_pool::pool(HugeSize::Size2M).total() > 0 {
        Err(Stopped::Skipped(what.into()))
    } else {
        failed(what)
    }
}

kernel_tests! { "jobs":
    fn memory_map_init_is_correct_on_any_number_of_threads() needs(MemoryMib(16)) {
        let Some(mut shadow) = Shadow::new() else { return no_memory("needs memory for a shadow") };
        for threads in 1..=percpu::online_count() {
            let run = shadow.run(Some(threads));
            check!(run.is_ok_and(|run| run.ok), "wrong on {threads} threads");
        }
    }

    /// Idle CPUs meet every section once, whatever their node, and leave one that failed to the job.
    fn idle_cpus_initialise_every_section_but_one_that_fails() needs(MemoryMib(16)) {
        let Some(mut shadow) = Shadow::new() else { return no_memory("needs memory for a shadow") };
        for node in 0..nodes::nodes().len() {
            check!(shadow.run_by_section(node) == (0, 0, true), "from node {node}");
            descriptors::restart_fault_count();
            check!(FAULT_SECTION.set("1").is_ok());
            let (failed, left, ok) = shadow.run_by_section(node);
            check!(FAULT_SECTION.set("none").is_ok());
            check!((failed, left, ok) == (1, 1, true), "from node {node}: {failed} failed, {left} left");
        }
    }

    /// The nth section fails, for every n. The job ends, no section is half initialised, and a second run finishes.
    fn any_failing_section_can_be_initialised_later() needs(MemoryMib(16)) {
        let Some(mut shadow) = Shadow::new() else { return no_memory("needs memory for a shadow") };
        let sections: u64 = descriptors::progress().runs().iter().map(|(run, _)| run.end - run.start).sum();
        for nth in (1..=sections).take(8) {
            descriptors::restart_fault_count();
            check!(FAULT_SECTION.set(&alloc::format!("{nth}")).is_ok());
            let (has_failed, ok) = shadow.run_twice();
            check!(FAULT_SECTION.set("none").is_ok());
            check!(has_failed, "section {nth} failed without an error");
            check!(ok, "descriptors are wrong after section {nth} failed");
        }
    }

    fn zero_pages_clears_what_was_poisoned() needs(MemoryMib(40)) {
        let Some(mut range) = PageRange::new(HugeSize::Size2M, 16 << 20) else { return no_memory("needs 16 MiB") };
        for threads in 1..=percpu::online_count() {
            range.poison();
            check!(!range.is_zero(), "poison was taken for zeros");
            check!(range.zero(Some(threads)).is_ok());
            check!(range.is_zero(), "not all zero on {threads} threads");
        }
    }

    fn huge_pages_are_zero_and_are_returned() needs(MemoryMib(40)) {
        let free_before = free_or_permanent_pages();
        for threads in 1..=percpu::online_count() {
            let Ok((mut reservation, stats)) = huge_reserve::reserve(HugeSize::Size2M, 8, Some(threads)) else {
                return no_memory("needs 8 huge pages");
            };
            check!(stats.units == 8 * 512 && reservation.held() == 8);
            check!(huge_reserve::verify(&mut reservation), "wrong on {threads} threads");
            huge_reserve::poison(&mut reservation);
            check!(!huge_reserve::verify(&mut reservation), "poison was taken for zeros");
        }
        check!(free_or_permanent_pages() == free_before, "pages were lost");
    }

    /// One thread clears the pages of each node as one chunk: the chunk of the node that the thread runs on is local.
    fn a_chunk_is_local_on_the_node_of_its_frames() needs(MemoryMib(40)) {
        for cpu in sched::online_cpus().iter() {
            let clear = move || {
                let (mut reservation, stats) = huge_reserve::reserve(HugeSize::Size2M, 8, Some(1)).ok()?;
                let extents = reservation.extents();
                let own = extents.nodes().filter(|(node, _)| *node == nodes::current()).count() as u64;
                let is_right = |(node, count): (usize, NodeCount)| {
                    (count.chunks, count.local) == (1, u32::from(node == nodes::current()))
                };
                let are_nodes_right = stats.nodes().map(|(node, _)| node).eq(extents.nodes().map(|(node, _)| node))
                    && stats.nodes().all(is_right);
                let is_total_right = (stats.local_chunks, stats.chunks) == (Some(own), extents.nodes().count() as u64);
                Some(is_total_right && are_nodes_right)
            };
            let result = Arc::new(spin::Once::new());
            let found = result.clone();
            let work = move || {
                found.call_once(clear);
            };
            let Ok(thread) = sched::spawn_on(CpuMask::single(cpu), "test/jobs", work) else { return failed("no thread") };
            thread.join();
            match result.get() {
                Some(Some(is_right)) => check!(*is_right, "wrong on cpu {cpu}"),
                _ => return no_memory("needs 8 huge pages"),
            }
        }
    }

    fn more_huge_pages_than_there_are_is_refused_and_nothing_is_lost() {
        let free_before = free_or_permanent_pages();
        let too_many = free_before * PAGE_SIZE / HugeSize::Size2M.bytes() + 1;
        // Almost all memory is allocated first: so the reservation fails before it clears many pages.
        let mut hoard = alloc::vec::Vec::new();
        while stats::free_pages() > 8 * 512 {
            match pages::alloc(9) {
                Some(block) => hoard.push(block),
                None => break,
            }
        }
        let result = huge_reserve::reserve(HugeSize::Size2M, too_many, None);
        for block in hoard {
            pages::free(block, 9);
        }
        check!(result.is_err(), "{too_many} huge pages were reserved");
        let free_after = free_or_permanent_pages();
        check!(free_after == free_before, "{free_before} pages were free or permanent, {free_after} are now");
        check!(pages::verify().is_ok());
    }

    /// The nth allocation fails, for every n.
    fn any_failing_allocation_loses_no_page() needs(MemoryMib(36)) {
        let free_before = free_or_permanent_pages();
        if huge_reserve::reserve(HugeSize::Size2M, 6, None).is_err() {
            return no_memory("needs 6 huge pages");
        }
        for nth in 1..=6 {
            pages::restart_fault_count();
            check!(FAULT_ALLOC.set(&alloc::format!("{nth}")).is_ok());
            let result = huge_reserve::reserve(HugeSize::Size2M, 6, None);
            check!(FAULT_ALLOC.set("none").is_ok());
            check!(result.is_err(), "allocation {nth} failed without an error");
            check!(free_or_permanent_pages() == free_before, "pages were lost when allocation {nth} failed");
        }
        check!(huge_reserve::reserve(HugeSize::Size2M, 6, None).is_ok());
    }
}
