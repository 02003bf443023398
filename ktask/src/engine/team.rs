//! The helpers of a job, as its caller starts them.

use super::run::Run;
use super::spread;
use crate::platform::{Placement, Platform};
use crate::raw::{CellList, HelperCell, Helpers};
use crate::{HelperId, HelperTask, Stats};

/// Starts the helpers of one run. Only the caller does this, on its own thread, so that the
/// platform can read CPU mask, quota and account from the current thread.
pub(super) struct Team<'t, P: Platform> {
    run: &'t Run<'t, P>,
    helpers: &'t Helpers<'t, P>,
    /// The most helpers at a time.
    max_helpers: usize,
    /// Where the search for an idle cell goes on.
    search: CellList,
    retry: Retry,
}

/// When a helper should begin.
#[derive(Clone, Copy, Debug)]
enum Urgency {
    /// At once: a thread is woken.
    Now,
    /// When a thread happens to look for work.
    Later,
}

impl<'t, P: Platform> Team<'t, P> {
    pub(super) fn new(run: &'t Run<'t, P>, helpers: &'t Helpers<'t, P>, threads: usize) -> Self {
        Self { run, helpers, max_helpers: threads - 1, search: helpers.cells(), retry: Retry::default() }
    }

    /// Brings the team to `threads`, the caller included: starts helpers, or has surplus helpers
    /// leave at their next chunk.
    pub(super) fn set_threads(&mut self, threads: usize, stats: &mut Stats) {
        self.reclaim_lost(stats);
        spread::set_wanted(self.run.cursors, threads);
        self.run.set_target_helpers(threads - 1);
        self.retry = Retry::default();
        if !self.start_wanted() {
            stats.helpers_lost += 1;
        }
    }

    /// Starts helpers in place of those that were refused or lost, if it is time to try again at
    /// `now_ns`.
    pub(super) fn replace_missing(&mut self, now_ns: u64, stats: &mut Stats) {
        let run = self.run;
        if run.running() > run.target_helpers() || run.left() == 0 {
            return;
        }
        if self.retry.is_due(now_ns) {
            self.reclaim_lost(stats);
            self.start_wanted();
            self.retry.postpone(now_ns);
        }
    }

    /// Starts helpers up to the wanted number. Returns false if one could not be started.
    fn start_wanted(&mut self) -> bool {
        let run = self.run;
        if run.helpers_had() < run.target_helpers() {
            spread::begin(run.cursors, run.platform.current_node());
        }
        while run.helpers_had() < run.target_helpers() {
            if !self.start_helper(Urgency::Now) {
                return false;
            }
        }
        true
    }

    /// Offers work to `helpers` helpers. Returns whether the platform takes offers, and this one.
    pub(super) fn offer(&mut self, helpers: usize) -> bool {
        spread::set_wanted(self.run.cursors, helpers + 1);
        spread::begin(self.run.cursors, self.run.platform.current_node());
        self.run.set_target_helpers(helpers);
        (0..helpers).all(|_| self.start_helper(Urgency::Later))
    }

    /// Takes back the offers that no helper has taken.
    pub(super) fn retract_offers(&self) {
        for cell in self.helpers.cells() {
            if self.helpers.revoke(cell) {
                self.count_out(cell);
                drop(self.run.platform.cancel_helper(cell.record.helper()));
            }
        }
    }

    /// Starts one helper. Returns false if there is no free cell, permit or thread.
    fn start_helper(&mut self, urgency: Urgency) -> bool {
        let run = self.run;
        let Some(cell) = self.idle_cell() else { return false };
        let mut node = spread::next_range(run.cursors).and_then(|cursor| cursor.node());
        let mut permit = None;
        if run.plan.threads.is_budgeted() {
            let acquired = run
                .platform
                .budget()
                .acquire(run.platform.caller_level(), node, |node| run.platform.budget_cpus(node));
            let Some(acquired) = acquired else { return false };
            // Where the node's share is used up, a helper on any node is better than none.
            node = acquired.node;
            permit = Some(acquired);
        }
        cell.record.assign(permit);
        run.count_helper_in();
        let (task, placement) = (self.helpers.task(cell), Placement { node });
        let started = match urgency {
            Urgency::Now => self.timed_start(task, placement),
            Urgency::Later => run.platform.offer_helper(task, placement),
        };
        match started {
            Ok(helper) => {
                cell.record.set_helper(helper);
                true
            }
            // The task is dropped after it is revoked, and does not count as lost. A platform that
            // returns another task than it got has started this one.
            Err(_task) => {
                let is_refused = self.helpers.revoke(cell);
                if is_refused {
                    self.count_out(cell);
                }
                !is_refused
            }
        }
    }

    /// Starts a helper and measures what that costs.
    fn timed_start(&self, task: HelperTask<P>, placement: Placement) -> Result<HelperId, HelperTask<P>> {
        let platform = self.run.platform;
        let started_ns = platform.now_ns();
        self.run.note_wake(started_ns);
        let helper = platform.start_helper(task, placement)?;
        platform.wake_cost().note_start(platform.now_ns().saturating_sub(started_ns));
        Ok(helper)
    }

    /// Uncounts helpers whose task the platform has dropped, so that others may be started in
    /// their place.
    pub(super) fn reclaim_lost(&self, stats: &mut Stats) {
        for cell in self.helpers.cells().filter(|cell| cell.take_lost()) {
            stats.helpers_lost += 1;
            self.count_out(cell);
        }
    }

    /// Uncounts the helper of `cell`, which does not begin.
    fn count_out(&self, cell: &HelperCell) {
        self.run.count_helper_out();
        if let Some(permit) = cell.record.take_permit() {
            self.run.platform.budget().release(permit);
        }
    }

    /// Returns a cell for another helper: a new one, or else that of a helper that has ended. A cell
    /// with a failed chunk stays in use: the undo needs the record.
    fn idle_cell(&mut self) -> Option<&'static HelperCell> {
        if self.helpers.len() < self.max_helpers {
            if let Some(cell) = self.helpers.add_cell() {
                return Some(cell);
            }
        }
        let is_usable = |cell: &&HelperCell| cell.is_idle() && cell.record.failed().is_none();
        // From where the last search ended, then from the start.
        if let Some(cell) = self.search.find(is_usable) {
            return Some(cell);
        }
        self.search = self.helpers.cells();
        self.search.find(is_usable)
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
