//! Groups of threads: what they use together, and how much they may.

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

/// Threads that are accounted for, and limited, together. A new thread is in its
/// creator's group unless it is put into another.
///
/// A CPU that runs a thread of a group with a quota first takes a slice of what is left of it (`runqueue::quota`): so all
/// CPUs together stay within it, but for the time that an interrupt takes to come.
#[derive(Debug)]
pub struct Group {
    name: String,
    quota: Option<Quota>,
    /// What it has used of that.
    bandwidth: Option<IrqSpinLock<Bandwidth>>,
    /// CPU time by CPU, each of which runs while that CPU runs a thread of the group.
    shards: Box<[Shard]>,
    /// CPU time that others used for threads of this group.
    helped_ns: AtomicU64,
    /// CPU time that threads of this group used for others.
    given_ns: AtomicU64,
    /// Times that a thread had to wait because nothing was left.
    throttled: AtomicU64,
}

/// What a group has used on one CPU; written by that CPU alone.
#[derive(Debug)]
#[repr(align(64))]
struct Shard(RunClock);

/// What a group has had so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupUsage {
    /// CPU time in nanoseconds, helpers' included.
    pub cpu_time_ns: u64,
    /// Of it, by helpers.
    pub helped_ns: u64,
    /// Times that a thread had to wait because nothing was left.
    pub throttled: u64,
}

impl Group {
    /// A group without threads. Nothing limits it without a `quota`.
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

    /// The group of threads that were put into no other.
    pub fn root() -> &'static Arc<Self> {
        static ROOT: LazyLock<Arc<Group>> = LazyLock::new(|| Group::new("root", None));
        &ROOT
    }

    /// The group of the idle threads.
    pub(super) fn of_idle_threads() -> &'static Arc<Self> {
        static IDLE: LazyLock<Arc<Group>> = LazyLock::new(|| Group::new("idle", None));
        &IDLE
    }

    /// The group's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How much the group may use.
    pub fn quota(&self) -> Option<Quota> {
        self.quota
    }

    /// What the group has had so far, up to now.
    pub fn usage(&self) -> GroupUsage {
        let own_ns: u64 = self.shards.iter().map(|shard| shard.0.read()).sum();
        // Relaxed, here and below: counters, on which nothing else depends.
        let helped_ns = self.helped_ns.load(Relaxed);
        GroupUsage {
            // CPU by CPU: a helper may tell what it used after its CPU was looked at.
            cpu_time_ns: (own_ns + helped_ns).saturating_sub(self.given_ns.load(Relaxed)),
            helped_ns,
            throttled: self.throttled.load(Relaxed),
        }
    }

    /// CPU number `cpu`, the running one, goes from a thread of another group to one of this. Interrupts are off.
    pub(super) fn enter(&self, cpu: usize, now_ns: u64) {
        self.shards[cpu].0.start(now_ns);
    }

    /// CPU number `cpu`, the running one, goes from a thread of this group to one of another. Interrupts are off.
    pub(super) fn leave(&self, cpu: usize, now_ns: u64) {
        self.shards[cpu].0.stop(now_ns);
    }

    /// `ns` of CPU time were used by threads of the group `by` for one of this group.
    fn charge_help(&self, by: &Self, ns: u64) {
        self.helped_ns.fetch_add(ns, Relaxed);
        by.given_ns.fetch_add(ns, Relaxed);
        if let Some(bandwidth) = &self.bandwidth {
            bandwidth.lock().charge(ns, tsc::now_ns());
        }
    }

    /// The running CPU takes a slice of what is left of the quota, to be [returned](Self::return_runtime); `None` when nothing limits
    /// the group.
    pub(super) fn take_runtime(&self, now_ns: u64) -> Option<RuntimeSlice> {
        self.bandwidth.as_ref().map(|bandwidth| bandwidth.lock().take(now_ns))
    }

    /// The running CPU has taken `slice`, and run threads of the group since.
    pub(super) fn return_runtime(&self, slice: RuntimeSlice, now_ns: u64) {
        if let Some(bandwidth) = &self.bandwidth {
            bandwidth.lock().return_runtime(slice, now_ns);
        }
    }

    /// Whether nothing is left of the quota in this period.
    pub(super) fn is_used_up(&self, now_ns: u64) -> bool {
        self.bandwidth.as_ref().is_some_and(|bandwidth| bandwidth.lock().left_ns(now_ns) == 0)
    }

    /// One of the group's threads has to wait; returns until when.
    pub(super) fn throttle(&self, now_ns: u64) -> u64 {
        self.throttled.fetch_add(1, Relaxed);
        self.bandwidth.as_ref().map_or(now_ns, |bandwidth| bandwidth.lock().next_look_ns(now_ns))
    }
}

/// For whom a worker works: CPU time that it uses is moved from its own group to theirs, each nanosecond once.
pub(super) struct ChargeTarget {
    group: IrqSpinLock<Option<Arc<Group>>>,
    /// The worker's own CPU time up to which it was paid for. Relaxed: written by the worker alone.
    charged_until_ns: AtomicU64,
}

impl ChargeTarget {
    /// For nobody.
    pub(super) const fn new() -> Self {
        Self { group: IrqSpinLock::of(LockClass::CHARGE_TARGET, None), charged_until_ns: AtomicU64::new(0) }
    }

    /// Whom for, if for somebody.
    pub(super) fn group(&self) -> Option<Arc<Group>> {
        self.group.lock().clone()
    }

    /// For `group` from now on, when the worker, of group `own`, has used `used_ns`; what it has used for the last one is
    /// moved.
    pub(super) fn change(&self, group: Option<Arc<Group>>, own: &Group, used_ns: u64) {
        let last = core::mem::replace(&mut *self.group.lock(), group);
        self.move_to(last.as_deref(), own, used_ns);
    }

    /// Moves what the worker, of group `own`, has used up to `used_ns`.
    pub(super) fn flush_charges(&self, own: &Group, used_ns: u64) {
        self.move_to(self.group().as_deref(), own, used_ns);
    }

    fn move_to(&self, group: Option<&Group>, own: &Group, used_ns: u64) {
        let charged_ns = self.charged_until_ns.load(Relaxed);
        self.charged_until_ns.store(used_ns, Relaxed);
        if let Some(group) = group {
            group.charge_help(own, used_ns.saturating_sub(charged_ns));
        }
    }
}
