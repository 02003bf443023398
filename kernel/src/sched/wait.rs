//! Wait queues, completions and semaphores: the state machines of [`waiting`] on the kernel's threads.

use runqueue::{Link, Links, Tid};
use waiting::Threads;

pub use super::completion::Completion;
use super::completion::{WaitList, empty_list};
use super::park::{debug_assert_may_block, park, unpark};
use super::table::{self, WaitLinks};
use super::thread;
use crate::arch::tsc;

/// The kernel's threads, as the state machines of [`waiting`] use them.
pub(super) struct KernelThreads;

impl Links for KernelThreads {
    #[inline(always)]
    fn link(&self, tid: Tid) -> &Link {
        WaitLinks.link(tid)
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

/// Threads that wait until another thread wakes them. Waiting allocates nothing: a thread is in at most one wait queue,
/// linked through its own record.
pub struct WaitQueue {
    queue: waiting::WaitQueue<WaitList>,
}

impl WaitQueue {
    /// Creates an empty queue.
    pub const fn new() -> Self {
        Self { queue: waiting::WaitQueue::new(empty_list()) }
    }

    /// Blocks until `condition` holds. The thread that makes it true calls
    /// [`wake_all`](Self::wake_all) or [`wake_one`](Self::wake_one) afterwards.
    pub fn wait_until(&self, condition: impl Fn() -> bool) {
        debug_assert_may_block(WAITS);
        self.queue.wait(&KernelThreads, condition, None);
    }

    /// Blocks until `condition` holds, or until `deadline_ns` on the clock of [`tsc::now_ns`]. Returns whether the
    /// condition held.
    pub fn wait_until_deadline(&self, condition: impl Fn() -> bool, deadline_ns: u64) -> bool {
        debug_assert_may_block(WAITS);
        self.queue.wait(&KernelThreads, condition, Some(deadline_ns))
    }

    /// Wakes the thread that has waited longest.
    pub fn wake_one(&self) {
        self.queue.wake_one(&KernelThreads);
    }

    /// Wakes every waiting thread.
    pub fn wake_all(&self) {
        self.queue.wake_all(&KernelThreads);
    }

    /// Returns the queue for other state machines of [`waiting`].
    pub fn machine(&self) -> &waiting::WaitQueue<WaitList> {
        &self.queue
    }
}

/// The reason that checks name. They run before a method knows whether the thread has to block: whether a mistake is
/// found must not depend on timing.
const WAITS: &str = "a thread waits";

/// Returns the kernel's threads for state machines of [`waiting`] outside of the scheduler.
pub fn threads() -> &'static impl Threads {
    &KernelThreads
}

impl Completion {
    /// Marks the event as happened and wakes every waiting thread.
    pub fn complete(&self) {
        self.completion.complete(&KernelThreads);
    }

    /// Blocks until the event has happened.
    pub fn wait(&self) {
        debug_assert_may_block(WAITS);
        self.completion.wait(&KernelThreads);
    }
}

/// A number of permits that threads acquire and release; handed over in order of arrival.
pub struct Semaphore {
    semaphore: waiting::Semaphore<WaitList>,
}

impl Semaphore {
    /// Creates a semaphore with `permits` available.
    pub const fn new(permits: usize) -> Self {
        Self { semaphore: waiting::Semaphore::new(permits, empty_list()) }
    }

    /// Takes a permit if one is available. Returns whether it did.
    pub fn try_acquire(&self) -> bool {
        self.semaphore.try_acquire()
    }

    /// Waits for a permit and takes it.
    pub fn acquire(&self) {
        debug_assert_may_block(WAITS);
        self.semaphore.acquire(&KernelThreads, None);
    }

    /// Waits for a permit until `deadline_ns`. Returns whether the thread took one.
    pub fn acquire_until(&self, deadline_ns: u64) -> bool {
        debug_assert_may_block(WAITS);
        self.semaphore.acquire(&KernelThreads, Some(deadline_ns))
    }

    /// Returns a permit, or adds a new one.
    pub fn release(&self) {
        self.semaphore.release(&KernelThreads);
    }
}
