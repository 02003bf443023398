//! The values that a platform gets for its trace.

/// A job, as a platform gets it when the job starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TracedJob {
    /// The name set by [`Job::name`](crate::Job::name); empty if none was set.
    pub name: &'static str,
    /// First unit of the job.
    pub start: u64,
    /// Number of units of the job.
    pub units: u64,
}

/// A chunk, without the type of its units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TracedChunk {
    /// First unit of the chunk.
    pub start: u64,
    /// One past the last unit of the chunk.
    pub end: u64,
    /// Number of the worker; 0 for the job's caller.
    pub worker: usize,
}

/// The way in which a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TracedEnding {
    /// Every unit was completed.
    Complete,
    /// A chunk failed.
    Failed,
    /// The job was cancelled.
    Cancelled,
    /// The job's deadline passed.
    DeadlinePassed,
}
