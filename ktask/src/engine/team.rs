//! The helpers of a job, as its caller starts them.

use super::run::Run;
use crate::cursor::Cursor;
use crate::platform::{HelperTask, Placement, Platform};
use crate::raw::Helpers;
use crate::{NodeId, Stats};

/// Starts the helpers of one run. Only the caller does this, on its own thread, so that the
/// platform can read CPU mask, quota and account from the current thread.
pub(super) struct Team<'t, P: Platform> {
    run: &'t Run<'t, P>,
    helpers: &'t Helpers<'t, P>,
    /// Slot at which the search for a free slot begins.
    next_slot: usize,
    was_refused: bool,
}

impl<'t, P: Platform> Team<'t, P> {
    pub(super) fn new(run: &'t Run<'t, P>, helpers: &'t Helpers<'t, P>) -> Self {
        Self { run, helpers, next_slot: 1, was_refused: false }
    }

    /// Brings the team to `threads`, the caller included: starts helpers, or has surplus helpers
    /// leave at their next chunk.
    pub(super) fn set_threads(&mut self, threads: usize, stats: &mut Stats) {
        self.run.set_target_helpers(threads - 1);
        while self.run.helpers() < threads - 1 {
            if !self.start_helper() {
                self.was_refused = true;
                stats.helpers_lost += 1;
                break;
            }
        }
    }

    /// Returns whether a helper could not be started at any time of this run.
    pub(super) fn was_refused(&self) -> bool {
        self.was_refused
    }

    /// Starts one helper. Returns false if there is no free slot, permit or thread.
    fn start_helper(&mut self) -> bool {
        let run = self.run;
        let Some(index) = self.free_slot() else { return false };
        let mut node = self.node_for(index);
        let mut permit = None;
        if run.plan.threads.is_budgeted() {
            let cpus_of_node = |node| run.platform.online_cpus_of_node(node);
            let acquired = run.platform.budget().acquire(run.platform.online_cpus(), node, cpus_of_node);
            let Some(acquired) = acquired else { return false };
            // Where the node's share is used up, a helper on any node is better than none.
            node = acquired.node;
            permit = Some(acquired);
        }
        let slot = &run.slots[index];
        slot.assign(permit);
        run.count_helper_in();
        match run.platform.start_helper(HelperTask::new(self.helpers.task(index as u32)), Placement { node })
        {
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

    /// Returns the node for the helper in slot `index`.
    ///
    /// The units left of all ranges, laid end to end, are divided into an equal part per slot.
    /// The node is that of the range in which the slot's part begins.
    fn node_for(&self, index: usize) -> Option<NodeId> {
        let cursors = self.run.cursors;
        let all: u64 = cursors.iter().map(Cursor::left).sum();
        let slots = self.run.slots.len() as u64;
        let mut offset = (u128::from(all) * index as u128 / u128::from(slots)) as u64;
        for cursor in cursors {
            let left = cursor.left();
            if offset < left {
                return cursor.node();
            }
            offset -= left;
        }
        None
    }
}
