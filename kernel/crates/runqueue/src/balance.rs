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
    pub nr_queued: u32,
    /// Whether it runs a thread other than its idle thread.
    pub running: bool,
    /// Sum of the weights of all these threads.
    pub weight: u32,
}

impl Load {
    /// Nothing runs, nothing waits.
    pub const IDLE: Self = Self { nr_queued: 0, running: false, weight: 0 };

    /// Whether a thread put here would run at once.
    #[must_use]
    pub const fn is_idle(self) -> bool {
        !self.running && self.nr_queued == 0
    }

    /// Whether the only thread is one that was given to an idle CPU just now, which will run it at once.
    const fn is_waking(self) -> bool {
        !self.running && self.nr_queued == 1
    }
}

/// Chooses the CPU for a thread that wakes up.
///
/// `last` is where it ran last (any CPU for a new thread), `allowed` its
/// affinity, `near` the CPUs of the node it prefers, or of the one that `last` is on, `loads` the load of a CPU
/// or `None` when that is offline. In this order: `last` if it is idle and near, for its
/// caches are warm; the next idle CPU that is near; an idle one that is not; the least loaded CPU, near ones before
/// others; always `last` before others and
/// then the next after it. Searching from `last` on spreads wakers that look at
/// the same moment.
///
/// `None` when no allowed CPU is online.
#[must_use]
pub fn choose_cpu(
    last: usize,
    allowed: &CpuMask,
    near: &CpuMask,
    loads: impl Fn(usize) -> Option<Load>,
) -> Option<usize> {
    // Idle or not, load, near or not: smaller is better.
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

/// Chooses the CPU that `thief`, which has nothing to run, takes a waiting
/// thread from: of those among `candidates` on which threads wait, one of the thief's node, `near`, before
/// others, then the one with the most weight, the next after `thief` among equals. A thread that an idle CPU of another
/// node was woken for is left to that one: it is at home there, and does not wait for long. (On its own node it runs sooner
/// on a CPU that is awake than on one that comes out of its halt.)
///
/// `None` when nothing waits that may be had. `thief` itself is never the answer.
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

/// Chooses the CPU that `from` should give a waiting thread to, and the weight
/// that thread must stay below for the move to even things out: the difference
/// of the two loads. A less loaded CPU of its own node, `near`, before others, then the least loaded. `None` when
/// `from` has nothing to give, or nobody is less loaded.
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
