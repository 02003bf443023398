//! Work items: what a worker runs, and what a pool keeps in them.

use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{
    AtomicU8, AtomicU64, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
    Ordering::SeqCst, fence,
};

use runqueue::{CpuMask, Nice};
use workpool::{Generation, ItemState, Link, Neighbour, Node, Status};

use crate::arch::lock_class::LockClass;
use crate::arch::spin_lock::IrqSpinLock;
use crate::sched::donee::{ChainLink, Donee};
use crate::sched::group::Group;
use crate::sched::thread;
use crate::sched::wait::WaitQueue;

/// Something that a worker runs, any number of times. Submitting an item clones a handle and allocates nothing. An item
/// is in at most one queue. A thread that waits for it donates its weight to it, see [`Donee`].
pub trait Item: Any + Donee {
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
    /// Its neighbours in the queue, its number there, and the [level](level_to_raw) at which it is queued; changed under the
    /// pool's lock.
    neighbours: IrqSpinLock<[Option<Handle>; Neighbour::COUNT]>,
    number: AtomicU64,
    queue_level: AtomicU8,
    /// Pool of the current generation in the low bits, its worker above them; see [`Location`]. Changed under the pool's
    /// lock; Relaxed unless a comment says otherwise: published with the item.
    location: AtomicU64,
    /// The attributes of the current generation.
    attrs: IrqSpinLock<Option<WorkAttrs>>,
    /// The donations of threads that wait for it, the [level](level_to_raw) that they give it, and its own to its worker.
    pub(super) chain_link: ChainLink,
    donated_level: AtomicU8,
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
    /// The level at which the item waits for a worker.
    pub(super) queue_level: Nice,
    pub(super) allowed: CpuMask,
    pub(super) group: Arc<Group>,
}

impl WorkAttrs {
    /// Default weight, on any CPU of the pool, charged to the group that the calling thread is charged to.
    pub fn new() -> Self {
        let group = thread::current().charged_group();
        Self { nice: Nice::DEFAULT, queue_level: Nice::DEFAULT, allowed: CpuMask::ALL, group }
    }

    /// Sets the nice level, at which the item also waits for a worker.
    pub fn nice(self, nice: Nice) -> Self {
        Self { nice, queue_level: nice, ..self }
    }

    /// Sets the level at which the item waits for a worker, apart from that at which it runs.
    pub fn queued_at(self, queue_level: Nice) -> Self {
        Self { queue_level, ..self }
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
    type Node = Work;

    fn node(&self) -> &Work {
        self.0.work()
    }
}

impl Node<Handle> for Work {
    fn set(&self, neighbour: Neighbour, item: Option<Handle>) -> Option<Handle> {
        core::mem::replace(&mut self.neighbours.lock()[neighbour as usize], item)
    }

    fn set_level(&self, level: Option<Nice>) {
        // Release pairs with the Acquire in `level`: see `is_queued_in`.
        self.queue_level.store(level_to_raw(level), Release);
    }

    fn level(&self) -> Option<Nice> {
        // Acquire: see `set_level`.
        level_from_raw(self.queue_level.load(Acquire))
    }

    fn set_number(&self, number: u64) {
        // Relaxed, here and below: under the pool's lock.
        self.number.store(number, Relaxed);
    }

    fn number(&self) -> u64 {
        self.number.load(Relaxed)
    }
}

/// Returns `level` as one byte: 0 is none.
fn level_to_raw(level: Option<Nice>) -> u8 {
    level.map_or(0, |level| level.get().abs_diff(Nice::MIN.get()) + 1)
}

/// Returns the level of [`level_to_raw`].
fn level_from_raw(raw: u8) -> Option<Nice> {
    Nice::new(Nice::MIN.get() + raw.checked_sub(1)?.cast_signed())
}

impl Work {
    /// Creates the part of an item that was never submitted.
    pub const fn new() -> Self {
        Self {
            state: ItemState::new(),
            neighbours: IrqSpinLock::of(LockClass::WORK_ITEM, [const { None }; Neighbour::COUNT]),
            number: AtomicU64::new(0),
            queue_level: AtomicU8::new(0),
            location: AtomicU64::new(0),
            attrs: IrqSpinLock::of(LockClass::WORK_ITEM, None),
            chain_link: ChainLink::new(),
            donated_level: AtomicU8::new(0),
            over: WaitQueue::new(),
            waiters: AtomicUsize::new(0),
        }
    }

    /// Begins a generation, unless one is going on.
    pub(super) fn claim(&self, attrs: WorkAttrs) -> Option<Generation> {
        let generation = self.state.claim()?;
        *self.attrs.lock() = Some(attrs);
        Some(generation)
    }

    /// Makes the claimed item visible to workers and cancellers. Called under the lock of the pool numbered `pool`.
    pub(super) fn publish(&self, pool: usize) {
        // SeqCst: see `donated_level`.
        self.location.store(pool as u64, SeqCst);
        self.state.publish();
    }

    /// Returns whether the item is queued in the pool numbered `pool`. Called under the lock of that pool, under which the
    /// answer stays true.
    pub(super) fn is_queued_in(&self, pool: usize) -> bool {
        // In this order: the item is queued somewhere, so its location was stored before. If that was another pool, the
        // location cannot become `pool` now, because that takes the lock.
        self.level().is_some() && self.location().pool == pool
    }

    /// Sets the level that the item receives from its donors.
    pub(super) fn set_donated_level(&self, level: Option<Nice>) {
        // SeqCst: see `donated_level`.
        self.donated_level.store(level_to_raw(level), SeqCst);
    }

    /// Returns the level that the item receives from threads that wait for it.
    pub(super) fn donated_level(&self) -> Option<Nice> {
        // Store then load: a submitter stores the location, then loads the donated level, under the pool's lock; a donor
        // stores the level, then loads the location, and raises the item if it is queued there. One of them sees the other.
        level_from_raw(self.donated_level.load(SeqCst))
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
        // SeqCst: see `donated_level`.
        let location = self.location.load(SeqCst);
        Location {
            pool: location as usize & ((1 << POOL_BITS) - 1),
            worker: (location >> POOL_BITS) as usize,
        }
    }

    /// Returns whether `generation` is over.
    pub(super) fn is_over(&self, generation: Generation) -> bool {
        self.state.is_over(generation)
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
