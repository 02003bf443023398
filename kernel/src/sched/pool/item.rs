//! Work items: what a worker runs, and what a pool keeps in them.

use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst, fence};

use runqueue::{CpuMask, Nice};
use workpool::{Generation, ItemState, Link, Status};

use crate::arch::lock_class::LockClass;
use crate::arch::spin_lock::IrqSpinLock;
use crate::sched::group::Group;
use crate::sched::thread;
use crate::sched::wait::WaitQueue;

/// Something that a worker runs, any number of times. Submitting an item clones a handle and allocates nothing. An item
/// is in at most one queue.
pub trait Item: Any + Send + Sync {
    /// Returns what the pool keeps in the item.
    fn work(&self) -> &Work;

    /// Runs the item, on a worker's thread.
    fn run(&self);

    /// Called by the worker after [`run`](Self::run), when the generation is over and the item can be submitted again.
    fn ended(&self) {}
}

/// What a pool keeps in an item.
pub struct Work {
    state: ItemState,
    /// The next item in the queue; under the pool's lock.
    next: IrqSpinLock<Option<Handle>>,
    number: AtomicU64,
    /// Pool of the current generation in the low bits, its worker above them; see [`Location`]. Relaxed: published with
    /// the item.
    location: AtomicU64,
    /// The attributes of the current generation.
    attrs: IrqSpinLock<Option<WorkAttrs>>,
    /// Threads that wait for the end of a generation, and their number.
    over: WaitQueue,
    waiters: AtomicUsize,
}

/// Where an item is run.
pub(super) struct Location {
    /// The number of the pool.
    pub(super) pool: usize,
    /// The number of the worker, once one has begun.
    pub(super) worker: usize,
}

/// Bits of [`Work::location`] that are the pool's number.
const POOL_BITS: u32 = 32;

/// How an item is to be run.
#[derive(Debug, Clone)]
pub struct WorkAttrs {
    /// The worker's nice level while it runs the item.
    pub(super) nice: Nice,
    pub(super) allowed: CpuMask,
    pub(super) group: Arc<Group>,
}

impl WorkAttrs {
    /// Default weight, on any CPU of the pool, charged to the group that the calling thread is charged to.
    pub fn new() -> Self {
        let group = thread::current().charged_group();
        Self { nice: Nice::DEFAULT, allowed: CpuMask::ALL, group }
    }

    /// Sets the nice level.
    pub fn nice(self, nice: Nice) -> Self {
        Self { nice, ..self }
    }

    /// Restricts the item to the CPUs of `allowed`, even if the pool has others.
    pub fn on(self, allowed: CpuMask) -> Self {
        Self { allowed, ..self }
    }
}

/// An item in a queue.
#[derive(Clone)]
pub(super) struct Handle(pub(super) Arc<dyn Item>);

impl Link for Handle {
    fn set_next(&self, next: Option<Self>) -> Option<Self> {
        core::mem::replace(&mut *self.0.work().next.lock(), next)
    }

    fn next(&self) -> Option<Self> {
        self.0.work().next.lock().clone()
    }

    fn set_number(&self, number: u64) {
        // Relaxed, here and below: under the pool's lock.
        self.0.work().number.store(number, Relaxed);
    }

    fn number(&self) -> u64 {
        self.0.work().number.load(Relaxed)
    }
}

impl Work {
    /// Creates the part of an item that was never submitted.
    pub const fn new() -> Self {
        Self {
            state: ItemState::new(),
            next: IrqSpinLock::of(LockClass::WORK_ITEM, None),
            number: AtomicU64::new(0),
            location: AtomicU64::new(0),
            attrs: IrqSpinLock::of(LockClass::WORK_ITEM, None),
            over: WaitQueue::new(),
            waiters: AtomicUsize::new(0),
        }
    }

    /// Begins a generation in the pool numbered `pool`, unless one is going on.
    pub(super) fn claim(&self, pool: usize, attrs: WorkAttrs) -> Option<Generation> {
        let generation = self.state.claim()?;
        self.location.store(pool as u64, Relaxed);
        *self.attrs.lock() = Some(attrs);
        Some(generation)
    }

    /// Makes the claimed item visible to workers and cancellers. Called under the pool's lock.
    pub(super) fn publish(&self) {
        self.state.publish();
    }

    /// Makes worker number `worker` begin with the item. Returns false if the item was cancelled.
    pub(super) fn begin_by(&self, worker: usize) -> bool {
        // Before `begin`: a thread that sees the item running then reads its worker.
        let pool = self.location.load(Relaxed) & ((1 << POOL_BITS) - 1);
        self.location.store((worker as u64) << POOL_BITS | pool, Relaxed);
        self.state.begin()
    }

    /// Cancels `generation` if it is queued. Returns whether it did.
    pub(super) fn cancel(&self, generation: Generation) -> bool {
        self.state.cancel(generation)
    }

    /// Ends a cancelled generation, whose item is in no queue any more.
    pub(super) fn retire(&self) {
        drop(self.take_attrs());
        self.state.retire();
        self.wake_waiters();
    }

    /// Takes the attributes out. Called by the thread that has begun or cancelled the generation.
    pub(super) fn take_attrs(&self) -> Option<WorkAttrs> {
        self.attrs.lock().take()
    }

    /// Returns the pool of the current generation, and its worker if one has begun.
    pub(super) fn location(&self) -> Location {
        let location = self.location.load(Relaxed);
        Location {
            pool: location as usize & ((1 << POOL_BITS) - 1),
            worker: (location >> POOL_BITS) as usize,
        }
    }

    /// Returns whether a worker is running the item.
    pub(super) fn is_running(&self) -> bool {
        self.state.status() == Status::Running
    }

    /// Returns the current generation, or the next one if none is going on.
    pub(super) fn generation(&self) -> Generation {
        self.state.generation()
    }

    /// Ends the generation that a worker has run.
    pub(super) fn end(&self) {
        self.state.end();
        self.wake_waiters();
    }

    fn wake_waiters(&self) {
        // Store then load, with `wait`: we end the generation, then load the number of waiters; a waiter counts itself,
        // then loads the state. One of us sees the other.
        fence(SeqCst);
        if self.waiters.load(SeqCst) > 0 {
            self.over.wake_all();
        }
    }

    /// Waits until `generation` is over.
    pub(super) fn wait(&self, generation: Generation) {
        self.waiters.fetch_add(1, SeqCst);
        // See `wake_waiters`.
        fence(SeqCst);
        self.over.wait_until(|| self.state.is_over(generation));
        self.waiters.fetch_sub(1, SeqCst);
    }
}
