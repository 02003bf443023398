//! A value that the first of several threads sets.

use crate::sync::{AtomicBool, Ordering, UnsafeCell};

/// A value that is set at most once, by the first thread that offers one. No thread waits.
#[derive(Debug)]
pub(crate) struct FirstOf<T> {
    is_claimed: AtomicBool,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: one thread at most has a reference to the value while the `FirstOf` is shared (the one
// that has claimed it), so sharing it only sends the value between threads, and `T: Send`.
unsafe impl<T: Send> Sync for FirstOf<T> {}

impl<T> FirstOf<T> {
    pub(crate) fn new() -> Self {
        Self { is_claimed: AtomicBool::new(false), value: UnsafeCell::new(None) }
    }

    /// Keeps `value` if it is the first. The values of other threads are dropped by these threads.
    pub(crate) fn offer(&self, value: T) {
        // Relaxed: the exchange alone decides which thread writes. The value is read by
        // `take`, whose caller has the only reference and so was synchronised with every thread.
        if !self.is_claimed.swap(true, Ordering::Relaxed) {
            // SAFETY: `is_claimed` changes from false to true once, and this thread changed it. No
            // other code has a reference while `self` is shared. The old value is None: writing it
            // over runs no destructor.
            self.value.with_mut(|kept| unsafe { *kept = Some(value) });
        }
    }

    /// Takes the value that was kept out of a `FirstOf` that is no longer shared.
    pub(crate) fn take(&mut self) -> Option<T> {
        // SAFETY: `&mut self`: no other code has a reference.
        self.value.with_mut(|kept| unsafe { (*kept).take() })
    }
}
