//! One worker pool: queueing items, taking them out, and waiting for all of them.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use params::registry::{POOL_IDLE_MS, POOL_KEEP_WORKERS, POOL_MAX_WORKERS};
use runqueue::{CpuMask, Nice};
use workpool::{Generation, Limits, Oldest, WakeAction};

use super::item::{Handle, Item, Work, WorkAttrs};
use super::manager_signal;
use crate::arch::irq::IrqGuard;
use crate::arch::lock_class::LockClass;
use crate::arch::percpu;
use crate::arch::spin_lock::{IrqSpinLock, IrqSpinLockGuard};
use crate::sched::donation::{donate_weight, withdraw_donation};
use crate::sched::donee::Donee;
use crate::sched::online_cpus;
use crate::sched::park::unpark;
use crate::sched::resched::reweigh;
use crate::sched::thread::{self, Thread};
use crate::sched::wait::WaitQueue;

/// Workers that a pool may have for each of its CPUs, most of them blocked, unless a parameter sets the limit.
const MAX_WORKERS_PER_CPU: usize = 4;

/// A pool of workers.
pub struct Pool {
    /// Its index among all pools.
    number: usize,
    name: String,
    /// CPUs that its workers run on.
    pub(super) cpus: CpuMask,
    pub(super) state: IrqSpinLock<workpool::Pool<Handle>>,
    /// The threads of the workers that exist.
    pub(super) threads: Box<[IrqSpinLock<Option<Arc<Thread>>>]>,
    /// The number of queued items, readable without the lock; exact only under it.
    pub(super) queued: AtomicUsize,
    /// Threads in [`flush`](Self::flush), and their number.
    flushed: WaitQueue,
    flushing: AtomicUsize,
}

/// The locked state of a pool.
pub(super) type StateGuard<'a> = IrqSpinLockGuard<'a, workpool::Pool<Handle>>;

/// Why an item was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubmitError {
    /// The item is queued or running.
    Busy,
}

impl fmt::Display for SubmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => write!(f, "the work item is queued already, it can be once at a time"),
        }
    }
}

impl Pool {
    pub(super) fn new(number: usize, name: String, cpus: CpuMask) -> Self {
        let cpu_count = (0..percpu::cpu_count()).filter(|cpu| cpus.contains(*cpu)).count().max(1);
        let capacity = match POOL_MAX_WORKERS.get() {
            0 => MAX_WORKERS_PER_CPU * cpu_count,
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

    /// Recomputes the limits from the parameters and the CPUs that are online.
    pub(super) fn update_limits(&self) {
        self.state.lock().set_limits(limits(&self.cpus, self.threads.len()));
    }

    /// Returns the pool's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the CPUs that its workers run on: those of them that are online, or any CPU if none is.
    pub fn cpus(&self) -> CpuMask {
        self.cpus
    }

    /// Returns whether a CPU of the pool is online.
    pub(super) fn has_online_cpu(&self) -> bool {
        !(self.cpus & online_cpus()).is_empty()
    }

    /// Returns the number of workers that exist or are being started, and how many of them are idle.
    pub fn workers(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.alive(), state.idle())
    }

    /// Queues `item`. Returns the generation to [`wait`](super::wait) for or to [`cancel`](super::cancel).
    pub fn submit(&'static self, item: Arc<dyn Item>, attrs: WorkAttrs) -> Result<Generation, SubmitError> {
        let (nice, queue_level) = (attrs.nice, attrs.queue_level);
        let generation = item.work().claim(attrs).ok_or(SubmitError::Busy)?;
        // The locks are not released in the reverse order of taking them.
        let _irq = IrqGuard::new();
        let mut state = self.state.lock();
        item.work().publish(self.number);
        let donated = item.work().donated_level().unwrap_or(Nice::MAX);
        let action = state.submit(Handle(item), queue_level.min(donated));
        self.queued.store(state.queued(), SeqCst);
        self.wake(state, action, nice.min(donated));
        Ok(generation)
    }

    /// Raises the item of `work` to `level`, which it receives from a thread that waits for it, if it is queued here.
    pub(super) fn raise(&self, work: &Work, level: Nice) {
        let _irq = IrqGuard::new();
        let mut state = self.state.lock();
        if !work.is_queued_in(self.number) {
            return;
        }
        let action = state.raise(work, level);
        // A worker that is coming takes the first item, for which it may not have been called.
        if let Some(worker) = state.coming() {
            self.hasten(worker, level);
        }
        self.wake(state, action, level);
    }

    /// Wakes the thread that `action` names; a worker comes at level `nice`.
    fn wake(&self, state: StateGuard<'_>, action: WakeAction, nice: Nice) {
        match action {
            WakeAction::Worker(worker) => self.wake_called(state, worker, nice),
            WakeAction::Manager => {
                drop(state);
                manager_signal::wake();
            }
            WakeAction::None => {}
        }
    }

    /// Wakes a worker that was called under the lock of `state`, at level `nice`. Interrupts are off.
    pub(super) fn wake_called(&self, state: StateGuard<'_>, worker: usize, nice: Nice) {
        let slot = self.threads[worker].lock();
        let thread = slot.as_ref().expect("an idle worker has stored its thread");
        // Under the lock, as where a worker takes an item: the last to set the level decides. The worker is parked, or
        // about to park.
        let has_changed = thread.entity.set_nice_if_other(nice);
        drop(state);
        if !unpark(thread) && has_changed {
            // The worker has not parked yet, and may be queued for a CPU at the level of an idle worker.
            reweigh(thread);
        }
    }

    /// Makes a worker that is coming come at `level`, if it comes at a lighter one. Called under the lock of the state.
    pub(super) fn hasten(&self, worker: usize, level: Nice) {
        // A worker whose thread is being started has none yet. It gets the level from `spawn_worker`.
        if let Some(thread) = &*self.threads[worker].lock()
            && thread.entity.nice().is_none_or(|own| level < own)
        {
            thread.entity.set_nice(level);
            reweigh(thread);
        }
    }

    /// Reports that the thread of `worker` could not be started, and wakes the worker that comes in its place, if any.
    pub(super) fn start_failed(&self, worker: usize) {
        let _irq = IrqGuard::new();
        let mut state = self.state.lock();
        if let Some((called, level)) = state.start_failed(worker) {
            self.wake_called(state, called, level);
        }
    }

    /// Takes a cancelled item out of the queue, and ends its generation.
    pub(super) fn remove_cancelled(&self, work: &Work) {
        let mut state = self.state.lock();
        let item = state.remove(work);
        self.queued.store(state.queued(), SeqCst);
        drop(state);
        work.retire();
        drop(item);
        self.wake_flushers();
    }

    /// Waits until every item that was queued before the call has ended. Meanwhile the calling thread donates its weight to
    /// the oldest of them.
    ///
    /// # Panics
    /// In debug builds, when the calling thread is running an item of this pool: it would wait for itself.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn flush(&self) {
        debug_assert!(
            !self.is_own_worker(thread::current()),
            "invariant 27: {} is running an item of pool {}, and waits for all of them",
            thread::current_name(),
            self.name
        );
        let barrier = self.state.lock().next_item();
        // Before the oldest item is first looked for: a worker that begins or ends an item after that sees the count.
        self.flushing.fetch_add(1, SeqCst);
        loop {
            let oldest = self.donate_to_oldest(barrier);
            let has_other = || self.state.lock().oldest_before(barrier) != oldest;
            self.flushed.wait_until(|| oldest.is_none() || has_other());
            if oldest.is_none() {
                break;
            }
        }
        withdraw_donation();
        self.flushing.fetch_sub(1, SeqCst);
    }

    /// Makes the calling thread donate to the oldest item with a number below `barrier`: to the worker that runs it, or to
    /// the queued item. Returns which one it is, or `None` if there is none.
    fn donate_to_oldest(&self, barrier: u64) -> Option<Oldest> {
        let state = self.state.lock();
        let oldest = state.oldest_before(barrier)?;
        let donee: Option<Arc<dyn Donee>> = match oldest.worker {
            Some(worker) => self.thread_of(worker).map(|thread| thread as _),
            None => state.oldest_queued().map(|Handle(item)| item.clone() as _),
        };
        drop(state);
        if let Some(donee) = donee {
            donate_weight(donee);
        }
        Some(oldest)
    }

    pub(super) fn wake_flushers(&self) {
        if self.flushing.load(SeqCst) > 0 {
            self.flushed.wake_all();
        }
    }

    /// Returns the thread of worker number `worker`, if it exists.
    pub(super) fn thread_of(&self, worker: usize) -> Option<Arc<Thread>> {
        self.threads.get(worker)?.lock().clone()
    }

    /// Returns whether `thread` is one of the pool's workers.
    fn is_own_worker(&self, thread: &Thread) -> bool {
        let mut workers = (0..self.threads.len()).filter_map(|worker| self.thread_of(worker));
        workers.any(|worker| core::ptr::eq(&*worker, thread))
    }
}

/// Returns the limits of a pool of `cpus` with a capacity of `most` workers.
fn limits(cpus: &CpuMask, most: usize) -> Limits {
    Limits {
        active: (*cpus & online_cpus()).count(),
        most,
        keep: POOL_KEEP_WORKERS.get() as usize,
        idle_timeout_ns: POOL_IDLE_MS.get() * 1_000_000,
    }
}
