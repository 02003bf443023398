//! Waiting until a condition holds.

use runqueue::{List, Tid};

use crate::sync::{AtomicBool, AtomicUsize, SeqCst};
use crate::threads::{Locked, Threads};

/// Threads that wait until another thread wakes them. Waiting allocates nothing.
#[derive(Debug)]
pub struct WaitQueue<L> {
    waiting: L,
}

/// What a waiting thread finds after `park` has returned.
enum Outcome {
    Woken,
    TimedOut,
    Spurious,
}

impl<L: Locked<List>> WaitQueue<L> {
    /// Creates an empty queue around the locked list `waiting`.
    pub const fn new(waiting: L) -> Self {
        Self { waiting }
    }

    /// Blocks until `condition` holds, or until `deadline_ns`. Returns whether it held. The thread that makes it true
    /// wakes the queue afterwards.
    pub fn wait(
        &self,
        threads: &impl Threads,
        condition: impl Fn() -> bool,
        deadline_ns: Option<u64>,
    ) -> bool {
        let me = threads.me();
        loop {
            if condition() {
                return true;
            }
            let holds = self.waiting.with(|waiting| {
                // Checked again under the lock: an earlier waker has made it true, a later one finds us in the list.
                let holds = condition();
                if !holds {
                    waiting.push_back(threads, me);
                }
                holds
            });
            if holds {
                return true;
            }
            if !self.park_until_woken(threads, me, deadline_ns) {
                return condition();
            }
        }
    }

    /// Parks the calling thread `me`, which is in the list, until it is woken. Returns false if `deadline_ns` came first.
    fn park_until_woken(&self, threads: &impl Threads, me: Tid, deadline_ns: Option<u64>) -> bool {
        loop {
            threads.park(deadline_ns);
            let outcome = self.waiting.with(|waiting| {
                if !waiting.contains(threads, me) {
                    Outcome::Woken
                } else if threads.is_past(deadline_ns) {
                    waiting.remove(threads, me);
                    Outcome::TimedOut
                } else {
                    Outcome::Spurious
                }
            });
            match outcome {
                Outcome::Woken => return true,
                Outcome::TimedOut => return false,
                Outcome::Spurious => {}
            }
        }
    }

    /// Wakes the thread that has waited longest.
    pub fn wake_one(&self, threads: &impl Threads) {
        self.waiting.with(|waiting| {
            if let Some(tid) = waiting.pop_front(threads) {
                // Under the lock: the thread cannot end before it has seen that it left the queue.
                threads.unpark(tid);
            }
        });
    }

    /// Wakes every thread that waits at this moment: not those that come while the others are woken.
    ///
    /// The lock is released after each thread, so that it is held for no longer than one wake-up takes. It is not taken
    /// again after the last thread was woken: that thread may be what keeps the queue.
    pub fn wake_all(&self, threads: &impl Threads) {
        let mut mark = None;
        while self.waiting.with(|waiting| {
            let mark = *mark.get_or_insert(waiting.arrivals());
            let Some(tid) = waiting.pop_front_before(threads, mark) else { return false };
            threads.unpark(tid);
            waiting.is_front_before(threads, mark)
        }) {}
    }
}

/// An event that happens once, and that threads wait for.
#[derive(Debug)]
pub struct Completion<L> {
    is_complete: AtomicBool,
    queue: WaitQueue<L>,
}

impl<L: Locked<List>> Completion<L> {
    /// Creates the completion of an event that has not happened.
    #[cfg(not(loom))]
    pub const fn new(waiting: L) -> Self {
        Self { is_complete: AtomicBool::new(false), queue: WaitQueue::new(waiting) }
    }

    /// Creates the completion of an event that has not happened.
    #[cfg(loom)]
    pub fn new(waiting: L) -> Self {
        Self { is_complete: AtomicBool::new(false), queue: WaitQueue::new(waiting) }
    }

    /// Marks the event as happened and wakes every waiting thread.
    pub fn complete(&self, threads: &impl Threads) {
        self.is_complete.store(true, SeqCst);
        self.queue.wake_all(threads);
    }

    /// Blocks until the event has happened.
    pub fn wait(&self, threads: &impl Threads) {
        self.queue.wait(threads, || self.is_complete(), None);
    }

    /// Returns whether the event has happened.
    pub fn is_complete(&self) -> bool {
        self.is_complete.load(SeqCst)
    }
}

/// A number of permits that threads acquire and release. A released permit is handed to the thread that has waited longest: no
/// thread that comes later takes it.
#[derive(Debug)]
pub struct Semaphore<L> {
    /// Permits that no thread waits for. Grows under the lock of the queue, while the queue is empty.
    permits: AtomicUsize,
    queue: WaitQueue<L>,
}

impl<L: Locked<List>> Semaphore<L> {
    /// Creates a semaphore with `permits` available.
    #[cfg(not(loom))]
    pub const fn new(permits: usize, waiting: L) -> Self {
        Self { permits: AtomicUsize::new(permits), queue: WaitQueue::new(waiting) }
    }

    /// Creates a semaphore with `permits` available.
    #[cfg(loom)]
    pub fn new(permits: usize, waiting: L) -> Self {
        Self { permits: AtomicUsize::new(permits), queue: WaitQueue::new(waiting) }
    }

    /// Takes a permit if one is available. Returns whether it did.
    pub fn try_acquire(&self) -> bool {
        self.permits.fetch_update(SeqCst, SeqCst, |permits| permits.checked_sub(1)).is_ok()
    }

    /// Waits for a permit and takes it, at most until `deadline_ns`. Returns whether it took one.
    pub fn acquire(&self, threads: &impl Threads, deadline_ns: Option<u64>) -> bool {
        if self.try_acquire() {
            return true;
        }
        let me = threads.me();
        let has_acquired = self.queue.waiting.with(|waiting| {
            // Tried again under the lock: an earlier release has left a permit, a later one finds us in the list.
            let has_acquired = self.try_acquire();
            if !has_acquired {
                waiting.push_back(threads, me);
            }
            has_acquired
        });
        // A thread that is woken has been handed the permit.
        has_acquired || self.queue.park_until_woken(threads, me, deadline_ns)
    }

    /// Returns a permit, or adds a new one.
    pub fn release(&self, threads: &impl Threads) {
        self.queue.waiting.with(|waiting| match waiting.pop_front(threads) {
            // Under the lock: the thread cannot end before it has seen that it left the queue.
            Some(tid) => threads.unpark(tid),
            None => {
                self.permits.fetch_add(1, SeqCst);
            }
        });
    }
}
