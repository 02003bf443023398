//! Load for tests.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use crate::debug::ktest::Stopped;
use crate::sched::{self, JoinHandle, Spawn};

/// Threads that spin until they are stopped.
pub struct Spinners {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle>,
}

impl Spinners {
    /// Makes a load without threads.
    pub fn new() -> Self {
        Self { stop: Arc::new(AtomicBool::new(false)), threads: Vec::new() }
    }

    /// Starts a thread with the settings of `spawn`.
    pub fn start(&mut self, spawn: Spawn<'_>) -> Result<(), Stopped> {
        let stop = self.stop.clone();
        let spin = move || {
            while !stop.load(SeqCst) {
                work();
            }
        };
        let thread = spawn.start(spin).map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        self.threads.push(thread);
        Ok(())
    }

    /// Returns the threads, in the order in which they were started.
    pub fn threads(&self) -> &[JoinHandle] {
        &self.threads
    }

    /// Returns the CPU time that each thread uses in the next `ns` nanoseconds. Only where time is counted the numbers say
    /// something about this kernel; elsewhere the host may take the CPUs away meanwhile.
    pub fn measure(&self, ns: u64) -> Vec<u64> {
        let read = || self.threads.iter().map(|thread| thread.thread().cpu_time_ns()).collect::<Vec<_>>();
        let before = read();
        sched::sleep_ns(ns);
        read().iter().zip(before).map(|(after, before)| after.saturating_sub(before)).collect()
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

/// Works for a thousand instructions or more. There is no `pause` among them: an emulator that counts instructions leaves its
/// fast path for each.
pub fn work() {
    for turn in 0..500_u32 {
        core::hint::black_box(turn);
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
