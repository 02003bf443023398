//! What the caller does when nothing is left for it but to wait.

use super::parallel::Run;
use crate::Stats;
use crate::platform::Platform;
use crate::raw::Helpers;
use crate::sync::{AtomicUsize, Ordering};

/// To which helper the caller lends its weight, and how that helper tells that it ended.
///
/// One at a time, as the fourth posted version does it: a waiting thread that lent its
/// weight to all of them would count many times over.
pub(super) struct Lending<P: Platform> {
    caller: P::Thread,
    /// WorkerSlot of the helper; 0, which is the caller's own, for none.
    to: AtomicUsize,
}

impl<P: Platform> Lending<P> {
    /// For the calling thread.
    pub(super) fn new(platform: &P) -> Self {
        Self { caller: platform.current_thread(), to: AtomicUsize::new(0) }
    }

    /// Helper: its time goes to the caller's account.
    pub(super) fn charge(&self, platform: &P, cpu_ns: u64) {
        platform.charge(&self.caller, cpu_ns);
    }

    /// Helper in slot `index`, after `WorkerSlot::finish`: the caller must choose another one
    /// if it lends to this one.
    pub(super) fn helper_ended(&self, platform: &P, index: usize) {
        // SeqCst: after the store in `WorkerSlot::finish` in the one order of all such accesses.
        // Either this load sees what the caller stored in `to`, and wakes it; or the
        // caller's look at the slot after that store sees that the helper has ended.
        if self.to.load(Ordering::SeqCst) == index {
            platform.unpark(&self.caller);
        }
    }
}

/// Returns when every helper has ended. Takes back those that have not begun, runs queued
/// tasks of the family, lends its weight to one that is at work.
pub(super) fn until_helpers_ended<P: Platform>(
    run: &Run<'_, P>,
    helpers: &Helpers<'_, P>,
    stats: &mut Stats,
) {
    if helpers.outstanding() == 0 {
        return;
    }
    take_back(run, stats);
    let mut index = 1;
    while helpers.outstanding() != 0 {
        if let Some(task) = run.platform.take_queued(run.family()) {
            task.run();
            continue;
        }
        // Slots before `index` have ended; nobody starts helpers any more.
        let helper = run.slots[index..].iter().position(|slot| slot.unfinished().is_some());
        let Some(steps) = helper else {
            // All have ended, or were dropped by the platform, and are about to sign off.
            run.platform.park(None);
            continue;
        };
        index += steps;
        lend(run, helpers, index);
    }
}

/// Lends to the helper in slot `index` until it has ended, or all have.
fn lend<P: Platform>(run: &Run<'_, P>, helpers: &Helpers<'_, P>, index: usize) {
    // SeqCst: see `Lending::helper_ended`.
    run.lending.to.store(index, Ordering::SeqCst);
    if let Some(helper) = run.slots[index].unfinished() {
        run.platform.lend_weight(helper, true);
        while helpers.outstanding() != 0 && run.slots[index].unfinished().is_some() {
            run.platform.park(None);
            if let Some(task) = run.platform.take_queued(run.family()) {
                task.run();
            }
        }
        run.platform.lend_weight(helper, false);
    }
    run.lending.to.store(0, Ordering::SeqCst);
}

/// Takes back every helper that has not begun.
fn take_back<P: Platform>(run: &Run<'_, P>, stats: &mut Stats) {
    for slot in &run.slots[1..] {
        if let Some(helper) = slot.unfinished()
            && let Some(task) = run.platform.cancel_helper(helper)
        {
            drop(task);
            stats.helpers_taken_back += 1;
            if let Some(permit) = slot.vacate() {
                run.platform.budget().release(permit);
            }
        }
    }
}
