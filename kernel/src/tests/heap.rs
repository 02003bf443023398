//! The kernel heap: blocks of all sizes on all CPUs, shortage of memory, and the cost of a deallocation.

use alloc::alloc::{alloc, dealloc};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::alloc::Layout;
use core::hint::black_box;
use core::ptr::NonNull;
use core::slice;

use crate::arch::tsc;
use crate::debug::counted_time::ticks_per_thousand;
use crate::mm::heap;
use crate::sched::wait::Completion;
use crate::{check, kernel_tests, sched};

/// A block of the heap, filled with a mark.
struct Block {
    start: NonNull<u8>,
    layout: Layout,
    mark: u8,
}

impl Block {
    fn new(layout: Layout, mark: u8) -> Option<Self> {
        // `black_box`: the compiler removes a block that is made only to be dropped.
        // SAFETY: no layout here is of size 0.
        let start = NonNull::new(black_box(unsafe { alloc(layout) }))?;
        assert!(start.addr().get().is_multiple_of(layout.align()), "{start:?} is not aligned for {layout:?}");
        // SAFETY: the block is ours and that large.
        unsafe { start.write_bytes(mark, layout.size()) };
        Some(Self { start, layout, mark })
    }

    fn is_intact(&self) -> bool {
        // SAFETY: the block has that size, was written when it was made, and is ours.
        let bytes = unsafe { slice::from_raw_parts(self.start.as_ptr(), self.layout.size()) };
        bytes.iter().all(|byte| *byte == self.mark)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: from `alloc` with this layout, and ours.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

fn layout(len_bytes: usize, align: usize) -> Layout {
    Layout::from_size_align(len_bytes, align).expect("a size and a power of two")
}

/// Allocates and frees blocks of many sizes and alignments; returns whether each was intact when it was freed.
fn churn(seed: u64) -> bool {
    const HELD: usize = 24;
    let mut state = seed;
    let mut held: [Option<Block>; HELD] = [const { None }; HELD];
    (0..4000).all(|_| {
        // A xorshift generator: any spread will do.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bytes = 1 + (state >> 20) as usize % (16 << ((state >> 8) % 10));
        let slot = &mut held[(state >> 40) as usize % HELD];
        let is_intact = slot.as_ref().is_none_or(Block::is_intact);
        *slot = Block::new(layout(bytes, 1 << ((state >> 4) % 9)), state as u8);
        is_intact
    })
}

kernel_tests! { "heap":
    fn blocks_are_aligned_and_disjoint_on_all_cpus() {
        sched::reap_all_exited();
        // The first round allocates the threads' records; the second reuses them.
        let used = |round: u64| {
            // All threads run at once in each round, so the second needs no more stacks and records than the first.
            let gate = Arc::new(Completion::new());
            let churning = (0..8).filter_map(|number| {
                let gate = gate.clone();
                let work = move || {
                    gate.wait();
                    assert!(churn(round + number), "a block was written to by another owner");
                };
                sched::spawn("test/heap", work).ok()
            });
            let threads: Vec<_> = churning.collect();
            gate.complete();
            threads.into_iter().for_each(sched::JoinHandle::join);
            sched::reap_all_exited();
            heap::usage().0
        };
        let (before, after) = (used(1), used(100));
        check!(after <= before, "the heap grew from {before} to {after} bytes");
    }

    /// Memory of freed small blocks serves a large block.
    fn free_lists_are_emptied_where_memory_is_short() {
        let free_bytes = heap::usage().1;
        let large = layout(free_bytes / 2, 16);
        let mut small: Vec<Block> = Vec::with_capacity(free_bytes / 1000);
        while small.len() < small.capacity()
            && let Some(block) = Block::new(layout(1024, 8), 0x5a)
        {
            small.push(block);
        }
        let too_little = Block::new(large, 1).is_none();
        let are_intact = small.iter().all(Block::is_intact);
        small.clear();
        let block = Block::new(large, 2);
        let (found, is_intact) = (block.is_some(), block.as_ref().is_some_and(Block::is_intact));
        drop(block);
        check!(too_little, "{} bytes were available beside all the small blocks", large.size());
        check!(are_intact);
        check!(found, "no {} bytes, with {} bytes free", large.size(), heap::usage().1);
        check!(is_intact);
    }

    /// The cost of a deallocation does not depend on the number of free blocks.
    fn a_deallocation_costs_the_same_among_many_blocks() needs(CountedTime, MostCpus(1), Release) {
        let ticks = ticks_per_thousand();
        let instructions_each = |count: usize| {
            let mut blocks: Vec<Option<Block>> = (0..count).map(|_| Block::new(layout(200, 8), 0)).collect();
            // Every fourth block, then those halfway between, whose neighbours stay allocated: no two merge.
            blocks.iter_mut().skip(2).step_by(4).for_each(|block| *block = None);
            let start = tsc::ticks();
            blocks.iter_mut().step_by(4).for_each(|block| *block = None);
            (tsc::ticks() - start) * 4 * 1000 / count as u64 / ticks
        };
        let (few, many) = (instructions_each(64), instructions_each(4096));
        log::info!("a deallocation takes {few} instructions among 64, {many} among 4096");
        check!(many <= few + few / 4, "{many} instructions among 4096, {few} among 64");
        check!(many <= 150, "{many} instructions");
    }
}
