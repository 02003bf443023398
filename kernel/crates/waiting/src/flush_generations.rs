//! Generations of a flush that every CPU does on request.
//!
//! A request starts a new generation. One flush acknowledges all generations
//! that were requested before it began.

use crate::sync::{AtomicU64, SeqCst};

/// The newest generation, and the newest one that each of `N` CPUs has acknowledged.
#[derive(Debug)]
pub struct FlushGenerations<const N: usize> {
    requested: AtomicU64,
    acked: [AtomicU64; N],
}

impl<const N: usize> FlushGenerations<N> {
    /// No flush was requested yet.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self { requested: AtomicU64::new(0), acked: [const { AtomicU64::new(0) }; N] }
    }

    /// No flush was requested yet.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self { requested: AtomicU64::new(0), acked: core::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Requests a flush and returns its generation. A CPU that acknowledges the generation sees what the caller
    /// did before.
    pub fn request(&self) -> u64 {
        self.requested.fetch_add(1, SeqCst) + 1
    }

    /// Runs `flush` on CPU number `cpu` and acknowledges all generations that were requested before.
    pub fn ack(&self, cpu: usize, flush: impl FnOnce()) {
        // Loaded before the flush: a request that comes in between needs another flush.
        let requested = self.requested.load(SeqCst);
        flush();
        self.acked[cpu].fetch_max(requested, SeqCst);
    }

    /// Whether CPU number `cpu` has flushed since `generation` was requested. If so, the caller sees all that the
    /// CPU did before.
    pub fn is_acked(&self, cpu: usize, generation: u64) -> bool {
        self.acked[cpu].load(SeqCst) >= generation
    }
}

#[cfg(not(loom))]
impl<const N: usize> Default for FlushGenerations<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_cpu_acknowledges_what_was_requested_before_its_flush() {
        let generations = FlushGenerations::<2>::new();
        let acked = |generation| [0, 1].map(|cpu| generations.is_acked(cpu, generation));
        let first = generations.request();
        assert_eq!(acked(first), [false, false]);
        let mut flushes = 0;
        generations.ack(1, || flushes += 1);
        assert_eq!((flushes, acked(first)), (1, [false, true]));
        // Two requests, and one flush for both; a third comes while CPU 0 flushes.
        let second = generations.request();
        let mut third = None;
        generations.ack(0, || third = Some(generations.request()));
        assert_eq!((acked(first), acked(second)), ([true, true], [true, false]));
        assert_eq!(third.map(acked), Some([false, false]), "the flush began before");
        // An acknowledgement does not go back.
        generations.ack(0, || {});
        assert_eq!((acked(first)[0], third.map(acked)), (true, Some([true, false])));
    }
}
