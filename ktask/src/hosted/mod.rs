//! A platform for programs: helpers are standard threads of a pool.
//!
//! ```
//! use ktask::{Items, Job, hosted::Hosted};
//!
//! let platform = Hosted::new();
//! let stats = Job::new(Items::new(0)..Items::new(1_000_000))
//!     .min_chunk(Items::new(10_000))
//!     .run(&platform, |_chunk| Ok::<(), ()>(()))
//!     .unwrap();
//! assert_eq!(stats.units, 1_000_000);
//! ```

extern crate std;

mod locks;
mod pool;

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::{
    Budget, HelperContext, HelperId, HelperTask, LockSet, MAX_WORKERS, NodeId, Placement, Platform, WakeCost,
};

pub use locks::{OrderedMutex, OrderedMutexGuard};
use pool::Pool;

std::thread_local! {
    /// The node of this thread.
    static NODE: Cell<NodeId> = const { Cell::new(NodeId(0)) };
}

/// A [`Platform`] on a pool of threads. It is cheap to clone; the threads end with the last clone.
///
/// Its CPUs are those that the operating system gives to the process, CPU mask and quota included,
/// unless the builder sets a number. Standard threads have no priorities: helpers run at the weight
/// of every other thread, and lending weight has no effect.
#[derive(Clone, Debug)]
pub struct Hosted {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    pool: Arc<Pool<Hosted>>,
    threads: std::vec::Vec<thread::JoinHandle<()>>,
    cpus: usize,
    nodes: usize,
    max_threads: usize,
    enabled: bool,
    budget: Budget,
    wake_cost: WakeCost,
    epoch: Instant,
}

/// The settings of a [`Hosted`] that is to be made.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct Builder {
    cpus: Option<usize>,
    threads: Option<usize>,
    nodes: usize,
    max_threads: usize,
    budget_percent: u32,
    enabled: bool,
}

impl Hosted {
    /// Makes a pool with a thread per CPU of the process.
    ///
    /// If the operating system refuses to start a thread, the pool has fewer threads.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns the default settings, to be changed.
    pub fn builder() -> Builder {
        Builder {
            cpus: None,
            threads: None,
            nodes: 1,
            max_threads: MAX_WORKERS,
            budget_percent: Budget::new().percent(),
            enabled: true,
        }
    }

    /// Declares that the calling thread runs on `node`. Pool threads are distributed over the nodes
    /// in turn.
    pub fn set_current_node(&self, node: NodeId) {
        NODE.set(node);
    }

    /// Returns the number of helpers that wait for a thread.
    #[must_use]
    pub fn queued_helpers(&self) -> usize {
        self.inner.pool.queued()
    }
}

impl Default for Hosted {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// Sets the number of CPUs, at least 1.
    pub fn cpus(mut self, cpus: usize) -> Self {
        self.cpus = Some(cpus.max(1));
        self
    }

    /// Sets the number of pool threads; the default is the number of CPUs. With 0, every job runs on
    /// its caller alone.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Sets the number of nodes, at least 1. The CPUs are distributed evenly.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes.max(1);
        self
    }

    /// Sets the value of [`Platform::max_threads`].
    pub fn max_threads(mut self, max_threads: usize) -> Self {
        self.max_threads = max_threads;
        self
    }

    /// Sets the share of the CPUs that helpers may occupy; more than 100 is taken as 100.
    pub fn budget_percent(mut self, percent: u32) -> Self {
        self.budget_percent = percent.min(100);
        self
    }

    /// Sets the value of [`Platform::enabled`].
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// Makes the platform and starts its threads.
    #[must_use]
    pub fn build(self) -> Hosted {
        let cpus = self.cpus.unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZeroUsize::get));
        let pool = Arc::new(Pool::new(self.threads.unwrap_or(cpus)));
        let threads = (0..self.threads.unwrap_or(cpus))
            .map_while(|index| {
                let pool = pool.clone();
                let node = NodeId((index % self.nodes) as u32);
                let name = std::format!("ktask-{index}");
                let main = move || {
                    NODE.set(node);
                    pool.serve(node);
                };
                thread::Builder::new().name(name).spawn(main).ok()
            })
            .collect();
        let budget = Budget::new();
        if budget.set_percent(self.budget_percent).is_err() {
            unreachable!("the builder keeps the share at 100 or below");
        }
        Hosted {
            inner: Arc::new(Inner {
                pool,
                threads,
                cpus,
                nodes: self.nodes,
                max_threads: self.max_threads,
                enabled: self.enabled,
                budget,
                wake_cost: WakeCost::new(),
                epoch: Instant::now(),
            }),
        }
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
        if node < nodes { cpus / nodes + usize::from(node < cpus % nodes) } else { 0 }
    }

    fn current_node(&self) -> NodeId {
        NODE.get()
    }

    fn thread_time_ns(&self) -> u64 {
        crate::raw::cpu_time::thread_cpu_time_ns().unwrap_or_else(|| self.now_ns())
    }

    /// Returns false: the CPU clock is read by a system call.
    fn thread_time_is_cheap(&self) -> bool {
        false
    }

    fn cancel_helper(&self, helper: HelperId) -> Option<HelperTask<Self>> {
        self.inner.pool.take(helper)
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
