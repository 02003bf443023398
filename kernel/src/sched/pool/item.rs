//! Work items: what a pool's workers do.

use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst, fence};

use runqueue::{CpuMask, Nice};
use workpool::{Generation, ItemState, Link, Status};

use super::{Pool, SubmitError};
use crate::arch::lock_class::LockClass;
use crate::arch::spin_lock::IrqSpinLock;
use crate::sched::group::Group;
use crate::sched::thread::{self, Thread};
use crate::sched::wait::WaitQueue;

/// Something to be done by a worker, again and again. Submitting it takes a handle
/// and no memory; it is in one queue at a time.
pub trait Item: Any + Send + Sync {
    /// What the pool keeps in it.
    fn work(&self) -> &Work;

    /// Does it, on a worker's thread.
    fn run(&self);

    /// Its generation is over after [`run`](Self::run), and it can be submitted again. Called by the worker.
    fn ended(&self) {}
}

/// What a pool keeps in an item.
pub struct Work {
    state: ItemState,
    /// Its place in the queue; under the pool's lock.
    next: IrqSpinLock<Option<Handle>>,
    number: AtomicU64,
    /// The number of the pool of this generation, and above it that of the worker that is at it.
    place: AtomicU64,
    /// What was asked for this generation.
    attrs: IrqSpinLock<Option<WorkAttrs>>,
    /// Who waits for the end of a generation, and how many.
    over: WaitQueue,
    waiting: AtomicUsize,
}

/// Bits of [`Work::place`] that are the pool's number.
const POOL_BITS: u32 = 32;

/// How an item should be done.
#[derive(Debug, Clone)]
pub struct WorkAttrs {
    /// The worker's claim on CPU time while it is at the item.
    pub(super) nice: Nice,
    pub(super) allowed: CpuMask,
    pub(super) group: Arc<Group>,
}

impl WorkAttrs {
    /// At default weight, on any CPU of the pool, at the expense of those for whom the calling thread works.
    pub fn new() -> Self {
        let group = thread::current().charged_group();
        Self { nice: Nice::DEFAULT, allowed: CpuMask::ALL, group }
    }

    /// With the weight of `nice`.
    pub fn nice(self, nice: Nice) -> Self {
        Self { nice, ..self }
    }

    /// Only on the CPUs of `allowed`, even if the pool has others.
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
        // Relaxed, both: under the pool's lock.
        self.0.work().number.store(number, Relaxed);
    }

    fn number(&self) -> u64 {
        self.0.work().number.load(Relaxed)
    }
}

impl Work {
    /// Of an item that was never submitted.
    pub const fn new() -> Self {
        Self {
            state: ItemState::new(),
            next: IrqSpinLock::of(LockClass::WORK_ITEM, None),
            number: AtomicU64::new(0),
            place: AtomicU64::new(0),
            attrs: IrqSpinLock::of(LockClass::WORK_ITEM, None),
            over: WaitQueue::new(),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Begins a generation in the pool numbered `pool`, if none goes on.
    pub(super) fn claim(&self, pool: usize, attrs: WorkAttrs) -> Option<Generation> {
        let generation = self.state.claim()?;
        // Relaxed, as other accesses to it: published with the item.
        self.place.store(pool as u64, Relaxed);
        *self.attrs.lock() = Some(attrs);
        Some(generation)
    }

    pub(super) fn publish(&self) {
        self.state.publish();
    }

    /// The worker numbered `worker` begins with it, unless it was cancelled.
    pub(super) fn begin_by(&self, worker: usize) -> bool {
        // First: who sees that somebody is at it asks who.
        self.set_worker(worker);
        self.state.begin()
    }

    /// Cancels whatever generation is queued.
    pub(super) fn try_cancel(&self) -> bool {
        self.state.cancel(self.state.generation())
    }

    /// A cancelled generation is over: the item is in no queue.
    pub(super) fn retire(&self) {
        drop(self.take_attrs());
        self.state.retire();
        self.tell();
    }

    /// What was asked for: for the one who has begun or cancelled the generation.
    pub(super) fn take_attrs(&self) -> Option<WorkAttrs> {
        self.attrs.lock().take()
    }

    /// The worker numbered `worker` is at it, of the pool in which it was queued.
    fn set_worker(&self, worker: usize) {
        let pool = self.place.load(Relaxed) & ((1 << POOL_BITS) - 1);
        self.place.store((worker as u64) << POOL_BITS | pool, Relaxed);
    }

    /// The pool of the generation that goes on, and the number of its worker, if one is at it.
    fn place(&self) -> Option<(&'static Pool, usize)> {
        let place = self.place.load(Relaxed);
        let pool = super::all().get(place as usize & ((1 << POOL_BITS) - 1))?;
        Some((pool, (place >> POOL_BITS) as usize))
    }

    /// The worker is done with it.
    pub(super) fn end(&self) {
        self.state.end();
        self.tell();
    }

    /// A generation is over.
    fn tell(&self) {
        // Between the end of the generation and this look, as between the count and the look in `wait`: one of the two sees the
        // other.
        fence(SeqCst);
        if self.waiting.load(SeqCst) > 0 {
            self.over.wake_all();
        }
    }
}

/// Takes back `generation` of `item`, if no worker has begun with it; whether it was.
pub fn cancel(item: &dyn Item, generation: Generation) -> bool {
    let work = item.work();
    let is_ours = work.state.cancel(generation);
    if is_ours && let Some((pool, _)) = work.place() {
        pool.forget(work);
    }
    is_ours
}

/// Returns once `generation` of `item` is over: it was done, or cancelled.
///
/// # Panics
/// In debug builds, when the calling thread is at it: it would wait for itself.
#[cfg_attr(debug_assertions, track_caller)]
pub fn wait(item: &dyn Item, generation: Generation) {
    debug_assert!(
        worker_of(item, generation).is_none_or(|worker| !core::ptr::eq(&*worker, thread::current())),
        "invariant 27: {} waits for the work item that it is at",
        thread::current_name()
    );
    let work = item.work();
    work.waiting.fetch_add(1, SeqCst);
    // See `Work::tell`.
    fence(SeqCst);
    work.over.wait_until(|| work.state.is_over(generation));
    work.waiting.fetch_sub(1, SeqCst);
}

/// The worker that is at `generation` of `item`.
pub fn worker_of(item: &dyn Item, generation: Generation) -> Option<Arc<Thread>> {
    let work = item.work();
    if work.state.status() != Status::Running {
        return None;
    }
    let (pool, worker) = work.place()?;
    let thread = pool.thread_of(worker);
    // After the look: the generation was not over then.
    thread.filter(|_| work.state.generation() == generation)
}

/// An item that calls a function.
struct FnItem<F> {
    work: Work,
    call: F,
}

impl<F: Fn() + Send + Sync + 'static> Item for FnItem<F> {
    fn work(&self) -> &Work {
        &self.work
    }

    fn run(&self) {
        (self.call)();
    }
}

/// Makes an item of `call` and submits it to `pool`.
pub fn submit_fn(
    pool: &'static Pool,
    attrs: WorkAttrs,
    call: impl Fn() + Send + Sync + 'static,
) -> Result<(Arc<dyn Item>, Generation), SubmitError> {
    let item: Arc<dyn Item> = Arc::new(FnItem { work: Work::new(), call });
    pool.submit(item.clone(), attrs).map(|generation| (item, generation))
}
