//! Runs a checked job, from its plan to the end of its last helper.
//!
//! The engine does not know the client's types: units are numbers, the thread function is a
//! [`Body`]. It is therefore compiled once per platform, not once per job.
//!
//! Files, bottom up: `plan` (what is run), `worker_slot` (a record per worker), `failed` (chunks
//! that failed), `run` (state that the workers of a job share), `worker`, `team`, `governor`
//! and `wait` (what workers and the caller do), `solo` and `parallel` (a job on one thread and
//! on several), `launch` (chooses between the two), `undo`, `execute`.

mod execute;
mod failed;
mod governor;
mod launch;
mod lending;
mod parallel;
mod plan;
mod run;
mod solo;
mod storage;
mod team;
mod thread_count;
mod tracing;
mod undo;
mod wait;
mod worker;
mod worker_slot;

pub(crate) use execute::execute;
pub(crate) use plan::{Body, ChunkLoop, Ending, Plan};
pub(crate) use thread_count::ThreadLimit;
