//! Groups of threads: what they use together, and their quota.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use runqueue::{Bandwidth, Quota, RuntimeSlice};
use spin::LazyLock;

use super::account::RunClock;
use crate::arch::lock_class::LockClass;
use crate::arch::percpu::MAX_CPUS;
use crate::arch::spin_lock::IrqSpinLock;
use crate::arch::tsc;

/// Threads that are accounted for, and limited, together. A new thread is in its creator's group unless it is put into
/// another.
///
/// A CPU that runs a thread of a group with a quota first takes a runtime slice (`runqueue::quota`). So all CPUs together
/// stay within the quota, up to the time that an interrupt takes to come.
#[derive(Debug)]
pub struct Group {
    name: String,
    quota: Option<Quota>,
    /// What it has used of the quota.
    bandwidth: Option<IrqSpinLock<Bandwidth>>,
    /// A clock for each CPU, which runs while that CPU runs a thread of the group.
    shards: Box<[Shard]>,
    /// CPU time that threads of other groups used for this one.
    helped_ns: AtomicU64,
    /// CPU time that threads of this group used for other groups.
    given_ns: AtomicU64,
    /// Number of times that a thread was blocked because nothing was left of the quota.
    throttled: AtomicU64,
}

/// CPU time of a group on one CPU; written by that CPU alone.
#[derive(Debug)]
#[repr(align(64))]
struct Shard(RunClock);

/// What a group has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupUsage {
    /// CPU time in nanoseconds, helpers' included.
    pub cpu_time_ns: u64,
    /// The helpers' part of it.
    pub helped_ns: u64,
    /// Number of times that a thread was blocked because nothing was left of the quota.
    pub throttled: u64,
}

impl Group {
    /// A group without threads. Without a `quota` it is not limited.
    pub fn new(name: &str, quota: Option<Quota>) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            quota,
            bandwidth: quota.map(|quota| IrqSpinLock::of(LockClass::GROUP_PERIOD, Bandwidth::new(quota))),
            shards: (0..MAX_CPUS).map(|_| Shard(RunClock::new())).collect(),
            helped_ns: AtomicU64::new(0),
            given_ns: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
        })
    }

    /// Returns the group of threads that were put into no other.
    pub fn root() -> &'static Arc<Self> {
        static ROOT: LazyLock<Arc<Group>> = LazyLock::new(|| Group::new("root", None));
        &ROOT
    }

    /// Returns the group of the idle threads.
    pub(super) fn of_idle_threads() -> &'static Arc<Self> {
        static IDLE: LazyLock<Arc<Group>> = LazyLock::new(|| Group::new("idle", None));
        &IDLE
    }

    /// Returns the group's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the group's quota, if it has one.
    pub fn quota(&self) -> Option<Quota> {
        self.quota
    }

    /// Returns what the group has used up to now.
    pub fn usage(&self) -> GroupUsage {
        let own_ns: u64 = self.shards.iter().map(|shard| shard.0.read()).sum();
        // Relaxed, here and below: counters, on which nothing else depends.
        let helped_ns = self.helped_ns.load(Relaxed);
        GroupUsage {
            // The clocks are read one by one: a helper may flush its charges after its CPU's clock was read.
            cpu_time_ns: (own_ns + helped_ns).saturating_sub(self.given_ns.load(Relaxed)),
            helped_ns,
            throttled: self.throttled.load(Relaxed),
        }
    }

    /// Starts the clock of the calling CPU, number `cpu`, which switches to this group. Interrupts are off.
    pub(super) fn enter(&self, cpu: usize, now_ns: u64) {
        self.shards[cpu].0.start(now_ns);
    }

    /// Stops the clock of the calling CPU, number `cpu`, which switches to another group. Interrupts are off.
    pub(super) fn leave(&self, cpu: usize, now_ns: u64) {
        self.shards[cpu].0.stop(now_ns);
    }

    /// Charges `ns` of CPU time that threads of the group `by` used for this one.
    fn charge_help(&self, by: &Self, ns: u64) {
        self.helped_ns.fetch_add(ns, Relaxed);
        by.given_ns.fetch_add(ns, Relaxed);
        if let Some(bandwidth) = &self.bandwidth {
            bandwidth.lock().charge(ns, tsc::now_ns());
        }
    }

    /// Takes a slice of what is left of the quota, to be [returned](Self::return_runtime); `None` when the group has no quota.
    pub(super) fn take_runtime(&self, now_ns: u64) -> Option<RuntimeSlice> {
        self.bandwidth.as_ref().map(|bandwidth| bandwidth.lock().take(now_ns))
    }

    /// Returns what is left of `slice`, which the calling CPU took before it ran threads of the group.
    pub(super) fn return_runtime(&self, slice: RuntimeSlice, now_ns: u64) {
        if let Some(bandwidth) = &self.bandwidth {
            bandwidth.lock().return_runtime(slice, now_ns);
        }
    }

    /// Whether nothing is left of the quota in this period.
    pub(super) fn is_used_up(&self, now_ns: u64) -> bool {
        self.bandwidth.as_ref().is_some_and(|bandwidth| bandwidth.lock().left_ns(now_ns) == 0)
    }

    /// Counts a thread that has to wait for runtime, and returns until when.
    pub(super) fn throttle(&self, now_ns: u64) -> u64 {
        self.throttled.fetch_add(1, Relaxed);
        self.bandwidth.as_ref().map_or(now_ns, |bandwidth| bandwidth.lock().next_look_ns(now_ns))
    }
}

/// The group that is charged for what a worker does: CPU time is moved to it from the worker's own group, each nanosecond
/// once.
pub(super) struct ChargeTarget {
    group: IrqSpinLock<Option<Arc<Group>>>,
    /// The worker's CPU time up to which it was charged. Relaxed: written by the worker alone.
    charged_until_ns: AtomicU64,
}

impl ChargeTarget {
    /// No target: the worker's own group is charged.
    pub(super) const fn new() -> Self {
        Self { group: IrqSpinLock::of(LockClass::CHARGE_TARGET, None), charged_until_ns: AtomicU64::new(0) }
    }

    /// Returns the target, if there is one.
    pub(super) fn group(&self) -> Option<Arc<Group>> {
        self.group.lock().clone()
    }

    /// Makes `group` the target from now on, when the worker, of group `own`, has used `used_ns`. What it used before is
    /// charged to the last target.
    pub(super) fn change(&self, group: Option<Arc<Group>>, own: &Group, used_ns: u64) {
        let last = core::mem::replace(&mut *self.group.lock(), group);
        self.charge(last.as_deref(), own, used_ns);
    }

    /// Charges what the worker, of group `own`, has used up to `used_ns`.
    pub(super) fn flush_charges(&self, own: &Group, used_ns: u64) {
        self.charge(self.group().as_deref(), own, used_ns);
    }

    fn charge(&self, group: Option<&Group>, own: &Group, used_ns: u64) {
        let charged_ns = self.charged_until_ns.load(Relaxed);
        self.charged_until_ns.store(used_ns, Relaxed);
        if let Some(group) = group {
            group.charge_help(own, used_ns.saturating_sub(charged_ns));
        }
    }
}
