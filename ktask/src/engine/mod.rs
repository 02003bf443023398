//! Runs a checked job, from its plan to the end of its last helper.
//!
//! The engine does not know the client's types: units are numbers, the thread function is a
//! [`Body`]. It is therefore compiled once per platform, not once per job.
//!
//! | file, bottom up | holds |
//! |---|---|
//! | `plan`, `thread_limit` | what is run, and the limit on its threads |
//! | `failed`, `storage` | the chunks that failed, cursors on the stack |
//! | `run` | the state that the workers of a job share |
//! | `sizer`, `cpu_clock` | the length of a worker's chunks, and its CPU time |
//! | `away` | when a worker helps a node that is not its own |
//! | `tracing`, `worker` | a worker's part of a job |
//! | `spread`, `team`, `wake` | how the caller distributes helpers over the ranges, and starts them, and when |
//! | `measure`, `governor_bounds`, `governor_view` | how the rate of a thread count is measured, and what the governor is told |
//! | `governor_verdict`, `governor_ladder`, `governor_search` | how counts are compared, and which is tried next |
//! | `governor_window`, `governor_held`, `governor`, `wait` | how the caller chooses their number, and waits for them |
//! | `solo`, `parallel`, `launch` | a job on one thread, on several, and the choice between the two |
//! | `undo`, `execute` | what follows a failed job, and the entry point |

mod away;
mod cpu_clock;
mod execute;
mod failed;
mod governor;
mod governor_bounds;
mod governor_held;
mod governor_ladder;
mod governor_search;
mod governor_verdict;
mod governor_view;
mod governor_window;
mod launch;
mod measure;
mod parallel;
mod plan;
mod run;
mod sizer;
mod solo;
mod spread;
mod storage;
mod team;
mod thread_limit;
mod tracing;
mod undo;
mod wait;
mod wake;
mod worker;

pub(crate) use execute::execute;
pub(crate) use plan::{Body, ChunkLoop, Ending, Meanwhile, Plan};
pub(crate) use thread_limit::ThreadLimit;
