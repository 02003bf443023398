//! What a job did, told with every result.

/// What a job did, successful or not.
///
/// Reviewers of the kernel versions asked what a job costs in all, not only how soon it
/// ends, and got no answer; so CPU time and the spread of the finish times are
/// measured each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Threads that the work is enough for, within the job's own limit.
    pub threads_asked: usize,
    /// Threads that CPUs and the system's knob left of them. The helper budget and the governor
    /// may have used fewer.
    pub threads_allowed: usize,
    /// Threads that ran at least one chunk, the caller included. A helper that takes the place
    /// of one that was given back counts as the same.
    pub threads_used: usize,
    /// Helpers that the budget or the platform refused, and those that the platform lost.
    pub helpers_lost: usize,
    /// Helpers that were taken back before they started, because the work was done.
    pub helpers_taken_back: usize,
    /// Units that were completed.
    pub units: u64,
    /// Units that were completed and then undone, because the job failed.
    pub units_undone: u64,
    /// Calls of the thread function.
    pub chunks: u64,
    /// Those of them whose worker ran on the node of the units.
    pub local_chunks: u64,
    /// Wall time from the start of the job to the last helper's end, in nanoseconds.
    pub wall_ns: u64,
    /// CPU time of all workers together, in nanoseconds.
    pub cpu_ns: u64,
    /// Time between the first and the last worker's last chunk ending, in nanoseconds,
    /// over workers that ended because the work ran out.
    pub spread_ns: u64,
    /// What the governor tried, in order.
    pub trail: Trail,
}

/// Steps that a [`Trail`] has room for.
const TRAIL_STEPS: usize = 24;

/// The governor's decisions, in order. Of a long job the first ones are kept.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Trail {
    steps: [Step; TRAIL_STEPS],
    taken: usize,
}

/// One decision of the governor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// When, in nanoseconds since the start of the job.
    pub at_ns: u64,
    /// Threads up to then.
    pub threads: usize,
    /// Units per second that they were measured at.
    pub units_per_s: u64,
    /// Threads from then on.
    pub next_threads: usize,
}

impl Trail {
    /// The steps that were kept.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps[..self.taken.min(TRAIL_STEPS)]
    }

    /// How many steps there were, kept or not.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken
    }

    pub(crate) fn push(&mut self, step: Step) {
        if let Some(slot) = self.steps.get_mut(self.taken) {
            *slot = step;
        }
        self.taken += 1;
    }
}

impl core::fmt::Debug for Trail {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.steps()).finish()
    }
}
