//! What the hand-over to helpers needs of a platform.

/// The part of a [`Platform`](crate::Platform) that the hand-over to helpers and the locks need.
/// Every platform implements it.
///
/// It is a separate trait because `Platform` uses [`HelperTask`](crate::HelperTask), and imports go
/// one way.
pub trait Parking: Clone + Send + Sync + 'static {
    /// [`Platform::Thread`](crate::Platform::Thread).
    type Thread: Clone + Send + Sync + 'static;

    /// Returns a handle to the calling thread.
    fn this_thread(&self) -> Self::Thread;

    /// Blocks the calling thread until [`wake`](Self::wake) is called for it, or for no reason.
    fn sleep(&self);

    /// Wakes `thread` from [`sleep`](Self::sleep), or makes its next `sleep` return at once.
    fn wake(&self, thread: &Self::Thread);
}

/// Aborts if it is dropped during unwinding: [`Parking::sleep`] unwound while other threads could
/// use the caller's frame. A second panic during unwinding aborts.
pub(super) struct AbortOnUnwind;

impl AbortOnUnwind {
    /// Ends the guard: the frame is no longer shared.
    pub(super) fn disarm(self) {
        core::mem::forget(self);
    }
}

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        panic!("ktask: the platform unwound while other threads used the frame of its caller");
    }
}
