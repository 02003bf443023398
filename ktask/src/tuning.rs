//! What one kind of job has learned about the machine.

use core::sync::atomic::{AtomicU32, Ordering};

/// Runs after which a known thread count is looked for anew.
const TRUSTED_RUNS: u32 = 64;

/// Remembers, from one run to the next, the thread count that a governor found best.
///
/// For jobs that are too short to find it out each time, like clearing one huge page: a
/// static per kind of job, given to each with [`Job::tuning`](crate::Job::tuning). Zero means
/// nothing is known, and any run may be the one that learns.
#[derive(Debug, Default)]
pub struct Tuning {
    threads: AtomicU32,
    trusted_runs: AtomicU32,
}

impl Tuning {
    /// Nothing known yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { threads: AtomicU32::new(0), trusted_runs: AtomicU32::new(0) }
    }

    /// The best thread count known, for another run; `None` when it is to be found (again).
    pub(crate) fn threads(&self) -> Option<usize> {
        // Relaxed: a hint; two runs that both look for it do no harm.
        let threads = self.threads.load(Ordering::Relaxed);
        let runs = self.trusted_runs.load(Ordering::Relaxed);
        if threads == 0 || runs == 0 {
            return None;
        }
        self.trusted_runs.store(runs - 1, Ordering::Relaxed);
        Some(threads as usize)
    }

    /// `threads` are best.
    pub(crate) fn learn(&self, threads: usize) {
        // Relaxed: see `threads`.
        self.threads.store(threads as u32, Ordering::Relaxed);
        self.trusted_runs.store(TRUSTED_RUNS, Ordering::Relaxed);
    }

    /// What was learned last, if anything.
    #[must_use]
    pub fn learned_threads(&self) -> Option<usize> {
        // Relaxed: see `threads`.
        match self.threads.load(Ordering::Relaxed) {
            0 => None,
            threads => Some(threads as usize),
        }
    }

    /// Forgets it.
    pub fn forget(&self) {
        // Relaxed: see `threads`.
        self.threads.store(0, Ordering::Relaxed);
    }
}
