//! The queued threads of one scheduling class, and the virtual times of the class.

use crate::heap::{Heap, is_before};

/// The queued threads of one class on one CPU.
#[derive(Debug)]
pub(crate) struct ClassQueue {
    pub(crate) heap: Heap,
    /// The smallest virtual runtime; never goes back.
    pub(crate) min_vruntime_ns: u64,
    /// Time in which no thread of the class waited, and which no virtual runtime of the class counts.
    uncontended_ns: u64,
}

impl ClassQueue {
    pub(crate) const fn new() -> Self {
        Self { heap: Heap::new(), min_vruntime_ns: 0, uncontended_ns: 0 }
    }

    /// Raises the minimum: the current thread has come to `running_ns`, the first queued one is at `first_ns`.
    #[inline(always)]
    pub(crate) fn advance_min_vruntime(&mut self, running_ns: u64, first_ns: Option<u64>) {
        let smallest_ns = first_ns.filter(|first_ns| is_before(*first_ns, running_ns)).unwrap_or(running_ns);
        if is_before(self.min_vruntime_ns, smallest_ns) {
            self.min_vruntime_ns = smallest_ns;
        }
    }

    /// Adds time in which no thread of the class waited.
    #[inline]
    pub(crate) fn add_uncontended(&mut self, ns: u64) {
        self.uncontended_ns = self.uncontended_ns.wrapping_add(ns);
    }

    /// Returns the clock that measures sleep: what one thread among those that ran had, and uncontended time.
    #[inline]
    pub(crate) fn sleep_clock_ns(&self) -> u64 {
        self.min_vruntime_ns.wrapping_add(self.uncontended_ns)
    }
}
