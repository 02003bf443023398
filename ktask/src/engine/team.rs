//! The caller's book of its helpers.

use super::parallel::Run;
use crate::cursor::Cursor;
use crate::platform::{Placement, Platform};
use crate::raw::Helpers;
use crate::{NodeId, Stats};

/// Starts helpers for one run. Only the caller does, on its own thread, so that the
/// platform can take mask, quota and account from it.
pub(super) struct Team<'c, P: Platform> {
    run: &'c Run<'c, P>,
    helpers: &'c Helpers<'c, P>,
    next_slot: usize,
    was_refused: bool,
}

impl<'c, P: Platform> Team<'c, P> {
    pub(super) fn new(run: &'c Run<'c, P>, helpers: &'c Helpers<'c, P>) -> Self {
        Self { run, helpers, next_slot: 1, was_refused: false }
    }

    /// Sees to it that there are `threads`, the caller included: starts helpers, or lets
    /// those that are too many leave at their next chunk.
    pub(super) fn set_threads(&mut self, threads: usize, stats: &mut Stats) {
        self.run.set_wanted(threads - 1);
        while self.run.helping() < threads - 1 {
            if !self.start_one() {
                self.was_refused = true;
                stats.helpers_lost += 1;
                break;
            }
        }
    }

    /// Whether a helper was not to be had, ever.
    pub(super) fn was_refused(&self) -> bool {
        self.was_refused
    }

    /// Starts one helper; false when there is no slot, no budget or no thread for it.
    fn start_one(&mut self) -> bool {
        let run = self.run;
        let Some(index) = self.free_slot() else { return false };
        let mut node = self.neediest_node(index);
        let mut permit = None;
        if run.plan.threads.is_budgeted() {
            let Some(taken) = run.platform.budget().acquire(run.platform, node) else { return false };
            // Where the node's own share is used up, anywhere is better than not at all.
            node = taken.node;
            permit = Some(taken);
        }
        let slot = &run.slots[index];
        slot.take(permit);
        run.count_helper_in();
        match run.platform.start_helper(self.helpers.task(index as u32), Placement { node }) {
            Ok(helper) => {
                slot.set_helper(helper);
                true
            }
            Err(task) => {
                drop(task);
                run.count_helper_out();
                if let Some(permit) = slot.vacate() {
                    run.platform.budget().release(permit);
                }
                false
            }
        }
    }

    fn free_slot(&mut self) -> Option<usize> {
        let count = self.run.slots.len() - 1;
        let found = (0..count)
            .map(|step| 1 + (self.next_slot - 1 + step) % count)
            .find(|&index| self.run.slots[index].is_free())?;
        self.next_slot = 1 + found % count;
        Some(found)
    }

    /// The node that helper number `index` is best used on: in turn, by units left.
    fn neediest_node(&self, index: usize) -> Option<NodeId> {
        let cursors = self.run.cursors;
        let all: u64 = cursors.iter().map(Cursor::left).sum();
        // The point in what is left that is this helper's when all slots get an equal share.
        let slots = self.run.slots.len() as u64;
        let mut point = (u128::from(all) * index as u128 / u128::from(slots)) as u64;
        for cursor in cursors {
            let left = cursor.left();
            if point < left {
                return cursor.node();
            }
            point -= left;
        }
        None
    }
}
