//! All worker pools.

use alloc::boxed::Box;
use alloc::vec::Vec;

use runqueue::CpuMask;
use spin::Once;

use super::manager_signal;
use super::worker_pool::Pool;
use crate::platform::nodes;
use crate::sched::online_cpus;

/// The pool of all CPUs first, then those of the nodes if there are several.
static POOLS: Once<Box<[Pool]>> = Once::new();

/// Creates the pools. Called once, after the CPUs were started.
pub(super) fn create() -> &'static [Pool] {
    let count = nodes::nodes().len();
    let of_node = |node| Pool::new(node + 1, alloc::format!("node{node}"), *nodes::cpus_of(node));
    let of_nodes = (0..count).filter(|_| count > 1).map(of_node);
    let pools = core::iter::once(Pool::new(0, "any".into(), CpuMask::ALL)).chain(of_nodes);
    POOLS.call_once(|| pools.collect::<Vec<_>>().into())
}

/// Returns the pool of all CPUs, or `None` before [`start`](super::start).
pub fn unbound() -> Option<&'static Pool> {
    POOLS.get()?.first()
}

/// Returns the pool for the CPUs of `node`. Returns the pool of all CPUs if the machine has one node, or if no CPU of
/// `node` is both in `allowed` and online.
pub fn of_node(node: usize, allowed: &CpuMask) -> Option<&'static Pool> {
    let pools = POOLS.get()?;
    let own = pools.get(node + 1).filter(|pool| !(pool.cpus() & *allowed & online_cpus()).is_empty());
    own.or(pools.first())
}

/// Returns all pools.
pub fn all() -> &'static [Pool] {
    POOLS.get().map_or(&[], |pools| pools)
}

/// Recomputes the limits of all pools, after CPUs came or went or a parameter changed.
pub fn update_limits() {
    for pool in all() {
        pool.update_limits();
    }
    manager_signal::wake();
}
