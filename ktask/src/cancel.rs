//! Ending a job from outside.

use core::sync::atomic::{AtomicBool, Ordering};

/// A switch that ends the jobs it was given to, at their next chunk.
///
/// Like a failing chunk: what was completed is undone if the job has an undo. A
/// kernel has one per signal of the thread that waits, for example.
#[derive(Debug, Default)]
pub struct CancelToken {
    cancelled: AtomicBool,
}

impl CancelToken {
    /// A token that is not cancelled.
    #[must_use]
    pub const fn new() -> Self {
        Self { cancelled: AtomicBool::new(false) }
    }

    /// Ends every job that has this token, now and later.
    pub fn cancel(&self) {
        // Relaxed: the token carries no data; workers only need to see it some time.
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        // Relaxed: see `cancel`.
        self.cancelled.load(Ordering::Relaxed)
    }
}
