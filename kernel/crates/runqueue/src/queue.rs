//! The run queue of one CPU: first come, first served.

use crate::balance::Load;
use crate::list::{Links, List, Tid};

/// The threads that wait for one CPU, in the order they will run.
///
/// Round robin: a thread whose slice is over goes to the back. The thread that
/// runs is not in the queue.
#[derive(Debug, Default)]
pub struct RunQueue {
    waiting: List,
}

impl RunQueue {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { waiting: List::new() }
    }

    /// Number of threads that wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether no thread waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// What [`balance`](crate::balance) wants to know of this CPU.
    #[must_use]
    pub fn load(&self, running: bool) -> Load {
        Load { waiting: u32::try_from(self.len()).unwrap_or(u32::MAX), running }
    }

    /// Queues `tid`, which is in no run queue, last: it woke up, or its slice
    /// is over. O(1).
    pub fn push_back(&mut self, links: &impl Links, tid: Tid) {
        self.waiting.push_back(links, tid);
    }

    /// Queues `tid`, which is in no run queue, first: it was interrupted
    /// before its slice was over. O(1).
    pub fn push_front(&mut self, links: &impl Links, tid: Tid) {
        self.waiting.push_front(links, tid);
    }

    /// Takes the thread that has waited longest. O(1).
    pub fn pop_front(&mut self, links: &impl Links) -> Option<Tid> {
        self.waiting.pop_front(links)
    }

    /// Takes the thread that has waited longest among those that `may_move`
    /// allows: what another CPU does that has nothing to run. O(n).
    pub fn steal(&mut self, links: &impl Links, may_move: impl FnMut(Tid) -> bool) -> Option<Tid> {
        self.waiting.pop_first_where(links, may_move)
    }

    /// Takes `tid` out; false when it does not wait here. O(n).
    pub fn remove(&mut self, links: &impl Links, tid: Tid) -> bool {
        self.waiting.remove(links, tid)
    }

    /// Whether `tid` waits here. O(n).
    #[must_use]
    pub fn contains(&self, links: &impl Links, tid: Tid) -> bool {
        self.waiting.contains(links, tid)
    }

    /// The waiting threads in order.
    pub fn iter(&self, links: &impl Links) -> impl Iterator<Item = Tid> {
        self.waiting.iter(links)
    }
}
