//! Waiting for something to become true.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use runqueue::List;

use super::core::{park, unpark};
use super::thread::{self, WaitLinks};
use crate::arch::irq::IrqLock;

/// Threads that wait until someone wakes them. Takes no memory for waiting: a
/// thread is in at most one wait queue, through a link of its own.
pub struct WaitQueue {
    waiting: IrqLock<List>,
}

impl WaitQueue {
    /// A queue in which nobody waits.
    pub const fn new() -> Self {
        Self { waiting: IrqLock::new(List::new()) }
    }

    /// Blocks until `condition` holds. Whoever makes it true calls
    /// [`wake_all`](Self::wake_all) or [`wake_one`](Self::wake_one) afterwards.
    pub fn wait_until(&self, condition: impl Fn() -> bool) {
        let tid = thread::current().tid();
        while !condition() {
            let mut waiting = self.waiting.lock();
            // Again under the lock: a waker that came before us has made it true, one that comes later finds us.
            if condition() {
                return;
            }
            waiting.push_back(&WaitLinks, tid);
            drop(waiting);
            while self.waiting.lock().contains(&WaitLinks, tid) {
                park(None);
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
