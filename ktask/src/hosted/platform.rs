//! The platform on a pool of threads.

extern crate std;

use std::cell::Cell;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::{Budget, HelperContext, HelperId, HelperTask, LockSet, NodeId, Placement, Platform, WakeCost};

use super::pool::Pool;
use super::topology::Topology;
use super::{affinity, locks};

std::thread_local! {
    /// The node of this thread, if it is known.
    pub(super) static NODE: Cell<Option<NodeId>> = const { Cell::new(None) };
}

/// A [`Platform`] on a pool of threads. It is cheap to clone; the threads end with the last clone.
///
/// Its CPUs are those that the operating system gives to the process, CPU mask and quota included,
/// unless the builder sets a number. Standard threads have no priorities: helpers run at the weight
/// of every other thread, and lending weight has no effect.
#[derive(Clone, Debug)]
pub struct Hosted {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) pool: Arc<Pool<Hosted>>,
    pub(super) threads: std::vec::Vec<thread::JoinHandle<()>>,
    pub(super) cpus: usize,
    pub(super) nodes: usize,
    /// The system's nodes, if they are used.
    pub(super) topology: Option<Topology>,
    pub(super) max_threads: usize,
    pub(super) enabled: bool,
    pub(super) budget: Budget,
    pub(super) wake_cost: WakeCost,
    pub(super) epoch: Instant,
}

impl Hosted {
    /// Returns the number of pool threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.inner.threads.len()
    }

    /// Declares that the calling thread runs on `node`. Pool threads are distributed over the nodes
    /// in turn.
    pub fn set_current_node(&self, node: NodeId) {
        NODE.set(Some(node));
    }

    /// Returns the number of helpers that wait for a thread.
    #[must_use]
    pub fn queued_helpers(&self) -> usize {
        self.inner.pool.queued()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.pool.close();
        for thread in self.threads.drain(..) {
            // A helper that drops the last clone cannot join itself; it is about to end anyway.
            if thread.thread().id() != thread::current().id() {
                // Tasks catch the panics of their chunks, so there is no panic to pass on.
                let _ = thread.join();
            }
        }
    }
}

impl Platform for Hosted {
    type Thread = thread::Thread;

    fn online_cpus(&self) -> usize {
        self.inner.cpus
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.inner.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn current_thread(&self) -> thread::Thread {
        thread::current()
    }

    fn park(&self, deadline_ns: Option<u64>) {
        match deadline_ns {
            None => thread::park(),
            Some(deadline_ns) => {
                let timeout_ns = deadline_ns.saturating_sub(self.now_ns());
                thread::park_timeout(Duration::from_nanos(timeout_ns));
            }
        }
    }

    fn unpark(&self, thread: &thread::Thread) {
        thread.unpark();
    }

    fn start_helper(
        &self,
        task: HelperTask<Self>,
        placement: Placement,
    ) -> Result<HelperId, HelperTask<Self>> {
        self.inner.pool.push(task, placement.node)
    }

    fn offer_helper(
        &self,
        task: HelperTask<Self>,
        placement: Placement,
    ) -> Result<HelperId, HelperTask<Self>> {
        self.inner.pool.offer(task, placement.node)
    }

    fn wake_cost(&self) -> &WakeCost {
        &self.inner.wake_cost
    }

    fn nodes(&self) -> usize {
        self.inner.nodes
    }

    fn online_cpus_of_node(&self, node: NodeId) -> usize {
        let (cpus, nodes) = (self.inner.cpus, self.inner.nodes);
        let node = node.0 as usize;
        if let Some(topology) = &self.inner.topology {
            return topology.cpus_of(node).len();
        }
        if node < nodes { cpus / nodes + usize::from(node < cpus % nodes) } else { 0 }
    }

    fn physical_cores(&self) -> usize {
        match self.inner.topology.as_ref().map_or(0, |topology| topology.cores) {
            0 => self.inner.cpus,
            cores => cores.min(self.inner.cpus),
        }
    }

    fn current_node(&self) -> NodeId {
        let of_this_cpu = || {
            let node = self.inner.topology.as_ref()?.node_of(affinity::current_cpu()?)?;
            Some(NodeId(node as u32))
        };
        NODE.get().or_else(of_this_cpu).unwrap_or_default()
    }

    fn node_distance(&self, from: NodeId, to: NodeId) -> u32 {
        let topology = self.inner.topology.as_ref();
        let distance = topology.and_then(|topology| topology.distance(from.0 as usize, to.0 as usize));
        distance.unwrap_or(if from == to { 10 } else { 20 })
    }

    fn thread_time_ns(&self) -> u64 {
        crate::raw::cpu_time::thread_cpu_time_ns().unwrap_or_else(|| self.now_ns())
    }

    /// Returns false: the CPU clock is read by a system call.
    fn thread_time_is_cheap(&self) -> bool {
        false
    }

    fn held_locks(&self) -> LockSet {
        locks::held()
    }

    fn begin_help(&self, context: HelperContext) -> HelperContext {
        locks::replace_context(context)
    }

    fn end_help(&self, before: HelperContext) {
        locks::replace_context(before);
    }

    fn budget(&self) -> &Budget {
        &self.inner.budget
    }

    fn max_threads(&self) -> usize {
        self.inner.max_threads
    }

    fn enabled(&self) -> bool {
        self.inner.enabled
    }
}
