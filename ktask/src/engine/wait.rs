//! Waiting for helpers, once the caller has no chunk left to run.

use super::run::Run;
use crate::Stats;
use crate::platform::Platform;
use crate::raw::{HelperCell, Helpers};

/// Returns when every helper has ended, and whether that took a wait. Takes back helpers that have not
/// begun, and lends the caller's weight to one running helper after the other.
///
/// The caller runs no queued helper task meanwhile. A task of another job could take a lock that the
/// caller holds, and one of a nested job is void by the time that the job's own caller is done.
pub(super) fn until_helpers_ended<P: Platform>(
    run: &Run<'_, P>,
    helpers: &Helpers<'_, P>,
    stats: &mut Stats,
) -> bool {
    // All are revoked first, so that none begins while the caller waits for another.
    for cell in helpers.cells() {
        if helpers.revoke(cell) {
            stats.helpers_taken_back += 1;
            release_permit(run, cell);
            // The task is void. A platform that can gives its place in a queue to another.
            drop(run.platform.cancel_helper(cell.record.helper()));
        } else if cell.take_lost() {
            stats.helpers_lost += 1;
            release_permit(run, cell);
        }
    }
    let mut has_waited = false;
    for cell in helpers.cells().filter(|cell| helpers.is_running(cell)) {
        has_waited = true;
        // One helper at a time, as in the fourth posted version: a thread that lent its weight to all
        // helpers would count many times over.
        let helper = cell.record.helper();
        run.platform.lend_weight(helper, true);
        helpers.await_end(cell);
        run.platform.lend_weight(helper, false);
    }
    has_waited
}

fn release_permit<P: Platform>(run: &Run<'_, P>, cell: &HelperCell) {
    if let Some(permit) = cell.record.take_permit() {
        run.platform.budget().release(permit);
    }
}
