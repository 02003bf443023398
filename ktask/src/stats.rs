//! Statistics of a job, returned with every result.

/// Statistics of one job, successful or not.
///
/// Reviewers of the kernel versions asked for the total cost of a job, not only for its duration,
/// and got no answer. So each job measures its CPU time and the spread of its finish times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Threads that the work suffices for, within the job's own limit.
    pub threads_asked: u32,
    /// Threads that CPUs and the system's limit allowed, at most `threads_asked`. The helper budget
    /// and the governor may have reduced the number further.
    pub threads_allowed: u32,
    /// Threads that ran at least one chunk, the caller included. A helper that replaces one that
    /// has left counts as the same thread.
    pub threads_used: u32,
    /// Threads that the job had when its caller found no work left, the caller included: the count
    /// that the governor had arrived at. It is below `threads_used` if helpers had been told to leave.
    pub threads_at_end: u32,
    /// Helpers that the budget or the platform refused, or that the platform lost.
    pub helpers_lost: u32,
    /// Helpers that were taken back before they started, because all work was done.
    pub helpers_taken_back: u32,
    /// Units that were completed.
    pub units: u64,
    /// Units that were completed and then undone, because the job failed.
    pub units_undone: u64,
    /// Calls of the thread function.
    pub chunks: u64,
    /// Calls of the thread function by a worker on the node of the units. `None` if the job has no
    /// node ranges, and so nothing to compare.
    pub local_chunks: Option<u64>,
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
}

// Returned by value through several frames, and part of every error.
const _: () = assert!(size_of::<Stats>() <= 128);
