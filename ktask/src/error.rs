//! The errors of a job.

use core::fmt;

use crate::Stats;

/// The error of a job that did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobError<E> {
    /// The cause.
    pub cause: Cause<E>,
    /// Statistics of what was done and undone.
    pub stats: Stats,
}

// No `clippy::result_large_err` in a client's code.
const _: () = assert!(size_of::<JobError<u64>>() <= 128);

/// The reason why a job did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause<E> {
    /// The thread function returned an error. It is the first error of all workers.
    Failed {
        /// The error.
        error: E,
        /// First unit of the chunk that failed.
        start: u64,
        /// One past the chunk's last unit.
        end: u64,
    },
    /// The job's [`CancelToken`](crate::CancelToken) was cancelled.
    Cancelled,
    /// The job's deadline passed before its end.
    DeadlinePassed,
    /// The job's description is invalid; nothing was started.
    Invalid(Invalid),
}

/// The defect of a job's description. Numbers are in the job's unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invalid {
    /// The range ends before it starts.
    RangeReversed {
        /// Start of the range.
        start: u64,
        /// End of the range.
        end: u64,
    },
    /// `min_chunk` is 0.
    MinChunkZero,
    /// `align` is 0.
    AlignZero,
    /// `max_threads` is 0.
    MaxThreadsZero,
    /// `threads_exact` is not between 1 and [`MAX_WORKERS`](crate::MAX_WORKERS).
    ThreadsExactOutOfRange {
        /// The number that was requested.
        threads: usize,
    },
    /// More node ranges than [`MAX_NODE_RANGES`](crate::MAX_NODE_RANGES).
    TooManyNodeRanges {
        /// Number of node ranges.
        ranges: usize,
    },
    /// A node range names a node that the platform does not have.
    NoSuchNode {
        /// Index of the node range.
        index: usize,
        /// The node that it names.
        node: u32,
        /// Number of the platform's nodes.
        nodes: usize,
    },
    /// A node range ends before it starts.
    NodeRangeReversed {
        /// Index of the node range.
        index: usize,
        /// Start of the node range.
        start: u64,
        /// End of the node range.
        end: u64,
    },
    /// A node range is not within the job's range.
    NodeRangeOutside {
        /// Index of the node range.
        index: usize,
        /// Start of the node range.
        start: u64,
        /// End of the node range.
        end: u64,
    },
    /// Two node ranges share units, which would be handed out twice.
    NodeRangesOverlap {
        /// Index of one of the two.
        index: usize,
        /// Index of the other.
        other: usize,
    },
    /// The node ranges leave out a part of the job's range, which would never be handed out.
    NodeRangesLeaveGap {
        /// Units of the job's range.
        units: u64,
        /// Units of all node ranges together.
        covered: u64,
    },
    /// A walk has node ranges, but its positions form a single sequence.
    WalkOverNodes,
    /// The caller holds a lock that a thread function of this job is known to take.
    LockHeld {
        /// The lock classes that are held and taken, one bit each.
        locks: u64,
    },
}

impl<E> JobError<E> {
    /// Makes the error of a job that was not started.
    pub(crate) fn invalid(invalid: Invalid) -> Self {
        Self { cause: Cause::Invalid(invalid), stats: Stats::default() }
    }
}

impl<E: fmt::Display> fmt::Display for JobError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Failed { error, start, end } => write!(f, "chunk {start}..{end} failed: {error}"),
            Cause::Cancelled => write!(f, "cancelled after {} units", self.stats.units),
            Cause::DeadlinePassed => {
                write!(f, "deadline passed after {} units", self.stats.units)
            }
            Cause::Invalid(invalid) => invalid.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for JobError<E> {}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::RangeReversed { start, end } => {
                write!(f, "range {start}..{end}: the end must not be below the start")
            }
            Self::MinChunkZero => write!(f, "min_chunk 0: must be at least 1"),
            Self::AlignZero => write!(f, "align 0: must be at least 1"),
            Self::MaxThreadsZero => write!(f, "max_threads 0: must be at least 1"),
            Self::ThreadsExactOutOfRange { threads } => {
                write!(f, "threads_exact {threads}: must be 1 to {}", crate::MAX_WORKERS)
            }
            Self::TooManyNodeRanges { ranges } => {
                write!(f, "{ranges} node ranges: must be at most {}", crate::MAX_NODE_RANGES)
            }
            Self::NoSuchNode { index, node, nodes } => {
                write!(f, "node range {index} names node {node}: must be 0 to {}", nodes - 1)
            }
            Self::NodeRangeReversed { index, start, end } => {
                write!(f, "node range {index}, {start}..{end}: the end must not be below the start")
            }
            Self::NodeRangeOutside { index, start, end } => {
                write!(f, "node range {index}, {start}..{end}: must lie within the job's range")
            }
            Self::NodeRangesOverlap { index, other } => {
                write!(f, "node ranges {index} and {other} overlap: must share no unit")
            }
            Self::NodeRangesLeaveGap { units, covered } => {
                write!(f, "node ranges cover {covered} of {units} units: must cover each once")
            }
            Self::WalkOverNodes => write!(f, "walk over node ranges: must be one range, without nodes"),
            Self::LockHeld { locks } => write!(
                f,
                "caller holds locks {locks:#x} that the thread function takes: must be released before the job"
            ),
        }
    }
}
