//! On which CPU threads run: pure functions over the CPUs' loads.
//!
//! Loads are read without locks and may be stale when the answer is used. That makes the choice worse, never wrong: the
//! caller takes the chosen CPU's lock and finds out.

use crate::fair::SEARCH_LIMIT;
use crate::mask::CpuMask;

/// How busy a CPU is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Threads in its run queue.
    pub nr_queued: u32,
    /// Whether it runs a thread other than its idle thread.
    pub running: bool,
    /// Sum of the weights of all these threads.
    pub weight: u32,
}

impl Load {
    /// The load of an idle CPU.
    pub const IDLE: Self = Self { nr_queued: 0, running: false, weight: 0 };

    /// Whether a thread that is queued here would run at once.
    #[must_use]
    pub const fn is_idle(self) -> bool {
        !self.running && self.nr_queued == 0
    }

    /// Whether [`FairQueue::steal`](crate::FairQueue::steal) looks at only a part of the queue.
    #[must_use]
    pub const fn hides_threads(self) -> bool {
        self.nr_queued as usize > SEARCH_LIMIT
    }

    /// Whether the only thread was given to the idle CPU just now, which will run it at once.
    const fn is_waking(self) -> bool {
        !self.running && self.nr_queued == 1
    }
}

/// Chooses the CPU for a thread that wakes up.
///
/// `last` is the CPU that it ran on last (any CPU for a new thread), `allowed` its affinity, `near` the CPUs of the node
/// that it prefers, or of the node of `last`. `loads` returns the load of a CPU, or `None` when the CPU is offline.
///
/// In this order: `last` if it is idle and near, as its caches are warm; the next idle CPU that is near; an idle CPU that is
/// not; the least loaded CPU, near ones before others. Among equals `last` comes first, then the next after it. Searching
/// from `last` on spreads wakers that look at the same moment.
///
/// `None` when no allowed CPU is online.
#[must_use]
pub fn choose_cpu(
    last: usize,
    allowed: &CpuMask,
    near: &CpuMask,
    loads: impl Fn(usize) -> Option<Load>,
) -> Option<usize> {
    // (Busy, weight, far): smaller is better.
    let mut best: Option<((bool, u32, bool), usize)> = None;
    for cpu in allowed.iter_from(last) {
        let Some(load) = loads(cpu) else { continue };
        let is_near = near.contains(cpu);
        if load.is_idle() && is_near {
            return Some(cpu);
        }
        let rank = (!load.is_idle(), load.weight, !is_near);
        if best.is_none_or(|(least, _)| rank < least) {
            best = Some((rank, cpu));
        }
    }
    best.map(|(_, cpu)| cpu)
}

/// Chooses the CPU among `candidates` that `thief`, which has nothing to run, steals a queued thread from.
///
/// CPUs of the thief's node, `near`, come before others; then the CPU with the most weight; among equals the next after
/// `thief`. A thread for which an idle CPU of another node was woken is left to that CPU: it is at home there, and does not
/// wait for long. (On the thief's own node it runs sooner on a CPU that is awake than on one that leaves its halt.)
///
/// `None` when no thread can be stolen. `thief` itself is never the answer.
#[must_use]
pub fn steal_from(
    thief: usize,
    candidates: &CpuMask,
    near: &CpuMask,
    loads: impl Fn(usize) -> Option<Load>,
) -> Option<usize> {
    let mut best: Option<((bool, u32), usize)> = None;
    for cpu in candidates.without(CpuMask::single(thief)).iter_from(thief) {
        let Some(load) = loads(cpu).filter(|load| load.nr_queued > 0) else { continue };
        let is_near = near.contains(cpu);
        let rank = (is_near, load.weight);
        if (is_near || !load.is_waking()) && best.is_none_or(|(most, _)| rank > most) {
            best = Some((rank, cpu));
        }
    }
    best.map(|(_, cpu)| cpu)
}

/// Chooses the CPU that `from` should give a queued thread to, and the difference of the two loads: the thread must weigh
/// less for the move to even things out.
///
/// A less loaded CPU of the node of `from`, `near`, comes before others; then the least loaded. `None` when no thread is
/// queued on `from`, or no CPU is less loaded.
#[must_use]
pub fn push_to(
    from: usize,
    candidates: &CpuMask,
    near: &CpuMask,
    loads: impl Fn(usize) -> Option<Load>,
) -> Option<(usize, u32)> {
    let own = loads(from).filter(|load| load.nr_queued > 0)?;
    let mut best: Option<((bool, u32), usize)> = None;
    for cpu in candidates.without(CpuMask::single(from)).iter_from(from) {
        let Some(load) = loads(cpu).filter(|load| load.weight < own.weight) else { continue };
        let rank = (near.contains(cpu), own.weight - load.weight);
        if best.is_none_or(|(most, _)| rank > most) {
            best = Some((rank, cpu));
        }
    }
    best.map(|((_, difference), cpu)| (cpu, difference))
}
