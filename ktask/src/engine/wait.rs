//! Waiting for helpers, once the caller has no chunk left to run.

use super::run::Run;
use crate::Stats;
use crate::platform::Platform;
use crate::raw::Helpers;

/// Returns when every helper has ended. Until then takes back helpers that have not started,
/// runs queued tasks of the job's family, and lends the caller's weight to one running helper.
pub(super) fn until_helpers_ended<P: Platform>(
    run: &Run<'_, P>,
    helpers: &Helpers<'_, P>,
    stats: &mut Stats,
) {
    if helpers.outstanding() == 0 {
        return;
    }
    take_back_queued(run, stats);
    let mut index = 1;
    while helpers.outstanding() != 0 {
        if let Some(task) = run.platform.take_queued(run.family()) {
            task.run();
            continue;
        }
        // Slots before `index` have ended, and no helper is started any more.
        let unfinished = run.slots[index..].iter().position(|slot| slot.unfinished().is_some());
        let Some(steps) = unfinished else {
            // The remaining tasks have ended, or the platform dropped them; their tickets are
            // about to be dropped.
            run.platform.park(None);
            continue;
        };
        index += steps;
        lend_until_ended(run, helpers, index);
    }
}

/// Lends the caller's weight to the helper in slot `index` until this helper, or every helper,
/// has ended.
fn lend_until_ended<P: Platform>(run: &Run<'_, P>, helpers: &Helpers<'_, P>, index: usize) {
    // Store then load, see `Lending`: first `set_borrower`, then `unfinished`.
    run.lending.set_borrower(index);
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
    run.lending.set_borrower(0);
}

/// Takes back every helper that has not started.
fn take_back_queued<P: Platform>(run: &Run<'_, P>, stats: &mut Stats) {
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
