//! A parallel-for for kernels.
#![no_std]
#![deny(unsafe_code)]

#[cfg(feature = "std")]
extern crate std;

mod body;
mod budget;
mod cancel;
mod check;
mod chunk;
mod cursor;
mod engine;
mod error;
#[cfg(feature = "std")]
pub mod hosted;
mod job;
mod platform;
mod raw;
#[cfg(feature = "std")]
pub mod sim;
mod stats;
mod sync;
mod tuning;
mod unit;
mod unwind;
mod walk;

pub use budget::{Budget, PercentOutOfRange};
pub use cancel::CancelToken;
pub use chunk::Chunk;
pub use error::{Cause, Invalid, JobError};
pub use job::{Job, NodeRange, Profile, RUNTIME_THREADS};
pub use platform::{HelperContext, HelperId, LockSet, NodeId, Placement, Platform};
pub use raw::HelperTask;
pub use stats::{Stats, Step, Trail};
pub use tuning::Tuning;
pub use unit::{Bytes, HugePages, Items, Pages, Unit};

/// Threads that one job may have at most, its caller included.
pub const MAX_WORKERS: usize = 1024;

/// Node ranges that one job may have at most.
pub const MAX_NODE_RANGES: usize = 64;
