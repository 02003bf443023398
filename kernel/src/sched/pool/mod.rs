//! Worker pools: threads that do what others hand to them.
//!
//! There is a pool for the CPUs of each memory node, and one for all CPUs. Who has something to be done embeds
//! a [`Work`] in it, implements [`Item`], and [submits](Pool::submit) it: nothing is allocated, and nobody waited
//! for. A worker is woken for it, the one that has worked last; if none is idle, the item waits, and the
//! manager makes a worker if there may be more. Workers that idle for long are retired. A worker that
//! cannot be made costs parallelism only: the last resort is the manager, who does the work itself.
//!
//! Which worker takes what, and how many there should be, is `workpool`.

mod item;
mod manager;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use params::registry::{POOL_IDLE_MS, POOL_KEEP_WORKERS, POOL_MAX_WORKERS};
use runqueue::{CpuMask, Nice};
use spin::{LazyLock, Once};
use workpool::{Generation, Limits, Next, WakeAction};

use self::item::Handle;
pub use self::item::{Item, Work, WorkAttrs, cancel, submit_fn, wait, worker_of};
pub use self::manager::restart_fault_count;
use super::affinity;
use super::group::Group;
use super::park::{park, unpark};
use super::resched::reweigh;
use super::spawn::{self, SpawnError};
use super::thread::{self, Thread};
use super::wait::WaitQueue;
use crate::arch::irq::IrqGuard;
use crate::arch::lock_class::LockClass;
use crate::arch::spin_lock::IrqSpinLock;
use crate::arch::{percpu, tsc};
use crate::platform::nodes;

/// The claim on CPU time of a worker that has nothing to do.
const IDLE_NICE: Nice = Nice::MAX;
/// Workers of a pool that there may be for each of its CPUs, most of them blocked, unless a parameter says so.
const MOST_FOR_EACH_CPU: usize = 4;

/// The workers' group. Their time is moved to those for whom they work: what stays is what they spend on
/// coming and going.
static WORKERS: LazyLock<Arc<Group>> = LazyLock::new(|| Group::new("workers", None));

/// First the one for all CPUs, then those of the nodes, if there are several.
static POOLS: Once<Box<[Pool]>> = Once::new();

/// A pool of workers.
pub struct Pool {
    /// Its place among all pools.
    number: usize,
    name: String,
    /// CPUs that its workers run on.
    cpus: CpuMask,
    state: IrqSpinLock<workpool::Pool<Handle>>,
    /// Threads of the workers that there are.
    threads: Box<[IrqSpinLock<Option<Arc<Thread>>>]>,
    /// Items that wait, readable without the lock; exact only under it.
    queued: AtomicUsize,
    /// Who waits for a flush.
    flushed: WaitQueue,
    flushing: AtomicUsize,
}

/// Why an item was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubmitError {
    /// It is queued, or being worked at.
    Busy,
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => write!(f, "the work item is queued already, it can be once at a time"),
        }
    }
}

/// Makes the pools and their manager, and a worker for each CPU but one. Fewer workers do no harm but to
/// speed; the reason is returned. Once, after the CPUs were started.
pub fn start() -> Result<(), SpawnError> {
    let count = nodes::nodes().len();
    let of_node = |node| Pool::new(node + 1, alloc::format!("node{node}"), *nodes::cpus_of(node));
    let of_nodes = (0..count).filter(|_| count > 1).map(of_node);
    let all = core::iter::once(Pool::new(0, "any".into(), CpuMask::ALL)).chain(of_nodes);
    let pools = POOLS.call_once(|| all.collect::<Vec<_>>().into());
    manager::start()?;
    let mut left = percpu::online_count() - 1;
    // Jobs over memory name nodes.
    let first = if count > 1 { &pools[1..] } else { pools };
    for pool in first.iter().filter(|pool| !(pool.cpus & super::online_cpus()).is_empty()) {
        while left > 0
            && let Some(worker) = pool.start_ahead()
        {
            pool.spawn_worker(worker).inspect_err(|_| {
                let called = pool.state.lock().start_failed(worker);
                pool.wake_worker(called);
            })?;
            left -= 1;
        }
    }
    Ok(())
}

/// The pool of all CPUs; `None` before [`start`].
pub fn unbound() -> Option<&'static Pool> {
    POOLS.get()?.first()
}

/// The pool of the CPUs of `node`, or, where the machine has one node, or no CPU of it is in `allowed` and online, of
/// all.
pub fn of_node(node: usize, allowed: &CpuMask) -> Option<&'static Pool> {
    let pools = POOLS.get()?;
    let own = pools.get(node + 1).filter(|pool| !(pool.cpus & *allowed & super::online_cpus()).is_empty());
    own.or(pools.first())
}

/// All pools.
pub fn all() -> &'static [Pool] {
    POOLS.get().map_or(&[], |pools| pools)
}

/// CPUs have come or gone, or parameters have changed: what pools may have follows at once.
pub fn update_limits() {
    for pool in all() {
        pool.update_limits();
    }
    manager::wake();
}

impl Pool {
    fn new(number: usize, name: String, cpus: CpuMask) -> Self {
        let cpu_count = (0..percpu::cpu_count()).filter(|cpu| cpus.contains(*cpu)).count().max(1);
        let capacity = match POOL_MAX_WORKERS.get() {
            0 => MOST_FOR_EACH_CPU * cpu_count,
            most => most as usize,
        };
        Self {
            number,
            name,
            cpus,
            state: IrqSpinLock::of(
                LockClass::WORKER_POOL,
                workpool::Pool::new(capacity, limits(&cpus, capacity)),
            ),
            threads: (0..capacity).map(|_| IrqSpinLock::of(LockClass::WORKER_THREAD, None)).collect(),
            queued: AtomicUsize::new(0),
            flushed: WaitQueue::new(),
            flushing: AtomicUsize::new(0),
        }
    }

    /// The limits change with the parameters, and with CPUs that come and go.
    fn update_limits(&self) {
        self.state.lock().set_limits(limits(&self.cpus, self.threads.len()));
    }

    /// The pool's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// CPUs that its workers run on: those of them that are online, or any if none is.
    pub fn cpus(&self) -> CpuMask {
        self.cpus
    }

    /// Workers that there are or will be soon, and those of them that wait for work.
    pub fn workers(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.alive(), state.idle())
    }

    /// Queues `item`. Returns the generation to [`wait`] for or to [`cancel`].
    pub fn submit(&'static self, item: Arc<dyn Item>, attrs: WorkAttrs) -> Result<Generation, SubmitError> {
        let nice = attrs.nice;
        let generation = item.work().claim(self.number, attrs).ok_or(SubmitError::Busy)?;
        // The locks are not opened in the order in which they were taken.
        let _irq = IrqGuard::new();
        let mut state = self.state.lock();
        item.work().publish();
        let call = state.submit(Handle(item));
        self.queued.store(state.queued(), SeqCst);
        match call {
            WakeAction::Worker(worker) => {
                let slot = self.threads[worker].lock();
                let thread = slot.as_ref().expect("who idles has told which thread it is");
                // Under the lock, as when a worker takes an item: who does it last decides. It sleeps, or is about to.
                let has_changed = thread.entity.set_nice_if_other(nice);
                drop(state);
                if !unpark(thread) && has_changed {
                    // It has not got as far as to sleep, and may wait for a CPU with the claim of one that has nothing to do.
                    reweigh(thread);
                }
            }
            WakeAction::Manager => {
                drop(state);
                manager::wake();
            }
            WakeAction::None => {}
        }
        Ok(generation)
    }

    /// Takes out the first item that `wanted` accepts and that nobody else cancels meanwhile: it is cancelled.
    pub fn take_queued(&self, wanted: impl Fn(&dyn Item) -> bool) -> Option<Arc<dyn Item>> {
        if self.queued.load(SeqCst) == 0 {
            return None;
        }
        let mut state = self.state.lock();
        let taken = state.take_where(|Handle(item)| wanted(&**item) && item.work().try_cancel())?;
        self.queued.store(state.queued(), SeqCst);
        drop(state);
        taken.0.work().retire();
        self.wake_flushers();
        Some(taken.0)
    }

    /// Returns once everything that was queued here before has ended.
    ///
    /// # Panics
    /// In debug builds, when the calling thread is at an item of this pool: it would wait for itself.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn flush(&self) {
        debug_assert!(
            !self.is_own_worker(thread::current()),
            "invariant 27: {} is at an item of pool {}, and waits for all of them",
            thread::current_name(),
            self.name
        );
        let barrier = self.state.lock().next_item();
        // Before the first look: who ends an item after it sees that somebody waits.
        self.flushing.fetch_add(1, SeqCst);
        self.flushed.wait_until(|| self.state.lock().is_flushed(barrier));
        self.flushing.fetch_sub(1, SeqCst);
    }

    fn wake_flushers(&self) {
        if self.flushing.load(SeqCst) > 0 {
            self.flushed.wake_all();
        }
    }

    /// A cancelled item is in the queue no longer.
    fn forget(&self, work: &Work) {
        let mut state = self.state.lock();
        let item = state.take_where(|Handle(item)| core::ptr::eq(item.work(), work));
        self.queued.store(state.queued(), SeqCst);
        drop(state);
        work.retire();
        drop(item);
        self.wake_flushers();
    }

    fn start_ahead(&self) -> Option<usize> {
        self.state.lock().start_ahead()
    }

    fn spawn_worker(&'static self, worker: usize) -> Result<(), SpawnError> {
        manager::check_fault()?;
        let name = alloc::format!("{}/{worker}", self.name);
        let spawn = spawn::Spawn::new(&name).nice(IDLE_NICE).group(&WORKERS).on(self.cpus_to_run_on());
        spawn.start(move || self.work(worker)).map(drop)
    }

    /// A set of CPUs with one that is online.
    fn cpus_to_run_on(&self) -> CpuMask {
        if (self.cpus & super::online_cpus()).is_empty() { CpuMask::ALL } else { self.cpus }
    }

    /// The thread of worker number `worker`, if there is one.
    fn thread_of(&self, worker: usize) -> Option<Arc<Thread>> {
        self.threads.get(worker)?.lock().clone()
    }

    /// Whether `thread` is one of the pool's workers.
    fn is_own_worker(&self, thread: &Thread) -> bool {
        let mut workers = (0..self.threads.len()).filter_map(|worker| self.thread_of(worker));
        workers.any(|worker| core::ptr::eq(&*worker, thread))
    }

    /// Wakes worker number `worker`, who was called.
    fn wake_worker(&self, worker: Option<usize>) {
        if let Some(thread) = worker.and_then(|worker| self.thread_of(worker)) {
            unpark(&thread);
        }
    }

    /// A worker's life.
    fn work(&self, worker: usize) {
        let thread = thread::current();
        *self.threads[worker].lock() = Some(thread.arc());
        loop {
            match self.next(worker) {
                Next::Run((item, attrs)) => {
                    self.bind(&attrs.allowed);
                    self.run(&item, attrs.group);
                }
                Next::Park { wake_manager } => {
                    if wake_manager {
                        manager::wake();
                    }
                    // Woken for an item of another set of CPUs, it is not to wait for those of the last one.
                    self.bind(&CpuMask::ALL);
                    park(None);
                }
                Next::Leave => return,
            }
        }
    }

    /// What `worker`, the calling thread, does next.
    fn next(&self, worker: usize) -> Next<(Arc<dyn Item>, WorkAttrs)> {
        let mut state = self.state.lock();
        let next = state.next(worker, tsc::now_ns, |Handle(item)| item.work().begin_by(worker));
        self.queued.store(state.queued(), SeqCst);
        let next = match next {
            Next::Run(item) => Next::Run(begun(item)),
            Next::Park { wake_manager } => Next::Park { wake_manager },
            Next::Leave => {
                // Whoever gets this number next finds no thread of another.
                *self.threads[worker].lock() = None;
                Next::Leave
            }
        };
        let nice = if let Next::Run((_, attrs)) = &next { attrs.nice } else { IDLE_NICE };
        let running = thread::current();
        let has_changed = running.entity.set_nice_if_other(nice);
        drop(state);
        if has_changed {
            reweigh(running);
        }
        self.wake_flushers();
        next
    }

    /// Does `item` at the expense of `group`, on the calling thread.
    fn run(&self, item: &Arc<dyn Item>, group: Arc<Group>) {
        let thread = thread::current();
        thread.charge_to(Some(group));
        item.run();
        thread.charge_to(None);
        item.work().end();
        item.ended();
    }

    /// Lets the calling worker run on the CPUs of `allowed` among the pool's.
    fn bind(&self, allowed: &CpuMask) {
        let both = self.cpus & *allowed;
        let cpus = if (both & super::online_cpus()).is_empty() { *allowed } else { both };
        let thread = thread::current();
        if thread.allowed() != cpus && affinity::set_affinity(thread, &cpus).is_err() {
            // None of them is online: then any CPU will do.
            let _ = affinity::set_affinity(thread, &CpuMask::ALL);
        }
    }
}

/// The item, which a worker has begun with, and how it is to be done.
fn begun(Handle(item): Handle) -> (Arc<dyn Item>, WorkAttrs) {
    let attrs = item.work().take_attrs().expect("who queues an item says how it should be done");
    (item, attrs)
}

/// How many workers a pool of `cpus` with room for `most` may have now.
fn limits(cpus: &CpuMask, most: usize) -> Limits {
    Limits {
        active: (*cpus & super::online_cpus()).count(),
        most,
        keep: POOL_KEEP_WORKERS.get() as usize,
        idle_timeout_ns: POOL_IDLE_MS.get() * 1_000_000,
    }
}
