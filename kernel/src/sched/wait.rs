//! Waiting for something to become true.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use runqueue::List;

use super::core::{debug_assert_may_block, park, unpark};
use super::thread::{self, WaitLinks};
use crate::arch::irq::IrqLock;
use crate::arch::lock_class::LockClass;
use crate::arch::tsc;

/// Threads that wait until someone wakes them. Takes no memory for waiting: a
/// thread is in at most one wait queue, through a link of its own.
pub struct WaitQueue {
    waiting: IrqLock<List>,
}

impl WaitQueue {
    /// A queue in which nobody waits.
    pub const fn new() -> Self {
        Self { waiting: IrqLock::of(LockClass::WAIT_QUEUE, List::new()) }
    }

    /// Blocks until `condition` holds. Whoever makes it true calls
    /// [`wake_all`](Self::wake_all) or [`wake_one`](Self::wake_one) afterwards.
    pub fn wait_until(&self, condition: impl Fn() -> bool) {
        self.wait(condition, None);
    }

    /// As [`wait_until`](Self::wait_until), but at most until `deadline_ns` on the clock of [`tsc::now_ns`]; whether
    /// the condition held.
    pub fn wait_until_deadline(&self, condition: impl Fn() -> bool, deadline_ns: u64) -> bool {
        self.wait(condition, Some(deadline_ns))
    }

    fn wait(&self, condition: impl Fn() -> bool, deadline_ns: Option<u64>) -> bool {
        // Here and not only where it blocks: it must not depend on who comes first.
        debug_assert_may_block("a thread waits");
        let tid = thread::current().tid();
        loop {
            if condition() {
                return true;
            }
            let mut waiting = self.waiting.lock();
            // Again under the lock: a waker that came before us has made it true, one that comes later finds us.
            if condition() {
                return true;
            }
            waiting.push_back(&WaitLinks, tid);
            drop(waiting);
            loop {
                park(deadline_ns);
                let mut waiting = self.waiting.lock();
                if !waiting.contains(&WaitLinks, tid) {
                    break;
                }
                if deadline_ns.is_some_and(|deadline_ns| tsc::now_ns() >= deadline_ns) {
                    waiting.remove(&WaitLinks, tid);
                    drop(waiting);
                    return condition();
                }
            }
        }
    }

    /// Wakes the thread that has waited longest.
    pub fn wake_one(&self) {
        let mut waiting = self.waiting.lock();
        if let Some(tid) = waiting.pop_front(&WaitLinks) {
            // Under the lock: the thread cannot go away before it has seen that it left the queue.
            unpark(thread::get(tid));
        }
    }

    /// Wakes every thread that waits now.
    pub fn wake_all(&self) {
        let mut waiting = self.waiting.lock();
        while let Some(tid) = waiting.pop_front(&WaitLinks) {
            unpark(thread::get(tid));
        }
    }
}

/// Something that happens once, and that threads wait for.
pub struct Completion {
    is_complete: AtomicBool,
    queue: WaitQueue,
}

impl Completion {
    /// It has not happened.
    pub const fn new() -> Self {
        Self { is_complete: AtomicBool::new(false), queue: WaitQueue::new() }
    }

    /// It has happened: lets everybody go on.
    pub fn complete(&self) {
        self.is_complete.store(true, SeqCst);
        self.queue.wake_all();
    }

    /// Blocks until it has happened.
    pub fn wait(&self) {
        self.queue.wait_until(|| self.is_complete());
    }

    /// Whether it has happened.
    pub fn is_complete(&self) -> bool {
        self.is_complete.load(SeqCst)
    }
}

/// A number of permits that threads take and give back.
pub struct Semaphore {
    permits: AtomicUsize,
    queue: WaitQueue,
}

impl Semaphore {
    /// With this many permits to be had.
    pub const fn new(permits: usize) -> Self {
        Self { permits: AtomicUsize::new(permits), queue: WaitQueue::new() }
    }

    /// Takes a permit, if one is to be had.
    pub fn try_acquire(&self) -> bool {
        self.permits.fetch_update(SeqCst, SeqCst, |permits| permits.checked_sub(1)).is_ok()
    }

    /// Waits for a permit and takes it.
    pub fn acquire(&self) {
        self.queue.wait_until(|| self.try_acquire());
    }

    /// As [`acquire`](Self::acquire), but at most until `deadline_ns`; whether it was to be had.
    pub fn acquire_until(&self, deadline_ns: u64) -> bool {
        self.queue.wait_until_deadline(|| self.try_acquire(), deadline_ns)
    }

    /// Gives a permit, taken before or new.
    pub fn release(&self) {
        self.permits.fetch_add(1, SeqCst);
        self.queue.wake_one();
    }
}
