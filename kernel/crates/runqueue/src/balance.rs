//! Where threads run: pure functions over a snapshot of the CPUs' loads.
//!
//! Loads are read without locks and may be stale when the answer is used. That
//! costs a worse choice, never correctness: the caller takes the chosen CPU's
//! lock and finds out.

use crate::mask::CpuMask;

/// How busy a CPU is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Threads in its run queue.
    pub waiting: u32,
    /// Whether it runs a thread other than its idle thread.
    pub running: bool,
}

impl Load {
    /// Nothing runs, nothing waits.
    pub const IDLE: Self = Self { waiting: 0, running: false };

    /// Whether a thread put here would run at once.
    #[must_use]
    pub const fn is_idle(self) -> bool {
        !self.running && self.waiting == 0
    }

    /// Threads that share the CPU, the running one included.
    #[must_use]
    pub const fn runnable(self) -> u32 {
        self.waiting.saturating_add(self.running as u32)
    }
}

/// Chooses the CPU for a thread that wakes up.
///
/// `last` is where it ran last (any CPU for a new thread), `allowed` its
/// affinity, `loads` the load of a CPU or `None` when that is offline. In this
/// order: `last` if it is idle, for its caches are warm; the next idle CPU
/// after `last`; the least loaded CPU, `last` before others and then the next
/// after it. Searching from `last` on spreads wakers that look at the same
/// moment.
///
/// `None` when no allowed CPU is online.
#[must_use]
pub fn choose_cpu(last: usize, allowed: &CpuMask, loads: impl Fn(usize) -> Option<Load>) -> Option<usize> {
    let mut best: Option<(usize, u32)> = None;
    for cpu in allowed.iter_from(last) {
        let Some(load) = loads(cpu) else { continue };
        if load.is_idle() {
            return Some(cpu);
        }
        if best.is_none_or(|(_, least)| load.runnable() < least) {
            best = Some((cpu, load.runnable()));
        }
    }
    best.map(|(cpu, _)| cpu)
}

/// Chooses the CPU that `thief`, which has nothing to run, takes a waiting
/// thread from: the one with the longest queue among `candidates`, the next
/// after `thief` among equals.
///
/// `None` when nothing waits anywhere. `thief` itself is never the answer.
#[must_use]
pub fn steal_from(
    thief: usize,
    candidates: &CpuMask,
    loads: impl Fn(usize) -> Option<Load>,
) -> Option<usize> {
    let mut best: Option<(usize, u32)> = None;
    for cpu in candidates.without(CpuMask::single(thief)).iter_from(thief) {
        let waiting = loads(cpu).map_or(0, |load| load.waiting);
        if waiting > best.map_or(0, |(_, most)| most) {
            best = Some((cpu, waiting));
        }
    }
    best.map(|(cpu, _)| cpu)
}
