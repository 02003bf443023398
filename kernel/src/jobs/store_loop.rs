//! The bare store loop, with which `fallocate` is compared. A number of threads clear blocks without a job: each is bound to
//! a CPU and has a fixed share.

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

/// Time for which a thread spins for the others at the start, before it blocks. Longer than they take where each has a CPU of
/// the host, and short where hundreds share a few.
const SPIN_NS: u64 = 300_000;

/// The blocks to clear, and the threads that clear them.
struct Loop {
    blocks: Vec<Pfn>,
    len_pages: u64,
    /// Threads that have not reached the start.
    missing: AtomicUsize,
    /// Threads that are blocked at the start.
    waiting: WaitQueue,
    /// Start and end of each thread's share.
    times_ns: Vec<spin::Once<(u64, u64)>>,
}

/// Clears blocks of `order` on the first `threads` online CPUs. Returns the time from the start of the first thread to the
/// end of the last.
///
/// # Safety
/// The caller owns the blocks (invariant 12).
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
        // SAFETY: the caller owns the blocks, and waits below. No other thread has this part of them.
        match sched::spawn_on(CpuMask::single(*cpu), "store-loop", move || unsafe { own.run(part) }) {
            Ok(thread) => started.push(thread),
            Err(error) => {
                failed = Some(error);
                // The threads that have started must not wait for this one.
                shared.arrive();
            }
        }
    }
    started.into_iter().for_each(|thread| thread.join());
    failed.map_or_else(|| Ok(shared.stats()), Err)
}

impl Loop {
    /// Counts a thread that has reached the start, or never will.
    fn arrive(&self) {
        if self.missing.fetch_sub(1, SeqCst) == 1 {
            self.waiting.wake_all();
        }
    }

    /// Clears part number `part`, once all threads have reached the start.
    ///
    /// # Safety
    /// The caller owns the blocks, and no other thread has this part.
    unsafe fn run(&self, part: usize) {
        self.arrive();
        let have_all_arrived = || self.missing.load(SeqCst) == 0;
        // The others are about to arrive. Blocking at once would count their wake-up as clearing.
        let spin_until_ns = tsc::now_ns() + SPIN_NS;
        while !have_all_arrived() && tsc::now_ns() < spin_until_ns {
            cpu::relax();
        }
        self.waiting.wait_until(have_all_arrived);
        let start_ns = tsc::now_ns();
        let share = |part: usize| part * self.blocks.len() / self.times_ns.len();
        for block in &self.blocks[share(part)..share(part + 1)] {
            // SAFETY: the caller owns the block (invariant 12), and it is in no other part.
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
        stats.threads_used = times().count() as u32;
        stats.units = self.blocks.len() as u64;
        stats.chunks = stats.threads_used.into();
        stats.wall_ns = last_end_ns.saturating_sub(start_ns);
        stats.cpu_ns = times().map(|(start, end)| end.saturating_sub(start)).sum();
        stats.spread_ns = last_end_ns - first_end_ns;
        stats
    }
}
