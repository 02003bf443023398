//! The system-wide limit on helpers.

// Not the atomics of `sync`: a budget may be a static, and a model checker's atomics cannot.
use core::sync::atomic::{AtomicU32, Ordering};

use crate::NodeId;

/// The number of nodes with a separate count. Helpers for a node above it count only against the
/// whole.
const COUNTED_NODES: usize = 64;

/// The share of the CPUs that helpers may occupy by default, in percent.
///
/// It is the value of the third posted kernel version. Reviewers had asked what keeps many jobs
/// from taking every CPU at once.
const DEFAULT_PERCENT: u32 = 80;

/// The system-wide limit on helpers, in percent of all CPUs and of each node's CPUs.
///
/// A job's caller does not count, so every job runs. The limit follows CPU hotplug without notice:
/// it is computed from the platform's CPU counts whenever a helper is requested.
///
/// ```
/// static BUDGET: ktask::Budget = ktask::Budget::new();
/// assert_eq!(BUDGET.limit(10), 8);
/// BUDGET.set_percent(50).unwrap();
/// assert_eq!(BUDGET.limit(10), 5);
/// assert!(BUDGET.set_percent(101).is_err());
/// ```
#[derive(Debug)]
pub struct Budget {
    percent: AtomicU32,
    in_use: AtomicU32,
    in_use_of_node: [AtomicU32; COUNTED_NODES],
}

/// The error for a share of more than 100 percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PercentOutOfRange(
    /// The share that was requested.
    pub u32,
);

impl core::fmt::Display for PercentOutOfRange {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "helper budget of {} percent: must be 0 to 100", self.0)
    }
}

impl core::error::Error for PercentOutOfRange {}

/// The permission for one helper to run, counted in the budget.
#[derive(Debug)]
pub(crate) struct Permit {
    /// The node in whose share it counts. `None` if that share was used up, or no node was
    /// preferred.
    pub(crate) node: Option<NodeId>,
}

impl Budget {
    /// Makes a budget of 80 percent, with no helper running.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            percent: AtomicU32::new(DEFAULT_PERCENT),
            in_use: AtomicU32::new(0),
            in_use_of_node: [const { AtomicU32::new(0) }; COUNTED_NODES],
        }
    }

    /// Returns the budget of all platforms that keep the default.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: Budget = Budget::new();
        &SHARED
    }

    /// Sets the share of the CPUs that helpers may occupy. Helpers that run already go on. 0 allows
    /// no helpers.
    ///
    /// # Errors
    ///
    /// A share of more than 100 percent is refused, and the old share stays.
    pub fn set_percent(&self, percent: u32) -> Result<(), PercentOutOfRange> {
        if percent > 100 {
            return Err(PercentOutOfRange(percent));
        }
        self.percent.store(percent, Ordering::SeqCst);
        Ok(())
    }

    /// Returns the share of the CPUs that helpers may occupy, in percent.
    #[must_use]
    pub fn percent(&self) -> u32 {
        self.percent.load(Ordering::SeqCst)
    }

    /// Returns how many helpers `cpus` CPUs allow.
    ///
    /// It is the share, rounded down. With two CPUs or more and a share above 0 it is at least one;
    /// otherwise small machines would get no helper.
    #[must_use]
    pub fn limit(&self, cpus: usize) -> usize {
        let percent = self.percent() as usize;
        let share = cpus.saturating_mul(percent) / 100;
        share.max(usize::from(cpus >= 2 && percent > 0))
    }

    /// Returns the number of helpers that run now.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.in_use.load(Ordering::SeqCst) as usize
    }

    /// Returns the number of helpers that run now and count in the share of `node`.
    #[must_use]
    pub fn in_use_of_node(&self, node: NodeId) -> usize {
        match self.in_use_of_node.get(node.0 as usize) {
            Some(count) => count.load(Ordering::SeqCst) as usize,
            None => 0,
        }
    }

    /// Acquires a permit for a helper that prefers `node`. `cpus` returns the number of CPUs of the
    /// machine or of a node, whatever the calling thread may use of them: the helpers of all threads
    /// count. Returns `None` if all helpers together use up the budget. If only the node's share is
    /// used up, the permit names no node and the helper may run anywhere.
    pub(crate) fn acquire(
        &self,
        node: Option<NodeId>,
        cpus: impl Fn(Option<NodeId>) -> usize,
    ) -> Option<Permit> {
        if !add_below(&self.in_use, self.limit(cpus(None))) {
            return None;
        }
        let node = node.filter(|&node| match self.in_use_of_node.get(node.0 as usize) {
            Some(count) => add_below(count, self.limit(cpus(Some(node)))),
            None => false,
        });
        Some(Permit { node })
    }

    /// Returns `permit` to the budget.
    pub(crate) fn release(&self, permit: Permit) {
        if let Some(count) = permit.node.and_then(|node| self.in_use_of_node.get(node.0 as usize)) {
            count.fetch_sub(1, Ordering::SeqCst);
        }
        self.in_use.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new()
    }
}

/// Adds one to `count` if it is below `limit`. Returns whether it was.
fn add_below(count: &AtomicU32, limit: usize) -> bool {
    count
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| ((n as usize) < limit).then_some(n + 1))
        .is_ok()
}
