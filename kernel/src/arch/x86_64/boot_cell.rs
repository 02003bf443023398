//! Statics of the first instructions, before there are threads or other CPUs.

use core::cell::UnsafeCell;

/// A value that the boot code takes possession of once.
#[repr(transparent)]
pub struct BootCell<T>(UnsafeCell<T>);

// SAFETY: the only access is `take`, whose callers promise to be alone.
unsafe impl<T> Sync for BootCell<T> {}

impl<T> BootCell<T> {
    /// A cell that nobody has taken yet.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// The value, for good.
    ///
    /// # Safety
    /// Called once, while the boot CPU is the only one that runs and interrupts
    /// are off (invariant 17).
    #[expect(clippy::mut_from_ref, reason = "exclusive by the caller's promise")]
    pub unsafe fn take(&'static self) -> &'static mut T {
        // SAFETY: once and alone, so this is the only reference there ever is.
        unsafe { &mut *self.0.get() }
    }
}
