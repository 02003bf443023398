//! The kernel's spin lock, which is held with interrupts off.

use core::fmt;
use core::ops::{Deref, DerefMut};
#[cfg(debug_assertions)]
use core::panic::Location;

use spin::mutex::{SpinMutex, SpinMutexGuard};

use super::irq::IrqGuard;
use super::lock_class::LockClass;
#[cfg(debug_assertions)]
use super::lock_order::SpinLockDebug;

/// A spin lock that is only held with interrupts off, so that an interrupt
/// handler on the same CPU can never wait for the code that it interrupted.
/// Hold it briefly; locks are taken in the order of invariant 9. Debug builds
/// check that, and who holds what (`lock_order.rs`); others know nothing of it.
pub struct IrqSpinLock<T: ?Sized> {
    #[cfg(debug_assertions)]
    debug: SpinLockDebug,
    inner: SpinMutex<T>,
}

impl<T> IrqSpinLock<T> {
    /// An open lock around `value`, without a place in the documented order: debug builds learn how locks that are
    /// made here are taken.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub const fn new(value: T) -> Self {
        Self {
            #[cfg(debug_assertions)]
            debug: SpinLockDebug::new(lockdep::Kind::MadeAt(Location::caller())),
            inner: SpinMutex::new(value),
        }
    }

    /// An open lock around `value` that has its place in the lock order.
    #[inline]
    pub const fn of(class: LockClass, value: T) -> Self {
        #[cfg(not(debug_assertions))]
        let _ = class;
        Self {
            #[cfg(debug_assertions)]
            debug: SpinLockDebug::new(lockdep::Kind::Ranked { name: class.name, rank: class.rank }),
            inner: SpinMutex::new(value),
        }
    }
}

impl<T: ?Sized> IrqSpinLock<T> {
    /// Waits for the lock, spinning with interrupts off.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn lock(&self) -> IrqSpinLockGuard<'_, T> {
        self.lock_with(IrqGuard::new())
    }

    /// As [`lock`](Self::lock), for where every instruction counts: a copy of it
    /// wherever it is called.
    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn lock_inline(&self) -> IrqSpinLockGuard<'_, T> {
        self.lock_with(IrqGuard::new())
    }

    /// As [`lock_inline`](Self::lock_inline), where `irq` keeps interrupts off: nothing to save and restore.
    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn lock_under<'a>(&'a self, irq: &'a IrqGuard) -> IrqSpinLockGuard<'a, T> {
        self.lock_with(irq.nested())
    }

    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    fn lock_with(&self, irq: IrqGuard) -> IrqSpinLockGuard<'_, T> {
        #[cfg(debug_assertions)]
        self.debug.before_lock(Location::caller());
        let inner = self.inner.try_lock().unwrap_or_else(|| self.wait());
        #[cfg(debug_assertions)]
        self.debug.after_lock(Location::caller());
        IrqSpinLockGuard {
            #[cfg(debug_assertions)]
            _hold: Hold(&self.debug),
            inner,
            _irq: irq,
        }
    }

    #[cold]
    fn wait(&self) -> SpinMutexGuard<'_, T> {
        self.inner.lock()
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

impl<T: ?Sized> fmt::Debug for IrqSpinLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IrqSpinLock")
    }
}

/// Tells the validator that a lock opens.
#[cfg(debug_assertions)]
struct Hold<'a>(&'a SpinLockDebug);

#[cfg(debug_assertions)]
impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.before_unlock();
    }
}

/// Access to what an [`IrqSpinLock`] protects. Fields drop in order: first the
/// lock opens, then interrupts come back.
pub struct IrqSpinLockGuard<'a, T: ?Sized> {
    #[cfg(debug_assertions)]
    _hold: Hold<'a>,
    inner: SpinMutexGuard<'a, T>,
    _irq: IrqGuard,
}

/// Panics, in debug builds, if this CPU holds a spin lock: `doing` is what must not be done then, under invariant
/// number `invariant`.
#[inline(always)]
#[cfg_attr(debug_assertions, track_caller)]
pub fn debug_assert_no_locks(invariant: u32, doing: &str) {
    #[cfg(debug_assertions)]
    super::lock_order::assert_none_held(invariant, doing);
    #[cfg(not(debug_assertions))]
    let _ = (invariant, doing);
}

impl<T: ?Sized> Deref for IrqSpinLockGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> DerefMut for IrqSpinLockGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}
