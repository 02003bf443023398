//! The helpers of a job, as its caller starts them.

use super::run::Run;
use super::spread;
use crate::cursor::Cursor;
use crate::platform::{Placement, Platform};
use crate::raw::Helpers;
use crate::Stats;

/// Starts the helpers of one run. Only the caller does this, on its own thread, so that the
/// platform can read CPU mask, quota and account from the current thread.
pub(super) struct Team<'t, P: Platform> {
    run: &'t Run<'t, P>,
    helpers: &'t Helpers<'t, P>,
    /// Slot at which the search for a free slot begins.
    next_slot: usize,
    retry: Retry,
}

impl<'t, P: Platform> Team<'t, P> {
    pub(super) fn new(run: &'t Run<'t, P>, helpers: &'t Helpers<'t, P>) -> Self {
        Self { run, helpers, next_slot: 1, retry: Retry::default() }
    }

    /// Brings the team to `threads`, the caller included: starts helpers, or has surplus helpers
    /// leave at their next chunk.
    pub(super) fn set_threads(&mut self, threads: usize, stats: &mut Stats) {
        spread::set_wanted(self.run.cursors, threads);
        self.run.set_target_helpers(threads - 1);
        self.retry = Retry::default();
        if !self.start_wanted() {
            stats.helpers_lost += 1;
        }
    }

    /// Starts helpers in place of those that were refused or dropped, if it is time to try again.
    pub(super) fn replace_missing(&mut self) {
        let run = self.run;
        for _ in 0..run.lost(self.helpers.outstanding()) {
            run.count_helper_out();
        }
        if run.helpers() >= run.target_helpers() || run.left() == 0 {
            return;
        }
        let now_ns = run.platform.now_ns();
        if self.retry.is_due(now_ns) && !self.start_wanted() {
            self.retry.postpone(now_ns);
        }
    }

    /// Starts helpers up to the wanted number. Returns false if one could not be started.
    fn start_wanted(&mut self) -> bool {
        let run = self.run;
        if run.helpers() < run.target_helpers() {
            spread::begin(run.cursors, run.platform.current_node());
        }
        while run.helpers() < run.target_helpers() {
            if !self.start_helper() {
                return false;
            }
        }
        true
    }

    /// Starts one helper. Returns false if there is no free slot, permit or thread.
    fn start_helper(&mut self) -> bool {
        let run = self.run;
        let Some(index) = self.free_slot() else { return false };
        let mut node = spread::next_range(run.cursors).and_then(Cursor::node);
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
}

/// When a helper that could not be started is asked for again.
#[derive(Clone, Copy, Default)]
struct Retry {
    at_ns: u64,
    pause_ns: u64,
}

/// The first pause after a helper could not be started. Asking costs about a microsecond.
const FIRST_PAUSE_NS: u64 = 100_000;

/// The longest pause.
const LONGEST_PAUSE_NS: u64 = 10_000_000;

impl Retry {
    fn is_due(&self, now_ns: u64) -> bool {
        now_ns >= self.at_ns
    }

    fn postpone(&mut self, now_ns: u64) {
        self.pause_ns = (self.pause_ns * 2).clamp(FIRST_PAUSE_NS, LONGEST_PAUSE_NS);
        self.at_ns = now_ns.saturating_add(self.pause_ns);
    }
}
