//! The system-wide limit on helpers.

// Not the atomics of `sync`: a budget may be a static, and a model checker's atomics cannot.
use core::sync::atomic::{AtomicU32, Ordering};

use crate::NodeId;

/// The number of nodes with a separate count. Helpers for a node above it count only against the
/// whole.
const COUNTED_NODES: usize = 64;

/// The number of levels of callers. Callers of a level above the last count at the last.
pub(crate) const LEVELS: usize = 64;

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
/// Helpers of lighter callers keep no heavier caller waiting, see
/// [`Platform::caller_level`](crate::Platform::caller_level). Where they use up the limit, a heavier caller
/// gets its helpers beyond the limit, and as many helpers of the lightest callers leave at their next chunk.
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
    /// The same helpers by the level of their caller. Counted in after `in_use` and counted out before
    /// it, so that their sum is never more.
    in_use_at: [AtomicU32; LEVELS],
    /// Permits beyond the limit since there were none: not 0 while helpers may have to leave.
    overdrafts: AtomicU32,
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
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Permit {
    /// The node in whose share it counts. `None` if that share was used up, or no node was
    /// preferred.
    pub(crate) node: Option<NodeId>,
    /// The level of the helper's caller, below [`LEVELS`].
    pub(crate) level: u8,
}

impl Budget {
    /// Makes a budget of 80 percent, with no helper running.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            percent: AtomicU32::new(DEFAULT_PERCENT),
            in_use: AtomicU32::new(0),
            in_use_of_node: [const { AtomicU32::new(0) }; COUNTED_NODES],
            in_use_at: [const { AtomicU32::new(0) }; LEVELS],
            overdrafts: AtomicU32::new(0),
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

    /// Acquires a permit for a helper of a caller at `level`, which prefers `node`. `cpus` returns the number
    /// of CPUs of the machine or of a node, whatever the calling thread may use of them: the helpers of
    /// all threads count. Returns `None` if the helpers of callers that are as heavy or heavier use up the
    /// budget. If only the node's share is used up, the permit names no node and the helper may run
    /// anywhere.
    pub(crate) fn acquire(
        &self,
        level: u8,
        node: Option<NodeId>,
        cpus: impl Fn(Option<NodeId>) -> usize,
    ) -> Option<Permit> {
        let level = level.min(LEVELS as u8 - 1);
        let limit = self.limit(cpus(None));
        if !add_below(&self.in_use, limit) {
            // Each permit beyond the limit takes the place of a helper of a lighter caller, which leaves.
            if !add_below(&self.in_use, limit + self.in_use_lighter_than(level)) {
                return None;
            }
            self.overdrafts.fetch_add(1, Ordering::SeqCst);
        }
        // Store then load: of several callers that count in at the same time, the last one sees them all. Lighter
        // helpers may have ended since they were counted.
        self.in_use_at[usize::from(level)].fetch_add(1, Ordering::SeqCst);
        if sum(&self.in_use_at[..=usize::from(level)]) > limit {
            self.release(Permit { node: None, level });
            return None;
        }
        let node = node.filter(|&node| match self.in_use_of_node.get(node.0 as usize) {
            Some(count) => add_below(count, self.limit(cpus(Some(node)))),
            None => false,
        });
        Some(Permit { node, level })
    }

    /// Returns `permit` to the budget.
    pub(crate) fn release(&self, permit: Permit) {
        self.uncount(&permit);
        self.in_use.fetch_sub(1, Ordering::SeqCst);
    }

    /// Returns whether a helper may have to leave: a heavier caller got a permit beyond the limit.
    #[inline]
    pub(crate) fn is_overdrawn(&self) -> bool {
        // Relaxed: a helper that sees it late leaves a chunk later.
        self.overdrafts.load(Ordering::Relaxed) > 0
    }

    /// Returns `permit` to the budget if it is one of those that heavier callers need: one of the lightest
    /// callers', while there are more than the limit for `cpus` CPUs. Gives it back otherwise.
    #[cold]
    pub(crate) fn release_surplus(&self, permit: Permit, cpus: usize) -> Result<(), Permit> {
        let limit = self.limit(cpus);
        let overdrafts = self.overdrafts.load(Ordering::SeqCst);
        if self.in_use() <= limit {
            // Unless another permit is acquired beyond the limit meanwhile.
            let _ = self.overdrafts.compare_exchange(overdrafts, 0, Ordering::SeqCst, Ordering::SeqCst);
            return Err(permit);
        }
        let is_lightest = self.in_use_lighter_than(permit.level) == 0;
        // The count decides: as many helpers leave as there are too many, however many look at the same time.
        if !is_lightest || !self.has_heavier_than(permit.level) || !sub_above(&self.in_use, limit) {
            return Err(permit);
        }
        self.uncount(&permit);
        Ok(())
    }

    /// Counts `permit` out of its node and its level.
    fn uncount(&self, permit: &Permit) {
        if let Some(count) = permit.node.and_then(|node| self.in_use_of_node.get(node.0 as usize)) {
            count.fetch_sub(1, Ordering::SeqCst);
        }
        self.in_use_at[usize::from(permit.level)].fetch_sub(1, Ordering::SeqCst);
    }

    /// Returns the number of helpers of callers that are lighter than `level`.
    fn in_use_lighter_than(&self, level: u8) -> usize {
        sum(&self.in_use_at[usize::from(level) + 1..])
    }

    fn has_heavier_than(&self, level: u8) -> bool {
        sum(&self.in_use_at[..usize::from(level)]) > 0
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

/// Returns the sum of `counts`.
fn sum(counts: &[AtomicU32]) -> usize {
    counts.iter().map(|count| count.load(Ordering::SeqCst) as usize).sum()
}

/// Subtracts one from `count` if it is above `limit`. Returns whether it was.
fn sub_above(count: &AtomicU32, limit: usize) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| ((n as usize) > limit).then(|| n - 1)).is_ok()
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const CPUS: usize = 10;
    const LIMIT: usize = 8;
    const HEAVY: u8 = 0;
    const MIDDLE: u8 = 20;
    const LIGHT: u8 = 39;

    /// Acquires up to `count` permits at `level`.
    fn acquire(budget: &Budget, level: u8, count: usize) -> Vec<Permit> {
        (0..count).map_while(|_| budget.acquire(level, None, |_| CPUS)).collect()
    }

    /// Lets each helper of `permits` come to the end of a chunk; those that leave are removed.
    fn ends_of_chunks(budget: &Budget, permits: &mut Vec<Permit>) {
        *permits = permits
            .drain(..)
            .filter_map(|permit| match budget.is_overdrawn() {
                true => budget.release_surplus(permit, CPUS).err(),
                false => Some(permit),
            })
            .collect();
    }

    #[test]
    fn callers_of_one_level_share_the_limit() {
        let budget = Budget::new();
        let mut permits = acquire(&budget, MIDDLE, 20);
        assert_eq!((permits.len(), budget.in_use()), (LIMIT, LIMIT));
        assert!(acquire(&budget, LIGHT, 1).is_empty());
        ends_of_chunks(&budget, &mut permits);
        assert_eq!(permits.len(), LIMIT);
        permits.into_iter().for_each(|permit| budget.release(permit));
        assert_eq!(budget.in_use(), 0);
    }

    #[test]
    fn a_heavier_caller_takes_the_place_of_lighter_ones() {
        let budget = Budget::new();
        let mut light = acquire(&budget, LIGHT, 20);
        let mut heavy = acquire(&budget, HEAVY, 3);
        assert_eq!((light.len(), heavy.len(), budget.in_use()), (LIMIT, 3, LIMIT + 3));
        assert!(acquire(&budget, LIGHT, 1).is_empty());
        ends_of_chunks(&budget, &mut heavy);
        ends_of_chunks(&budget, &mut light);
        assert_eq!((light.len(), heavy.len(), budget.in_use()), (LIMIT - 3, 3, LIMIT));
        ends_of_chunks(&budget, &mut light);
        assert_eq!(light.len(), LIMIT - 3);
        assert!(!budget.is_overdrawn(), "helpers look at the counts at every chunk");
        heavy.extend(acquire(&budget, HEAVY, 20));
        assert_eq!(heavy.len(), LIMIT, "heavy callers keep the limit");
        ends_of_chunks(&budget, &mut light);
        assert_eq!((light.len(), budget.in_use()), (0, LIMIT));
    }

    #[test]
    fn the_lightest_leave_first() {
        let budget = Budget::new();
        let (mut middle, mut light) = (acquire(&budget, MIDDLE, 4), acquire(&budget, LIGHT, 4));
        let heavy = acquire(&budget, HEAVY, 6);
        ends_of_chunks(&budget, &mut middle);
        assert_eq!(middle.len(), 4, "lighter helpers are left");
        ends_of_chunks(&budget, &mut light);
        ends_of_chunks(&budget, &mut middle);
        assert_eq!((heavy.len(), middle.len(), light.len(), budget.in_use()), (6, 2, 0, LIMIT));
    }

    #[test]
    fn no_helper_leaves_for_callers_that_are_not_heavier() {
        let budget = Budget::new();
        let mut permits = acquire(&budget, LIGHT, 20);
        budget.set_percent(10).unwrap();
        ends_of_chunks(&budget, &mut permits);
        assert_eq!(permits.len(), LIMIT, "helpers that run go on");
        budget.set_percent(0).unwrap();
        assert!(acquire(&budget, HEAVY, 1).is_empty());
    }

    #[test]
    fn a_small_share_allows_one_helper_on_machines_of_two_cpus() {
        let budget = Budget::new();
        budget.set_percent(10).unwrap();
        assert_eq!([0, 1, 2, 9, 10, 20].map(|cpus| budget.limit(cpus)), [0, 0, 1, 1, 1, 2]);
        budget.set_percent(0).unwrap();
        assert_eq!([2, usize::MAX].map(|cpus| budget.limit(cpus)), [0, 0]);
    }

    #[test]
    fn a_node_has_its_share_and_the_rest_run_anywhere() {
        let budget = Budget::new();
        let cpus = |node: Option<NodeId>| if node.is_some() { 5 } else { CPUS };
        let permits = (0..6).map_while(|_| budget.acquire(MIDDLE, Some(NodeId(1)), cpus)).collect::<Vec<_>>();
        let count = |node| permits.iter().filter(|permit| permit.node == node).count();
        assert_eq!((count(Some(NodeId(1))), count(None)), (4, 2));
        assert_eq!([0, 1, u32::MAX].map(|node| budget.in_use_of_node(NodeId(node))), [0, 4, 0]);
        permits.into_iter().for_each(|permit| budget.release(permit));
        assert_eq!((budget.in_use(), budget.in_use_of_node(NodeId(1))), (0, 0));
    }

    #[test]
    fn a_level_above_the_last_counts_at_the_last() {
        let budget = Budget::new();
        let mut permits = acquire(&budget, u8::MAX, 20);
        assert_eq!(permits.len(), LIMIT);
        assert_eq!(acquire(&budget, LEVELS as u8 - 2, 1).len(), 1, "a heavier caller");
        assert!(acquire(&budget, LEVELS as u8 - 1, 1).is_empty(), "a caller of the same level");
        ends_of_chunks(&budget, &mut permits);
        assert_eq!(permits.len(), LIMIT - 1);
    }

    /// Two helpers that look at the same surplus of one at the same time both come here.
    #[test]
    fn a_count_at_the_limit_stays() {
        let count = AtomicU32::new(LIMIT as u32 + 1);
        let results = [(); 3].map(|()| sub_above(&count, LIMIT));
        assert_eq!((results, count.into_inner()), ([true, false, false], LIMIT as u32));
    }

    #[test]
    fn a_share_out_of_range_is_named() {
        let error = Budget::new().set_percent(101).unwrap_err();
        assert_eq!(std::format!("{error}"), "helper budget of 101 percent: must be 0 to 100");
    }

    /// Callers of two levels acquire and release at the same time: the heavy ones keep the limit among
    /// themselves, and nothing is left in the end.
    #[test]
    fn concurrent_callers_keep_the_limit_of_their_level() {
        const ROUNDS: usize = 20_000;
        let (budget, granted) = (Budget::new(), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for level in [HEAVY, HEAVY, LIGHT, LIGHT] {
                let (budget, granted) = (&budget, &granted);
                let count = move |by: i32| {
                    if level == HEAVY {
                        let now = granted.fetch_add(by as u32, Ordering::SeqCst).wrapping_add(by as u32);
                        assert!(now as usize <= LIMIT, "{now} helpers of heavy callers, at most {LIMIT}");
                    }
                };
                scope.spawn(move || {
                    let mut permits = Vec::new();
                    for round in 0..ROUNDS {
                        let permit = budget.acquire(level, Some(NodeId(round as u32 % 2)), |_| CPUS);
                        permits.extend(permit.inspect(|_| count(1)));
                        ends_of_chunks(budget, &mut permits);
                        let most = if round / 50 % 2 == 0 { 2 } else { LIMIT };
                        while permits.len() > most {
                            count(-1);
                            permits.pop().into_iter().for_each(|permit| budget.release(permit));
                        }
                    }
                    for permit in permits {
                        count(-1);
                        budget.release(permit);
                    }
                });
            }
        });
        let nodes = [0, 1].map(|node| budget.in_use_of_node(NodeId(node)));
        assert_eq!((budget.in_use(), nodes), (0, [0, 0]));
        assert_eq!(sum(&budget.in_use_at), 0);
    }
}
