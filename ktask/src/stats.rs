//! Statistics of a job, returned with every result.

/// Statistics of one job, successful or not.
///
/// Reviewers of the kernel versions asked for the total cost of a job, not only for its duration,
/// and got no answer. So each job measures its CPU time and the spread of its finish times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Threads that the work suffices for, within the job's own limit.
    pub threads_asked: usize,
    /// Threads that CPUs and the system's limit allowed, at most `threads_asked`. The helper budget
    /// and the governor may have reduced the number further.
    pub threads_allowed: usize,
    /// Threads that ran at least one chunk, the caller included. A helper that replaces one that
    /// has left counts as the same thread.
    pub threads_used: usize,
    /// Helpers that the budget or the platform refused, or that the platform lost.
    pub helpers_lost: usize,
    /// Helpers that were taken back before they started, because all work was done.
    pub helpers_taken_back: usize,
    /// Units that were completed.
    pub units: u64,
    /// Units that were completed and then undone, because the job failed.
    pub units_undone: u64,
    /// Calls of the thread function.
    pub chunks: u64,
    /// Calls of the thread function by a worker on the node of the units.
    pub local_chunks: u64,
    /// Wall time from the start of the job to the end of the last helper, in nanoseconds.
    pub wall_ns: u64,
    /// CPU time of all workers together, in nanoseconds.
    ///
    /// Where reading a thread's CPU time is slow, wall time stands for it in short jobs: see
    /// [`Platform::thread_time_is_cheap`](crate::Platform::thread_time_is_cheap).
    pub cpu_ns: u64,
    /// Time from the first to the last finish of a worker, in nanoseconds. A worker's finish is the
    /// end of its last chunk; only workers that ended because no work was left count.
    pub spread_ns: u64,
    /// The governor's decisions, in order.
    pub trail: Trail,
}

/// The number of steps that a [`Trail`] keeps.
const TRAIL_STEPS: usize = 24;

/// The governor's decisions, in order. The trail of a long job keeps the first ones.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Trail {
    steps: [Step; TRAIL_STEPS],
    taken: usize,
}

/// One decision of the governor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// Time of the decision, in nanoseconds since the start of the job.
    pub at_ns: u64,
    /// Threads before the decision.
    pub threads: usize,
    /// Measured rate of these threads, in units per second.
    pub units_per_s: u64,
    /// Threads after the decision.
    pub next_threads: usize,
}

impl Trail {
    /// Returns the steps that were kept.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps[..self.taken.min(TRAIL_STEPS)]
    }

    /// Returns the number of steps, kept or not.
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
