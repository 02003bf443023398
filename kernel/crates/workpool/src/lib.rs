//! Worker pools, as policy: which worker takes which item, when there should be
//! more workers, and when fewer.
//!
//! * [`item`]: the state of one item, from being queued to having been done.
//! * [`queue`]: a queue whose links live in the items, so that queueing allocates nothing.
//! * [`pool`]: the queue and the workers of one pool.
//!
//! No unsafe code, and no memory but a table of workers made with the pool. With `--cfg loom`
//! the state is built on loom's atomics, so that its models run the very code the kernel runs.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod item;
pub mod pool;
pub mod queue;

mod sync;

pub use item::{Generation, ItemState, Status};
pub use pool::{Limits, Next, Pool, WakeAction};
pub use queue::{Link, Queue};
