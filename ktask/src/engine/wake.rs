//! Decides when a job's helpers are started: work first, wake later.
//!
//! Waking a helper takes microseconds, and tens of them in a kernel; a small job takes less. So a job
//! begins on its caller. The caller runs its first chunks, and starts helpers when the rest, at the rate
//! of these chunks, is worth more than a wake-up ([`WakeCost`](crate::WakeCost)).
//!
//! A first chunk can be long. So the job also *offers* work to helpers
//! ([`Platform::offer_helper`]): no thread is woken for it, but one that looks for work now and then
//! comes if the caller is not done by then. This is the heartbeat of Acar and others (2018), beaten by
//! an idle thread. On a platform that cannot do this, a job of few chunks starts its helpers at once.

use super::run::Run;
use super::team::Team;
use crate::Stats;
use crate::platform::Platform;

/// Smallest chunks per helper from which the caller's first chunk is less than a hundredth of the job,
/// as measured in time on all threads.
const CHUNKS_TO_RUN_FIRST: u64 = 100;

/// Whether the helpers of a job are started, and if not, from when on they are worth it.
pub(super) struct Wake {
    has_started: bool,
    /// Time on one thread from which the rest of the job is worth helpers.
    worth_ns: u64,
}

impl Wake {
    /// Begins a job that should have `threads` threads first. Offers work to helpers, or starts them at
    /// once.
    pub(super) fn begin<P: Platform>(
        run: &Run<'_, P>,
        team: &mut Team<'_, P>,
        threads: usize,
        stats: &mut Stats,
    ) -> Self {
        let mut wake = Self { has_started: false, worth_ns: run.platform.wake_cost().worth_ns() };
        let helpers = threads - 1;
        let has_few_chunks = run.plan.smallest_chunks() / CHUNKS_TO_RUN_FIRST < helpers as u64;
        // An exact number of threads is for measurements: it includes what it takes to start them.
        let at_once = run.plan.threads.is_exact()
            || run.plan.starts_at_once
            // With few chunks, any of which may be long, all helpers must come before the caller is done with
            // its first.
            || (!team.offer(if has_few_chunks { helpers } else { helpers.min(1) }) && has_few_chunks);
        if at_once {
            wake.start(team, threads, stats);
        }
        wake
    }

    /// Returns whether helpers are started. If not, starts helpers for `threads` threads if the rest is
    /// worth it. The caller calls this between two of its chunks, the last of which ended at `now_ns`.
    pub(super) fn tick<P: Platform>(
        &mut self,
        run: &Run<'_, P>,
        team: &mut Team<'_, P>,
        threads: usize,
        now_ns: u64,
        stats: &mut Stats,
    ) -> bool {
        if !self.has_started && (run.has_helper() || self.is_worth(run, now_ns)) {
            self.start(team, threads, stats);
        }
        self.has_started
    }

    /// Returns whether helpers are started.
    pub(super) fn has_started(&self) -> bool {
        self.has_started
    }

    fn start<P: Platform>(&mut self, team: &mut Team<'_, P>, threads: usize, stats: &mut Stats) {
        self.has_started = true;
        team.retract_offers();
        team.set_threads(threads, stats);
    }

    /// Returns whether the rest of the job, at the caller's rate so far, takes longer than a wake-up is
    /// worth.
    fn is_worth<P: Platform>(&self, run: &Run<'_, P>, now_ns: u64) -> bool {
        let left = run.left();
        let done = run.plan.units - left;
        if done == 0 {
            return false;
        }
        let elapsed_ns = now_ns.saturating_sub(run.started_ns);
        u128::from(elapsed_ns) * u128::from(left) > u128::from(self.worth_ns) * u128::from(done)
    }
}
