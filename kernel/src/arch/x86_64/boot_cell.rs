//! Statics that the boot code initialises while the boot CPU is alone.

use core::cell::UnsafeCell;

/// A static value to which the boot code takes an exclusive reference once.
#[repr(transparent)]
pub struct BootCell<T>(UnsafeCell<T>);

// SAFETY: the only access is `take`, whose caller promises that there is no other access.
unsafe impl<T> Sync for BootCell<T> {}

impl<T> BootCell<T> {
    /// Returns a cell around `value`.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Returns the only reference to the value, for good.
    ///
    /// # Safety
    /// Called once, while the boot CPU is alone and interrupts are off (invariant 17).
    #[expect(clippy::mut_from_ref, reason = "exclusive by the caller's promise")]
    pub unsafe fn take(&'static self) -> &'static mut T {
        // SAFETY: called once, so this is the only reference.
        unsafe { &mut *self.0.get() }
    }
}
