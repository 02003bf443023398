//! Waiting until a condition holds.

use runqueue::List;

use crate::sync::{AtomicBool, AtomicUsize, SeqCst};
use crate::threads::{Locked, Threads};

/// Threads that wait until someone wakes them. Takes no memory for waiting.
#[derive(Debug)]
pub struct WaitQueue<L> {
    waiting: L,
}

/// How a look at the queue by a thread that waits in it ends.
enum Look {
    Woken,
    TimedOut,
    Waits,
}

impl<L: Locked<List>> WaitQueue<L> {
    /// A queue behind `waiting`, in which nobody waits.
    pub const fn new(waiting: L) -> Self {
        Self { waiting }
    }

    /// Blocks until `condition` holds, but at most until `deadline_ns`; whether it
    /// held. Whoever makes it true wakes the queue afterwards.
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
                // Again under the lock: a waker that came before us has made it true, one that comes later finds us.
                let holds = condition();
                if !holds {
                    waiting.push_back(threads, me);
                }
                holds
            });
            if holds {
                return true;
            }
            loop {
                threads.park(deadline_ns);
                let look = self.waiting.with(|waiting| {
                    if !waiting.contains(threads, me) {
                        Look::Woken
                    } else if threads.is_past(deadline_ns) {
                        waiting.remove(threads, me);
                        Look::TimedOut
                    } else {
                        Look::Waits
                    }
                });
                match look {
                    Look::Woken => break,
                    Look::TimedOut => return condition(),
                    Look::Waits => {}
                }
            }
        }
    }

    /// Wakes the thread that has waited longest.
    pub fn wake_one(&self, threads: &impl Threads) {
        self.waiting.with(|waiting| {
            if let Some(tid) = waiting.pop_front(threads) {
                // Under the lock: the thread cannot go away before it has seen that it left the queue.
                threads.unpark(tid);
            }
        });
    }

    /// Wakes every thread that waits now.
    pub fn wake_all(&self, threads: &impl Threads) {
        self.waiting.with(|waiting| {
            while let Some(tid) = waiting.pop_front(threads) {
                threads.unpark(tid);
            }
        });
    }
}

/// Something that happens once, and that threads wait for.
#[derive(Debug)]
pub struct Completion<L> {
    is_complete: AtomicBool,
    queue: WaitQueue<L>,
}

impl<L: Locked<List>> Completion<L> {
    /// It has not happened.
    #[cfg(not(loom))]
    pub const fn new(waiting: L) -> Self {
        Self { is_complete: AtomicBool::new(false), queue: WaitQueue::new(waiting) }
    }

    /// It has not happened.
    #[cfg(loom)]
    pub fn new(waiting: L) -> Self {
        Self { is_complete: AtomicBool::new(false), queue: WaitQueue::new(waiting) }
    }

    /// It has happened: lets everybody go on.
    pub fn complete(&self, threads: &impl Threads) {
        self.is_complete.store(true, SeqCst);
        self.queue.wake_all(threads);
    }

    /// Blocks until it has happened.
    pub fn wait(&self, threads: &impl Threads) {
        self.queue.wait(threads, || self.is_complete(), None);
    }

    /// Whether it has happened.
    pub fn is_complete(&self) -> bool {
        self.is_complete.load(SeqCst)
    }
}

/// A number of permits that threads take and give back.
#[derive(Debug)]
pub struct Semaphore<L> {
    permits: AtomicUsize,
    queue: WaitQueue<L>,
}

impl<L: Locked<List>> Semaphore<L> {
    /// With this many permits to be had.
    #[cfg(not(loom))]
    pub const fn new(permits: usize, waiting: L) -> Self {
        Self { permits: AtomicUsize::new(permits), queue: WaitQueue::new(waiting) }
    }

    /// With this many permits to be had.
    #[cfg(loom)]
    pub fn new(permits: usize, waiting: L) -> Self {
        Self { permits: AtomicUsize::new(permits), queue: WaitQueue::new(waiting) }
    }

    /// Takes a permit, if one is to be had.
    pub fn try_acquire(&self) -> bool {
        self.permits.fetch_update(SeqCst, SeqCst, |permits| permits.checked_sub(1)).is_ok()
    }

    /// Waits for a permit and takes it, but at most until `deadline_ns`; whether it was to be had.
    pub fn acquire(&self, threads: &impl Threads, deadline_ns: Option<u64>) -> bool {
        self.queue.wait(threads, || self.try_acquire(), deadline_ns)
    }

    /// Gives a permit, taken before or new.
    pub fn release(&self, threads: &impl Threads) {
        self.permits.fetch_add(1, SeqCst);
        self.queue.wake_one(threads);
    }
}
