//! Sizes that are fixed when the crate is built.

/// The largest number of threads of one job, its caller included.
pub const MAX_WORKERS: usize = 1024;

/// The largest number of node ranges of one job.
pub const MAX_NODE_RANGES: usize = 64;
