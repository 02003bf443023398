//! The thread count that one kind of job has learned.

use core::sync::atomic::{AtomicU32, Ordering};

/// Runs that use a learned thread count before the next one searches again.
const TRUSTED_RUNS: u32 = 64;

/// The best thread count that a governor found, kept from one run to the next.
///
/// It serves jobs that are too short to search each time, such as clearing one huge page. Each kind
/// of job has a static `Tuning` and passes it to [`Job::tuning`](crate::Job::tuning).
#[derive(Debug, Default)]
pub struct Tuning {
    /// The learned count; 0 for none.
    threads: AtomicU32,
    /// Runs that may still use `threads`.
    trusted_runs: AtomicU32,
}

impl Tuning {
    /// Makes a tuning that has learned nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { threads: AtomicU32::new(0), trusted_runs: AtomicU32::new(0) }
    }

    /// Returns the learned count for one more run, or `None` if the run has to search.
    pub(crate) fn threads(&self) -> Option<usize> {
        // Relaxed: a hint; two runs that both search do no harm.
        let threads = self.threads.load(Ordering::Relaxed);
        let runs = self.trusted_runs.load(Ordering::Relaxed);
        if threads == 0 || runs == 0 {
            return None;
        }
        self.trusted_runs.store(runs - 1, Ordering::Relaxed);
        Some(threads as usize)
    }

    /// Stores `threads` as the best count.
    pub(crate) fn learn(&self, threads: usize) {
        // Relaxed: see `threads`.
        self.threads.store(threads as u32, Ordering::Relaxed);
        self.trusted_runs.store(TRUSTED_RUNS, Ordering::Relaxed);
    }

    /// Returns the count that was learned last, if any.
    #[must_use]
    pub fn learned_threads(&self) -> Option<usize> {
        // Relaxed: see `threads`.
        match self.threads.load(Ordering::Relaxed) {
            0 => None,
            threads => Some(threads as usize),
        }
    }

    /// Forgets the learned count.
    pub fn forget(&self) {
        // Relaxed: see `threads`.
        self.threads.store(0, Ordering::Relaxed);
    }
}
