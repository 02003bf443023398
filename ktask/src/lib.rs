//! A parallel-for made for kernels.
//!
//! A kernel has loops over millions of things: pages to zero, page descriptors to set up, huge
//! pages to reserve. `ktask` runs such a loop on as many CPUs as pay and no more, without
//! taking from others what they need. It is `no_std`, allocates nothing, depends on
//! nothing, and asks of a kernel one trait with seven methods. Programs can use it too:
//! the feature `std` brings a ready platform on threads.
//!
//! ```
//! use ktask::{Job, Pages, hosted::Hosted};
//!
//! let platform = Hosted::new();
//! let stats = Job::new(Pages::new(0)..Pages::new(262_144))
//!     .min_chunk(Pages::new(512))
//!     .run(&platform, |chunk| {
//!         for _page in chunk.indices() { /* zero it */ }
//!         Ok::<(), std::convert::Infallible>(())
//!     })
//!     .unwrap();
//! assert_eq!(stats.units, 262_144);
//! println!("{} threads, {} ns", stats.threads_used, stats.wall_ns);
//! ```
//!
//! # The contract
//!
//! **Every unit of the range is handed to the thread function exactly once, in exactly one
//! chunk, unless the job ends early; and no call of it outlives [`Job::run`].**
//!
//! # Words
//!
//! A [`Job`] is a range of *units*, cut into *chunks* ([`Chunk`]). The *thread function* is
//! called with one chunk at a time, by several *workers*: the *caller*, which is whoever
//! called `run`, and *helpers*, threads that the [`Platform`] lends.
//!
//! # What a job does
//!
//! *It counts in types.* [`Pages`], [`HugePages`], [`Bytes`], [`Items`] or your own ([`unit!`]):
//! a size in bytes where pages are counted does not compile.
//!
//! *It starts helpers if they pay.* Their number is bounded by the work, the CPUs that the caller
//! may use, the job, the system's knob and the system's [`Budget`]; and within these a
//! governor measures while the job runs and gives back what does not speed it up. A
//! [`Profile`] says how far a job may go. A helper that is not to be had costs speed, never
//! an error. With one thread, a job is a plain call.
//!
//! *It goes to the memory.* [`NodeRange`]s say which node has which units; helpers work on their
//! own node's first and then go to the nearest that has work.
//!
//! *It ends together.* Chunks shrink towards the minimum at the end of a range, and follow
//! the speed of the thread that works on them.
//!
//! *It fails cleanly.* The first error wins, the others stop at their next chunk, and exactly
//! the completed units are handed to the undo. Cancelling ([`CancelToken`]) and deadlines are
//! the same path. A panic reaches the caller after the join (with `std`).
//!
//! *It is a good neighbour.* Helpers have the lowest weight; a caller with nothing left to do
//! takes back helpers that have not started and lends its weight to one that is at work; their
//! CPU time is charged to it.
//!
//! *It nests.* A thread function may run jobs. They cannot block one another, because a caller
//! waits only for helpers that are at work. A deadlock over a lock that the caller holds and
//! the thread function takes is reported ([`Job::takes_locks`], [`LockSet`]).
//!
//! *It tells what it did.* [`Stats`] come with every result, errors included.
//!
//! # Where the ideas come from
//!
//! From the kernel patches that this crate is named after and what their reviewers asked for:
//! the caller that works too, chunks handed out under self-scheduling, ranges per node, the
//! budget of 80 percent, undo, weight lent to one helper at a time. From padata: chunk ends at
//! absolute positions. From OpenMP's guided schedule: shrinking chunks. From rayon and TBB:
//! panics that reach the caller, waiters that help. New are the typed units, the
//! governor, and a hand-over to helpers that needs no allocation and is proved (see
//! [`HelperTask`]).
//!
//! # Features
//!
//! * `std` (off by default): the platforms `hosted` and `sim`, and panics carried to the caller.
#![no_std]
#![deny(unsafe_code)]

#[cfg(feature = "std")]
extern crate std;

mod body;
mod budget;
mod cancel;
mod chunk;
mod cursor;
mod engine;
mod error;
#[cfg(feature = "std")]
pub mod hosted;
mod job;
mod node;
mod platform;
mod raw;
mod shape;
#[cfg(feature = "std")]
pub mod sim;
mod stats;
mod sync;
mod traced;
mod tuning;
mod unit;
mod unwind;
mod walk;

pub use budget::{Budget, PercentOutOfRange};
pub use cancel::CancelToken;
pub use chunk::Chunk;
pub use error::{Cause, Invalid, JobError};
pub use job::{Job, Profile, RUNTIME_THREADS};
pub use node::{NodeId, NodeRange};
pub use platform::{HelperContext, HelperId, LockSet, Placement, Platform};
pub use raw::HelperTask;
pub use stats::{Stats, Step, Trail};
pub use traced::{TracedChunk, TracedEnding, TracedJob};
pub use tuning::Tuning;
pub use unit::{Bytes, HugePages, Items, Pages, Unit};

/// Threads that one job may have at most, its caller included.
pub const MAX_WORKERS: usize = 1024;

/// Node ranges that one job may have at most.
pub const MAX_NODE_RANGES: usize = 64;
