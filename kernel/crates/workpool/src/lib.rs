//! Worker pools, as policy: which worker takes which item, and how many workers there should be.
//!
//! * [`item`]: the state of one item, from claimed to done or cancelled.
//! * [`queue`]: a queue by nice level whose links are in the items, so that queueing allocates nothing.
//! * [`pool`]: the queue and the workers of one pool.
//!
//! The crate has no unsafe code. It allocates a table of workers with each pool, and nothing else. With `--cfg loom`
//! the state uses loom's atomics, so the models run the code that the kernel runs.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod item;
pub mod pool;
pub mod queue;

mod sync;

pub use item::{Generation, ItemState, Status};
pub use pool::{Help, Limits, Next, Oldest, Pool, WakeAction};
pub use queue::{Link, Neighbour, Node, Queue};
