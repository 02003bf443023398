//! Interrupt state and the spin lock that respects it.

use core::fmt;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use spin::mutex::{SpinMutex, SpinMutexGuard};
use x86_64::instructions::interrupts;

/// Keeps interrupts off on this CPU while it lives; restores on drop what was
/// before. Guards nest. Not `Send`: it belongs to the CPU that made it.
pub struct IrqGuard {
    was_enabled: bool,
    not_send: PhantomData<*const ()>,
}

impl IrqGuard {
    /// Switches interrupts off.
    #[inline]
    pub fn new() -> Self {
        let was_enabled = interrupts::are_enabled();
        interrupts::disable();
        Self { was_enabled, not_send: PhantomData }
    }

    /// Another guard inside this one, which has nothing to restore.
    #[inline(always)]
    fn nested(&self) -> Self {
        Self { was_enabled: false, not_send: PhantomData }
    }
}

impl Drop for IrqGuard {
    #[inline]
    fn drop(&mut self) {
        if self.was_enabled {
            // SAFETY: interrupts were on before the guard. This is `interrupts::enable` without the `nop` that it
            // ends with; not without memory effects, so that nothing moves out of the guarded part.
            unsafe { core::arch::asm!("sti", options(nostack, preserves_flags)) };
        }
    }
}

/// A spin lock that is only held with interrupts off, so that an interrupt
/// handler on the same CPU can never wait for the code that it interrupted.
/// Hold it briefly; locks are taken in the order of invariant 9.
pub struct IrqLock<T: ?Sized> {
    inner: SpinMutex<T>,
}

impl<T> IrqLock<T> {
    /// An open lock around `value`.
    #[inline]
    pub const fn new(value: T) -> Self {
        Self { inner: SpinMutex::new(value) }
    }
}

impl<T: ?Sized> IrqLock<T> {
    /// Waits for the lock, spinning with interrupts off.
    #[inline]
    pub fn lock(&self) -> IrqLockGuard<'_, T> {
        let irq = IrqGuard::new();
        IrqLockGuard { inner: self.inner.lock(), _irq: irq }
    }

    /// Opens the lock whoever holds it.
    ///
    /// # Safety
    /// The holder must never run again: for the panic path, after the other
    /// CPUs were stopped and on the way to the end of this one.
    pub unsafe fn force_unlock(&self) {
        // SAFETY: the caller promises that no guard will be used again.
        unsafe { self.inner.force_unlock() }
    }
}

impl<T> IrqLock<T> {
    /// As [`lock`](Self::lock), for where every instruction counts: a copy of it
    /// wherever it is called.
    #[inline(always)]
    pub fn lock_inline(&self) -> IrqLockGuard<'_, T> {
        let irq = IrqGuard::new();
        let inner = self.inner.try_lock().unwrap_or_else(|| self.wait());
        IrqLockGuard { inner, _irq: irq }
    }

    /// As [`lock_inline`](Self::lock_inline), where `irq` keeps interrupts off: nothing to save and restore.
    #[inline(always)]
    pub fn lock_under<'a>(&'a self, irq: &'a IrqGuard) -> IrqLockGuard<'a, T> {
        let inner = self.inner.try_lock().unwrap_or_else(|| self.wait());
        IrqLockGuard { inner, _irq: irq.nested() }
    }

    #[cold]
    fn wait(&self) -> SpinMutexGuard<'_, T> {
        self.inner.lock()
    }
}

impl<T: ?Sized> fmt::Debug for IrqLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IrqLock")
    }
}

/// Access to what an [`IrqLock`] protects. Fields drop in order: first the
/// lock opens, then interrupts come back.
pub struct IrqLockGuard<'a, T: ?Sized> {
    inner: SpinMutexGuard<'a, T>,
    _irq: IrqGuard,
}

impl<T: ?Sized> Deref for IrqLockGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> DerefMut for IrqLockGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}
