//! A parallel-for made for kernels.
//!
//! A kernel has loops over millions of items: pages to zero, page descriptors to set up, huge
//! pages to reserve. `ktask` runs such a loop on as many CPUs as speed it up and no more, and
//! leaves other threads their share of the machine. It is `no_std`, has no dependencies and never
//! allocates. A kernel implements one trait, of which six methods and one type have no default.
//! Programs can use it too: the feature `std` brings a platform on standard threads.
//!
#![cfg_attr(feature = "std", doc = "```")]
#![cfg_attr(not(feature = "std"), doc = "```ignore")]
//! use ktask::{Job, Pages, hosted::Hosted};
//!
//! let platform = Hosted::new();
//! let stats = Job::new(Pages::new(0)..Pages::new(262_144))
//!     .min_chunk(Pages::new(512))
//!     .run(&platform, |chunk| {
//!         for _page in chunk.indices() { /* zero it */ }
//!     })
//!     .unwrap();
//! assert_eq!(stats.units, 262_144);
//! println!("{} threads, {} ns", stats.threads_used, stats.wall_ns);
//! ```
//!
//! # The contract
//!
//! **Every unit of the range is handed to the thread function exactly once, in exactly one
//! chunk, unless the job ends early; and no call of the thread function outlives [`Job::run`].**
//!
//! # Terms
//!
//! A [`Job`] is a range of *units*, cut into *chunks* ([`Chunk`]). The *thread function* is
//! called with one chunk at a time, by several *workers*. One worker is the *caller*, the thread
//! that called `run`; the others are *helpers*, threads that the [`Platform`] lends.
//!
//! # What a job does
//!
//! *Typed units.* [`Pages`], [`HugePages`], [`Bytes`], [`Items`] or a type of the client
//! ([`unit!`]): a size in bytes where pages are counted does not compile. Indices are `usize`.
//!
//! *Slices, sums, searches, lists.* A chunk can get its part of a mutable slice, an accumulator of its
//! worker or its own, or its nodes of a list; a job can end with the first hit. See [`Job`].
//!
//! *As many threads as pay.* Five limits bound the number of helpers: the work, the job, the CPUs
//! that the caller may use, the system's limit and its [`Budget`]. Within these bounds a governor
//! measures while the job runs, and has helpers leave that do not speed it up. A [`Profile`]
//! sets how much of the machine a job may use. A helper that is not available costs speed, never
//! an error. With one thread, a job is a plain call, plus what reading the clocks takes. There is no governor below
//! four threads.
//!
//! *Work first.* A job begins on its caller, and starts helpers when the rest is worth more than
//! waking them ([`WakeCost`]). An empty job costs a fraction of a microsecond.
//!
//! *Memory locality.* [`NodeRange`]s tell which units lie on which node. Workers run the chunks of
//! their own node first, and then those of the nearest node with work left, except for the last few:
//! these are left to the workers there.
//!
//! *Workers that finish together.* Chunks shrink towards the minimum at the end of a range, and
//! follow the speed of the worker that runs them.
//!
//! *Clean failure.* The first error is returned, the other workers stop at their next chunk, and
//! exactly the completed units are passed to the undo. Cancellation ([`CancelToken`]) and
//! deadlines take the same path. A panic is resumed in the caller after the join (with `std`).
//!
//! *Little disturbance of others.* Helpers have the lowest weight. A caller without work takes
//! back helpers that have not started, and lends its weight to one running helper. The helpers'
//! CPU time is charged to the caller.
//!
//! *Nesting.* A thread function may run jobs. Nested jobs cannot block one another, because a
//! caller waits only for helpers that are running. A deadlock over a lock that the caller holds
//! and the thread function takes is reported ([`Job::takes_locks`], [`LockSet`]).
//!
//! *A small stack.* In an optimised build, a job takes at most 1 KiB of its caller's stack on one thread
//! (a quarter more in forms other than `run`) and 4 KiB on any number, and its undo no more than 4 KiB again. The thread function and the platform's
//! methods come on top. Nothing is allocated.
//!
//! *Accounting.* [`Stats`] come with every result, errors included.
//!
//! # Where the ideas come from
//!
//! From the kernel patches that this crate is named after, and their reviews: a caller that
//! works too, chunks under self-scheduling, ranges per node, the budget of 80 percent, the undo,
//! weight lent to one helper at a time. From padata: chunk ends at absolute positions. From
//! OpenMP's guided schedule: shrinking chunks. From rayon and TBB: panics that reach the caller,
//! and waiters that help. New are the typed units, the governor, and a hand-over to helpers that
//! needs no allocation and is proved (see [`HelperTask`]).
//!
//! # Features
//!
//! Both are off by default; a kernel needs neither.
//!
//! * `std`: the platform `hosted` on standard threads, and panics resumed in the caller.
//! * `sim`: the platform `sim`, which simulates machines of up to 1024 CPUs. It includes `std`.
//!
//! The target needs atomics of 64 bits. All 64-bit targets have them, and 32-bit ones such as i686 and
//! ARMv7-A.
#![no_std]
#![deny(unsafe_code)]

#[cfg(not(target_has_atomic = "64"))]
compile_error!(
    "ktask needs atomics of 64 bits, which this target has not: its counts of units, its clock and \
     its helper generations are 64 bits wide"
);

// The tests of the library use it whatever the features.
#[cfg(any(feature = "std", test))]
extern crate std;

mod body;
mod budget;
mod cancel;
mod chunk;
mod chunk_result;
pub mod conformance;
mod cursor;
mod engine;
mod error;
mod fixed_cut;
mod helper_id;
#[cfg(feature = "std")]
pub mod hosted;
mod job;
mod job_runs;
mod limits;
mod list;
mod log;
mod node;
mod platform;
mod raw;
mod record;
mod shape;
mod shared_cells;
#[cfg(feature = "sim")]
pub mod sim;
mod slice;
mod stats;
mod sync;
mod traced;
mod trail;
mod tuning;
mod unit;
mod unwind;
mod wake_cost;
mod walk;

pub use budget::{Budget, PercentOutOfRange};
pub use cancel::CancelToken;
pub use chunk::Chunk;
pub use chunk_result::ChunkResult;
pub use error::{Cause, Invalid, JobError};
pub use helper_id::HelperId;
pub use job::{Job, Profile, RUNTIME_THREADS};
pub use limits::{MAX_NODE_RANGES, MAX_WORKERS};
pub use list::ListPart;
pub use node::{NodeId, NodeRange};
pub use platform::{HelperContext, LockSet, Placement, Platform};
pub use raw::{HelperCell, HelperTask};
pub use stats::Stats;
pub use traced::{TracedChunk, TracedEnding, TracedJob};
pub use trail::{Step, Trail};
pub use tuning::Tuning;
pub use unit::{Bytes, HugePages, Items, Pages, Unit};
pub use wake_cost::WakeCost;
