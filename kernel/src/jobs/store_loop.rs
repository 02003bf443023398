//! The bare store loop: blocks cleared by so many threads, each bound to a CPU
//! and with a fixed share, no job around them. It is what `fallocate` is measured by.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use frames::{Pfn, order_pages};
use ktask::Stats;
use runqueue::CpuMask;

use crate::arch::{cpu, percpu, tsc};
use crate::mm::zero;
use crate::sched::wait::WaitQueue;
use crate::sched::{self, SpawnError};

/// How long a thread looks for the others before it sleeps until they are there: longer than they take where each has a
/// CPU of the host, and short where hundreds share a few.
const LOOK_NS: u64 = 300_000;

/// Blocks to clear, and the threads that are to do it.
struct Loop {
    blocks: Vec<Pfn>,
    len_pages: u64,
    /// Threads that have not come to the start.
    missing: AtomicUsize,
    /// Those that have come and sleep.
    waiting: WaitQueue,
    /// Start and end of each thread's part.
    times_ns: Vec<spin::Once<(u64, u64)>>,
}

/// Clears blocks of `order` on `threads` CPUs, the first that are online; says
/// what that took from the start of the first thread to the end of the last.
///
/// # Safety
/// The blocks are the caller's alone (invariant 12).
pub unsafe fn clear(blocks: Vec<Pfn>, order: u8, threads: usize) -> Result<Stats, SpawnError> {
    let cpus: Vec<usize> =
        percpu::all().filter(|cpu| cpu.is_online()).map(|cpu| cpu.id().index()).take(threads).collect();
    let shared = Arc::new(Loop {
        blocks,
        len_pages: order_pages(order),
        missing: AtomicUsize::new(cpus.len()),
        waiting: WaitQueue::new(),
        times_ns: cpus.iter().map(|_| spin::Once::new()).collect(),
    });
    let mut started = Vec::new();
    let mut failed = None;
    for (part, cpu) in cpus.iter().enumerate() {
        let own = shared.clone();
        // SAFETY: the blocks are the caller's, who waits below; no other thread has this part of them.
        match sched::spawn_on(CpuMask::single(*cpu), "store-loop", move || unsafe { own.run(part) }) {
            Ok(thread) => started.push(thread),
            Err(error) => {
                failed = Some(error);
                // Those that have started are not to wait for it.
                shared.has_come();
            }
        }
    }
    started.into_iter().for_each(|thread| thread.join());
    failed.map_or_else(|| Ok(shared.stats()), Err)
}

impl Loop {
    /// One thread has come to the start, or never will.
    fn has_come(&self) {
        if self.missing.fetch_sub(1, SeqCst) == 1 {
            self.waiting.wake_all();
        }
    }

    /// Clears part number `part`, once all threads are there.
    ///
    /// # Safety
    /// The blocks are the caller's, and nobody else has this part.
    unsafe fn run(&self, part: usize) {
        self.has_come();
        let all_are_there = || self.missing.load(SeqCst) == 0;
        // Each on a CPU of its own and about to come: a wake-up would count as clearing.
        let look_until_ns = tsc::now_ns() + LOOK_NS;
        while !all_are_there() && tsc::now_ns() < look_until_ns {
            cpu::relax();
        }
        self.waiting.wait_until(all_are_there);
        let start_ns = tsc::now_ns();
        let share = |part: usize| part * self.blocks.len() / self.times_ns.len();
        for block in &self.blocks[share(part)..share(part + 1)] {
            // SAFETY: the caller's (invariant 12), and in this part alone.
            unsafe { zero::zero_frames(*block, self.len_pages) };
        }
        self.times_ns[part].call_once(|| (start_ns, tsc::now_ns()));
    }

    fn stats(&self) -> Stats {
        let times = || self.times_ns.iter().filter_map(|times| times.get().copied());
        let first_end_ns = times().map(|(_, end)| end).min().unwrap_or(0);
        let last_end_ns = times().map(|(_, end)| end).max().unwrap_or(0);
        let start_ns = times().map(|(start, _)| start).min().unwrap_or(0);
        let mut stats = Stats::default();
        stats.threads_used = times().count();
        stats.units = self.blocks.len() as u64;
        stats.chunks = stats.threads_used as u64;
        stats.local_chunks = stats.chunks;
        stats.wall_ns = last_end_ns.saturating_sub(start_ns);
        stats.cpu_ns = times().map(|(start, end)| end.saturating_sub(start)).sum();
        stats.spread_ns = last_end_ns - first_end_ns;
        stats
    }
}
