//! How many helpers a system lends out at once.

// Not the crate's `sync`: a budget lives in a static, which a model checker's
// atomics cannot.
use core::sync::atomic::{AtomicU32, Ordering};

use crate::NodeId;

/// Nodes that have a count of their own. Helpers for a node beyond them count
/// against the whole only.
const COUNTED_NODES: usize = 64;

/// The share of CPUs that helpers may occupy by default, in percent, as the
/// third posted kernel version settled on after its authors were asked what stops
/// many jobs at once from taking every CPU.
const DEFAULT_PERCENT: u32 = 80;

/// The system-wide limit on helpers: so many percent of the CPUs, and of the
/// CPUs of each node. A job's caller never counts, so a job always runs.
///
/// The limit follows the CPUs: it is worked out from the numbers that the
/// platform reports when a helper is asked for, so CPUs that come and go need no
/// notice.
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

/// A share that is not between 0 and 100 percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PercentOutOfRange(
    /// What was asked for.
    pub u32,
);

impl core::fmt::Display for PercentOutOfRange {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "helper budget of {} percent: must be 0 to 100", self.0)
    }
}

impl core::error::Error for PercentOutOfRange {}

/// The permission for one helper to run, counted against the budget.
#[derive(Debug)]
pub(crate) struct Permit {
    /// The node that it counts against; `None` where that node's share was used
    /// up, or there was no node to prefer.
    pub(crate) node: Option<NodeId>,
}

impl Budget {
    /// A budget of 80 percent, nothing used.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            percent: AtomicU32::new(DEFAULT_PERCENT),
            in_use: AtomicU32::new(0),
            in_use_of_node: [const { AtomicU32::new(0) }; COUNTED_NODES],
        }
    }

    /// The budget of platforms that have none of their own.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: Budget = Budget::new();
        &SHARED
    }

    /// Sets the share of the CPUs that helpers may occupy, from now on; helpers
    /// that run already stay.
    ///
    /// # Errors
    ///
    /// More than 100 percent, and the share stays as it was. 0 is allowed: no
    /// helpers.
    pub fn set_percent(&self, percent: u32) -> Result<(), PercentOutOfRange> {
        if percent > 100 {
            return Err(PercentOutOfRange(percent));
        }
        self.percent.store(percent, Ordering::SeqCst);
        Ok(())
    }

    /// The share of the CPUs that helpers may occupy, in percent.
    #[must_use]
    pub fn percent(&self) -> u32 {
        self.percent.load(Ordering::SeqCst)
    }

    /// Helpers that `cpus` CPUs allow: the share rounded down, but one where
    /// there are two CPUs and any share at all, or small machines would get none.
    #[must_use]
    pub fn limit(&self, cpus: usize) -> usize {
        let percent = self.percent() as usize;
        let share = cpus.saturating_mul(percent) / 100;
        share.max(usize::from(cpus >= 2 && percent > 0))
    }

    /// Helpers at work now.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.in_use.load(Ordering::SeqCst) as usize
    }

    /// Helpers at work now that count against `node`.
    #[must_use]
    pub fn in_use_of_node(&self, node: NodeId) -> usize {
        match self.in_use_of_node.get(node.0 as usize) {
            Some(count) => count.load(Ordering::SeqCst) as usize,
            None => 0,
        }
    }

    /// Acquires a permit for a helper that prefers `node`, on a machine with `cpus` CPUs. Returns
    /// `None` if all helpers together use up the budget. If only the node's share is used up, the
    /// permit names no node and the helper may run anywhere.
    pub(crate) fn acquire(
        &self,
        cpus: usize,
        node: Option<NodeId>,
        cpus_of_node: impl Fn(NodeId) -> usize,
    ) -> Option<Permit> {
        if !add_below(&self.in_use, self.limit(cpus)) {
            return None;
        }
        let node = node.filter(|&node| match self.in_use_of_node.get(node.0 as usize) {
            Some(count) => add_below(count, self.limit(cpus_of_node(node))),
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
    count.try_update(Ordering::SeqCst, Ordering::SeqCst, |n| ((n as usize) < limit).then_some(n + 1)).is_ok()
}
