//! Cancellation of a job by another thread.

use core::sync::atomic::{AtomicBool, Ordering};

/// A flag that ends the jobs that have it, at their next chunk.
///
/// Completed units are undone if the job has an undo, as after a failed chunk. A kernel can cancel
/// the token on a signal to the waiting thread, for example.
#[derive(Debug, Default)]
pub struct CancelToken {
    cancelled: AtomicBool,
}

impl CancelToken {
    /// Makes a token that is not cancelled.
    #[must_use]
    pub const fn new() -> Self {
        Self { cancelled: AtomicBool::new(false) }
    }

    /// Ends every job that has this token, running or future.
    pub fn cancel(&self) {
        // Relaxed: the token carries no data, and workers may see it late.
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Returns whether [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        // Relaxed: see `cancel`.
        self.cancelled.load(Ordering::Relaxed)
    }
}
