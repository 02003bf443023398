//! The errors of a job.

use core::fmt;

use crate::Stats;

/// The error of a job that did not complete.
///
/// Its text names the chunk that failed, and [`source`](core::error::Error::source) is the thread
/// function's error. The alternate form, `{:#}`, has both: a kernel logs it in one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
    /// `max_chunk` is less than the smallest chunk, which is `min_chunk` rounded up to a multiple
    /// of `align`.
    MaxChunkTooSmall {
        /// The length that was requested.
        max_chunk: u64,
        /// Length of the smallest chunk.
        least: u64,
    },
    /// `align` is 0.
    AlignZero,
    /// `max_threads` is 0.
    MaxThreadsZero,
    /// `threads_exact` is not between 1 and [`MAX_WORKERS`](crate::MAX_WORKERS).
    ThreadsExactOutOfRange {
        /// The number that was requested.
        threads: usize,
    },
    /// Both `threads_exact` and `max_threads` are set, and only one can hold.
    ThreadsExactWithMaxThreads {
        /// The exact number that was requested.
        threads: usize,
        /// The limit that was requested.
        max_threads: usize,
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
    /// A slice has not one element per unit of the job's range.
    SliceLength {
        /// Units of the range, gaps between node ranges included.
        units: u64,
        /// Elements of the slice.
        elements: usize,
    },
    /// The accumulators are too few: with one chunk for each, chunks would exceed `max_chunk`.
    TooFewSlots {
        /// Accumulators that were passed.
        slots: usize,
        /// Accumulators that the job needs at least.
        least: u64,
    },
    /// An ordered job has node ranges, but its chunks form a single sequence.
    OrderedOverNodes,
    /// A search has an undo, but leaves nothing to undo.
    SearchWithUndo,
    /// The caller holds a lock that a thread function of this job is known to take.
    LockHeld {
        /// The lock classes that are held and taken, one bit each.
        locks: u64,
    },
}

impl<E> JobError<E> {
    /// Makes the error of a job that was not started.
    #[cold]
    #[inline(never)]
    pub(crate) fn invalid(invalid: Invalid) -> Self {
        Self { cause: Cause::Invalid(invalid), stats: Stats::default() }
    }
}

impl<E: fmt::Display> fmt::Display for JobError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Cause::Failed { error, start, end } => {
                write!(f, "chunk {start}..{end} failed")?;
                if f.alternate() { write!(f, ": {error:#}") } else { Ok(()) }
            }
            Cause::Cancelled => write!(f, "cancelled after {} units", self.stats.units),
            Cause::DeadlinePassed => {
                write!(f, "deadline passed after {} units", self.stats.units)
            }
            Cause::Invalid(invalid) => invalid.fmt(f),
        }
    }
}

impl<E: core::error::Error + 'static> core::error::Error for JobError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match &self.cause {
            Cause::Failed { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl core::error::Error for Invalid {}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::RangeReversed { start, end } => {
                write!(f, "range {start}..{end}: the end must not be below the start")
            }
            Self::MinChunkZero => write!(f, "min_chunk 0: must be at least 1"),
            Self::MaxChunkTooSmall { max_chunk, least } => {
                write!(f, "max_chunk {max_chunk}: must be at least {least}, the smallest chunk")
            }
            Self::AlignZero => write!(f, "align 0: must be at least 1"),
            Self::MaxThreadsZero => write!(f, "max_threads 0: must be at least 1"),
            Self::ThreadsExactOutOfRange { threads } => {
                write!(f, "threads_exact {threads}: must be 1 to {}", crate::MAX_WORKERS)
            }
            Self::ThreadsExactWithMaxThreads { threads, max_threads } => {
                write!(f, "threads_exact {threads} and max_threads {max_threads}: must be one of the two")
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
            Self::SliceLength { units, elements } => {
                write!(f, "slice of {elements} elements: must be {units}, one per unit of the range")
            }
            Self::TooFewSlots { slots, least } => {
                write!(f, "{slots} accumulators: must be at least {least}, one per chunk")
            }
            Self::OrderedOverNodes => {
                write!(f, "ordered job over node ranges: must be one range, without nodes")
            }
            Self::SearchWithUndo => write!(f, "search with an undo: must be without"),
            Self::LockHeld { locks } => write!(
                f,
                "caller holds locks {locks:#x} that the thread function takes: must be released before the job"
            ),
        }
    }
}
