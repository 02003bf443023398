//! The crate's sources, compiled with a model checker's atomics, and models of what must hold in
//! every order of events (within the bound on preemptions).
//!
//! The modules below are the files of `src`, with another `sync`. So the shipped code is checked,
//! and a plain `cargo test` checks it, without compiler flags or a second build.
#![allow(missing_docs, dead_code, reason = "modules of src, documented and used there")]

#[path = "../../src/body.rs"]
mod body;
#[path = "../../src/budget.rs"]
mod budget;
#[path = "../../src/cancel.rs"]
mod cancel;
#[path = "../../src/chunk.rs"]
mod chunk;
#[path = "../../src/chunk_result.rs"]
mod chunk_result;
#[path = "../../src/cursor.rs"]
mod cursor;
#[path = "../../src/engine/mod.rs"]
mod engine;
#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/fixed_cut.rs"]
mod fixed_cut;
#[path = "../../src/helper_id.rs"]
mod helper_id;
#[path = "../../src/job.rs"]
mod job;
#[path = "../../src/job_runs.rs"]
mod job_runs;
#[path = "../../src/list.rs"]
mod list;
#[path = "../../src/log.rs"]
mod log;
#[path = "../../src/node.rs"]
mod node;
#[path = "../../src/platform.rs"]
mod platform;
#[path = "../../src/raw/mod.rs"]
mod raw;
#[path = "../../src/record.rs"]
mod record;
#[path = "../../src/shape.rs"]
mod shape;
#[path = "../../src/slice.rs"]
mod slice;
#[path = "../../src/stats.rs"]
mod stats;
#[path = "../../src/traced.rs"]
mod traced;
#[path = "../../src/trail.rs"]
mod trail;
#[path = "../../src/tuning.rs"]
mod tuning;
#[path = "../../src/unit.rs"]
#[macro_use]
mod unit;
#[path = "../../src/unwind.rs"]
mod unwind;
#[path = "../../src/wake_cost.rs"]
mod wake_cost;
#[path = "../../src/walk.rs"]
mod walk;

mod models;
mod scheduler;
mod shared_cells;
mod sync;

// The exports of `src/lib.rs` that the sources use.
pub use budget::Budget;
pub use cancel::CancelToken;
pub use chunk::Chunk;
pub use chunk_result::ChunkResult;
pub use error::{Cause, Invalid, JobError};
pub use helper_id::HelperId;
pub use job::Job;
pub use list::ListPart;
pub use node::{NodeId, NodeRange};
pub use platform::{HelperContext, LockSet, Placement, Platform};
pub use raw::{HelperCell, HelperTask};
pub use stats::Stats;
pub use traced::{TracedChunk, TracedEnding, TracedJob};
pub use trail::{Step, Trail};
pub use tuning::Tuning;
pub use unit::{Items, Unit};
pub use wake_cost::WakeCost;

/// Small, because each slot has several modelled atomics.
pub const MAX_WORKERS: usize = 3;

/// As in the crate.
pub const MAX_NODE_RANGES: usize = 64;
