//! What waiting is made of.

use runqueue::{Links, Tid};

/// Threads, as somebody sees them who waits or wakes. The links are those of the
/// wait queues: a thread is in one at most.
pub trait Threads: Links {
    /// The calling thread.
    fn me(&self) -> Tid;

    /// Blocks the calling thread until it is [unparked](Self::unpark) or
    /// [`now_ns`](Self::now_ns) has come to `deadline_ns`. An `unpark` from before is
    /// used up and returns at once. May return for no reason.
    fn park(&self, deadline_ns: Option<u64>);

    /// Lets `park` of the thread, which waits or is about to, return. Called with the
    /// lock of the queue held that it was in: it cannot have ended meanwhile.
    fn unpark(&self, thread: Tid);

    /// The time, on the clock of deadlines.
    fn now_ns(&self) -> u64;

    /// Whether this deadline has come.
    fn is_past(&self, deadline_ns: Option<u64>) -> bool {
        deadline_ns.is_some_and(|deadline_ns| self.now_ns() >= deadline_ns)
    }
}

/// A short lock around a `T`, held for no longer than `work` takes.
pub trait Locked<T> {
    /// Runs `work` on the value.
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R;
}
