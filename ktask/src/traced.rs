//! What a platform that traces is told.

/// A job that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TracedJob {
    /// What the job calls itself ([`Job::name`](crate::Job::name)); empty where it does not.
    pub name: &'static str,
    /// Its first unit.
    pub start: u64,
    /// How many units it is to do.
    pub units: u64,
}

/// A chunk, without the type of its units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TracedChunk {
    /// Its first unit.
    pub start: u64,
    /// One past its last unit.
    pub end: u64,
    /// Number of the worker: 0 is the job's caller.
    pub worker: usize,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TracedEnding {
    /// Every unit was done.
    Complete,
    /// A chunk failed.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// Its deadline had passed.
    DeadlinePassed,
}
