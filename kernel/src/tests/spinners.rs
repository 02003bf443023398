//! Load for tests, and the CPU time that the host steals from it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use crate::arch::tsc;
use crate::debug::ktest::Stopped;
use crate::sched::{self, JoinHandle, Spawn};
use crate::skip_if;

/// Threads that spin until they are stopped, and notice when the host steals a CPU: the guest's clock counts that time for
/// the thread that ran just then.
pub struct Spinners {
    stop: Arc<AtomicBool>,
    stolen_ns: Arc<AtomicU64>,
    threads: Vec<JoinHandle>,
    /// CPU time of each thread at its last look.
    seen_ns: Vec<Arc<AtomicU64>>,
    /// Stolen time of the last measurement.
    judged_ns: AtomicU64,
}

/// A turn of the spinning loop takes less than a microsecond, also under emulation. One that takes so much CPU time was
/// interrupted by the host.
const STOLEN_FROM_NS: u64 = 1_000_000;
/// The largest stolen part of a measurement that still says something.
pub const MOST_STOLEN_PERCENT: u64 = 2;

/// Notices when the host steals the CPU of a thread that looks again and again.
pub struct Watch {
    /// The time before `used_ns` was read.
    before_ns: u64,
    used_ns: u64,
    /// The time after `used_ns` was read.
    after_ns: u64,
}

impl Watch {
    /// Watches the calling thread.
    pub fn start() -> Self {
        Self { before_ns: tsc::now_ns(), used_ns: sched::current().cpu_time_ns(), after_ns: tsc::now_ns() }
    }

    /// Returns the time that the host stole since the last look.
    pub fn stolen_ns(&mut self) -> u64 {
        let before = core::mem::replace(self, Self::start());
        // Elapsed time and CPU time both jump when the host stole the CPU; only elapsed time does when this kernel gave the
        // CPU to another thread. The times are those around both looks: the host may steal the CPU in the middle of one.
        let elapsed_ns = self.after_ns - before.before_ns;
        let gap_ns = elapsed_ns.min(self.used_ns.saturating_sub(before.used_ns));
        if gap_ns >= STOLEN_FROM_NS { gap_ns } else { 0 }
    }
}

impl Spinners {
    /// Makes a load without threads.
    pub fn new() -> Self {
        Self {
            stop: Arc::new(AtomicBool::new(false)),
            stolen_ns: Arc::new(AtomicU64::new(0)),
            threads: Vec::new(),
            seen_ns: Vec::new(),
            judged_ns: AtomicU64::new(0),
        }
    }

    /// Starts a thread with the settings of `spawn`.
    pub fn start(&mut self, spawn: Spawn<'_>) -> Result<(), Stopped> {
        let (stop, stolen_ns) = (self.stop.clone(), self.stolen_ns.clone());
        let seen_ns = Arc::new(AtomicU64::new(0));
        let slot = seen_ns.clone();
        let spin = move || {
            let mut watch = Watch::start();
            while !stop.load(SeqCst) {
                let taken_ns = watch.stolen_ns();
                if taken_ns > 0 {
                    stolen_ns.fetch_add(taken_ns, SeqCst);
                }
                slot.store(watch.used_ns, SeqCst);
                core::hint::spin_loop();
            }
        };
        let thread = spawn.start(spin).map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        self.threads.push(thread);
        self.seen_ns.push(seen_ns);
        Ok(())
    }

    /// Returns the threads, in the order in which they were started.
    pub fn threads(&self) -> &[JoinHandle] {
        &self.threads
    }

    /// Returns the CPU time that each thread uses in the next `ns` nanoseconds. Skips the test when the host stole much of
    /// that time: then the numbers say nothing about this kernel. (One scenario counts instructions instead of time; there
    /// nothing is ever stolen or skipped.)
    pub fn measure(&self, ns: u64) -> Result<Vec<u64>, Stopped> {
        let read = || self.threads.iter().map(|thread| thread.thread().cpu_time_ns()).collect::<Vec<_>>();
        self.stolen_ns.store(0, SeqCst);
        let before = read();
        sched::sleep_ns(ns);
        let used = read().iter().zip(before).map(|(after, before)| after.saturating_sub(before)).collect();
        self.skip_if_stolen(ns)?;
        Ok(used)
    }

    /// Returns the time that the host stole during the last measurement.
    pub fn stolen_ns(&self) -> u64 {
        self.judged_ns.load(SeqCst)
    }

    fn stolen_so_far_ns(&self) -> u64 {
        // Time stolen from a thread that has not run again, or not looked yet.
        let unnoticed_ns = |(thread, seen_ns): (&JoinHandle, &Arc<AtomicU64>)| {
            let before_ns = seen_ns.load(SeqCst);
            let gap_ns = thread.thread().cpu_time_ns().saturating_sub(before_ns);
            // A thread that looks meanwhile is running.
            let is_stolen = before_ns > 0 && gap_ns >= STOLEN_FROM_NS && seen_ns.load(SeqCst) == before_ns;
            if is_stolen { gap_ns } else { 0 }
        };
        let unnoticed_ns: u64 = self.threads.iter().zip(&self.seen_ns).map(unnoticed_ns).sum();
        self.stolen_ns.load(SeqCst) + unnoticed_ns
    }

    /// Skips the test when the host stole much of the last `ns` nanoseconds.
    pub fn skip_if_stolen(&self, ns: u64) -> Result<(), Stopped> {
        let stolen_ns = self.stolen_so_far_ns();
        self.judged_ns.store(stolen_ns, SeqCst);
        skip_if!(stolen_ns * 100 > ns * MOST_STOLEN_PERCENT, "the host took the cpus away");
        Ok(())
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        for thread in self.threads.drain(..) {
            thread.join();
        }
    }
}

/// Returns the largest error of `used`, in percent of a share, where shares are in proportion to `weights`.
pub fn worst_error_percent(used: &[u64], weights: &[u64]) -> u64 {
    let error = |(used, share): (u64, u64)| used.abs_diff(share) * 100 / share.max(1);
    with_shares(used, weights).map(error).max().unwrap_or(0)
}

/// Pairs each of `used` with its share of the sum by `weights`.
pub fn with_shares(used: &[u64], weights: &[u64]) -> impl Iterator<Item = (u64, u64)> {
    let (total, weight): (u64, u64) = (used.iter().sum(), weights.iter().sum());
    used.iter().zip(weights).map(move |(used, part)| (*used, total * part / weight))
}
