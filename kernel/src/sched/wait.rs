//! Waiting for something to become true: the state machines of [`waiting`], for
//! the kernel's threads.

use runqueue::{Links, List, Tid};
use waiting::{Locked, Threads};

use super::park::{debug_assert_may_block, park, unpark};
use super::table::{self, WaitLinks};
use super::thread;
use crate::arch::lock_class::LockClass;
use crate::arch::spin_lock::IrqSpinLock;
use crate::arch::tsc;

/// The kernel's threads, as those see them who wait.
pub(super) struct KernelThreads;

impl Links for KernelThreads {
    fn next(&self, tid: Tid) -> Option<Tid> {
        WaitLinks.next(tid)
    }

    fn set_next(&self, tid: Tid, next: Option<Tid>) {
        WaitLinks.set_next(tid, next);
    }
}

impl Threads for KernelThreads {
    fn me(&self) -> Tid {
        thread::current().tid()
    }

    fn park(&self, deadline_ns: Option<u64>) {
        park(deadline_ns);
    }

    fn unpark(&self, thread: Tid) {
        unpark(table::get(thread));
    }

    fn now_ns(&self) -> u64 {
        tsc::now_ns()
    }
}

impl<T> Locked<T> for IrqSpinLock<T> {
    #[inline]
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.lock())
    }
}

const fn empty_list() -> IrqSpinLock<List> {
    IrqSpinLock::of(LockClass::WAIT_QUEUE, List::new())
}

/// Threads that wait until someone wakes them. Takes no memory for waiting: a
/// thread is in at most one wait queue, through a link of its own.
pub struct WaitQueue {
    queue: waiting::WaitQueue<IrqSpinLock<List>>,
}

impl WaitQueue {
    /// A queue in which nobody waits.
    pub const fn new() -> Self {
        Self { queue: waiting::WaitQueue::new(empty_list()) }
    }

    /// Blocks until `condition` holds. Whoever makes it true calls
    /// [`wake_all`](Self::wake_all) or [`wake_one`](Self::wake_one) afterwards.
    pub fn wait_until(&self, condition: impl Fn() -> bool) {
        debug_assert_may_block(WAITS);
        self.queue.wait(&KernelThreads, condition, None);
    }

    /// As [`wait_until`](Self::wait_until), but at most until `deadline_ns` on the clock of [`tsc::now_ns`]; whether
    /// the condition held.
    pub fn wait_until_deadline(&self, condition: impl Fn() -> bool, deadline_ns: u64) -> bool {
        debug_assert_may_block(WAITS);
        self.queue.wait(&KernelThreads, condition, Some(deadline_ns))
    }

    /// Wakes the thread that has waited longest.
    pub fn wake_one(&self) {
        self.queue.wake_one(&KernelThreads);
    }

    /// Wakes every thread that waits now.
    pub fn wake_all(&self) {
        self.queue.wake_all(&KernelThreads);
    }

    /// The queue, for other state machines of [`waiting`].
    pub fn machine(&self) -> &waiting::WaitQueue<IrqSpinLock<List>> {
        &self.queue
    }
}

/// Checked before it is known whether the thread has to wait at all: a mistake must not depend on who comes first.
const WAITS: &str = "a thread waits";

/// The kernel's threads, for state machines of [`waiting`] outside of the scheduler.
pub fn threads() -> &'static impl Threads {
    &KernelThreads
}

/// Something that happens once, and that threads wait for.
pub struct Completion {
    completion: waiting::Completion<IrqSpinLock<List>>,
}

impl Completion {
    /// It has not happened.
    pub const fn new() -> Self {
        Self { completion: waiting::Completion::new(empty_list()) }
    }

    /// It has happened: lets everybody go on.
    pub fn complete(&self) {
        self.completion.complete(&KernelThreads);
    }

    /// Blocks until it has happened.
    pub fn wait(&self) {
        debug_assert_may_block(WAITS);
        self.completion.wait(&KernelThreads);
    }

    /// Whether it has happened.
    pub fn is_complete(&self) -> bool {
        self.completion.is_complete()
    }
}

/// A number of permits that threads take and give back.
pub struct Semaphore {
    semaphore: waiting::Semaphore<IrqSpinLock<List>>,
}

impl Semaphore {
    /// With this many permits to be had.
    pub const fn new(permits: usize) -> Self {
        Self { semaphore: waiting::Semaphore::new(permits, empty_list()) }
    }

    /// Takes a permit, if one is to be had.
    pub fn try_acquire(&self) -> bool {
        self.semaphore.try_acquire()
    }

    /// Waits for a permit and takes it.
    pub fn acquire(&self) {
        debug_assert_may_block(WAITS);
        self.semaphore.acquire(&KernelThreads, None);
    }

    /// As [`acquire`](Self::acquire), but at most until `deadline_ns`; whether it was to be had.
    pub fn acquire_until(&self, deadline_ns: u64) -> bool {
        debug_assert_may_block(WAITS);
        self.semaphore.acquire(&KernelThreads, Some(deadline_ns))
    }

    /// Gives a permit, taken before or new.
    pub fn release(&self) {
        self.semaphore.release(&KernelThreads);
    }
}
