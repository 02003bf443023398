//! What the state machines need of the kernel: threads that block and wake, and a lock.

use runqueue::{Links, Tid};

/// Threads that wait and wake each other. The links are those of the wait queues: a thread is in at most one.
pub trait Threads: Links {
    /// Returns the calling thread.
    fn me(&self) -> Tid;

    /// Blocks the calling thread until it is [unparked](Self::unpark), or until [`now_ns`](Self::now_ns) reaches
    /// `deadline_ns`. Consumes an earlier `unpark` and returns at once. May return spuriously.
    fn park(&self, deadline_ns: Option<u64>);

    /// Makes `park` of the thread return, now or when it is called next. The caller holds the lock of the queue from which
    /// it took the thread, so the thread cannot have ended.
    fn unpark(&self, thread: Tid);

    /// Returns the time on the clock of deadlines.
    fn now_ns(&self) -> u64;

    /// Returns whether the deadline has passed.
    fn is_past(&self, deadline_ns: Option<u64>) -> bool {
        deadline_ns.is_some_and(|deadline_ns| self.now_ns() >= deadline_ns)
    }
}

/// A lock around a `T` that is held only while `work` runs.
pub trait Locked<T> {
    /// Runs `work` on the value, under the lock.
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R;
}
