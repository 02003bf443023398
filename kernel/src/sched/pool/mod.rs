//! Worker pools: threads that run work items.
//!
//! There is one pool for the CPUs of each memory node, and one for all CPUs. A user embeds a [`Work`] in its own
//! structure, implements [`Item`], and [submits](Pool::submit) it: that neither allocates nor waits. The pool wakes the
//! idle worker that worked last. If no worker is idle, the item waits, and the manager starts another worker if the
//! limits allow it. Workers that stay idle for long are retired. If no worker can be started, the manager runs the
//! items itself: a lack of memory costs parallelism, no more.
//!
//! Which worker takes which item, and how many workers there should be, is decided by `workpool`.
//!
//! * `item`: what a pool keeps in an item, and the attributes of its run.
//! * `worker_pool`: one pool: queueing, taking out, flushing.
//! * `worker`: the threads of a pool.
//! * `registry`: all pools.
//! * `donee`: what an item does with the weight of threads that wait for it.
//! * `control`: what the owner of a submitted item does with it.
//! * `manager`: starts and retires workers; `manager_signal` wakes it.

mod control;
mod donee;
mod item;
mod manager;
mod manager_signal;
mod registry;
mod worker;
mod worker_pool;

use super::spawn::SpawnError;
use crate::arch::percpu;

pub use control::{cancel, donate_weight, submit_fn, wait};
pub use item::{Item, Work, WorkAttrs};
pub use registry::{all, of_node, unbound, update_limits};
use worker::IDLE_NICE;
pub use worker::restart_fault_count;
pub use worker_pool::{Pool, SubmitError};

/// Creates the pools and their manager, and starts a worker for each CPU but one. Fewer workers cost nothing but speed;
/// the reason is returned. Called once, after the CPUs were started.
pub fn start() -> Result<(), SpawnError> {
    let pools = registry::create();
    manager::start()?;
    let mut left = percpu::online_count() - 1;
    // Memory jobs ask for helpers by node.
    let first = if pools.len() > 1 { &pools[1..] } else { pools };
    for pool in first.iter().filter(|pool| pool.has_online_cpu()) {
        while left > 0
            && let Some(worker) = pool.start_ahead()
        {
            pool.spawn_worker(worker, IDLE_NICE).inspect_err(|_| pool.start_failed(worker))?;
            left -= 1;
        }
    }
    Ok(())
}
