//! The kernel's spin lock, which is held with interrupts off.

use core::fmt;
use core::ops::{Deref, DerefMut};
#[cfg(debug_assertions)]
use core::panic::Location;

use spin::mutex::{SpinMutex, SpinMutexGuard};

#[cfg(debug_assertions)]
use super::chaos::PointOnDrop;
use super::chaos::{self, Point};
use super::irq::IrqGuard;
use super::lock_class::LockClass;
#[cfg(debug_assertions)]
use super::lock_order::SpinLockDebug;

/// A spin lock that is only held with interrupts off. So an interrupt handler never waits for code that it interrupted.
///
/// A lock is held only briefly. Locks are taken in the order of invariant 9. Debug builds check the order and the holder
/// (`lock_order.rs`).
pub struct IrqSpinLock<T: ?Sized> {
    #[cfg(debug_assertions)]
    debug: SpinLockDebug,
    inner: SpinMutex<T>,
}

impl<T> IrqSpinLock<T> {
    /// Returns a lock around `value` without a place in the documented order. Debug builds learn the order of the locks
    /// that are made at the caller's place.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub const fn new(value: T) -> Self {
        Self {
            #[cfg(debug_assertions)]
            debug: SpinLockDebug::new(lockdep::Kind::MadeAt(Location::caller())),
            inner: SpinMutex::new(value),
        }
    }

    /// Returns a lock around `value` with its place in the lock order.
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
    /// Takes the lock; spins with interrupts off until it is free.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn lock(&self) -> IrqSpinLockGuard<'_, T> {
        chaos::point(Point::SpinLock);
        self.lock_with(IrqGuard::new())
    }

    /// Takes the lock as [`lock`](Self::lock) does, inlined into callers that count instructions.
    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn lock_inline(&self) -> IrqSpinLockGuard<'_, T> {
        chaos::point(Point::SpinLock);
        self.lock_with(IrqGuard::new())
    }

    /// Takes the lock as [`lock_inline`](Self::lock_inline) does. `irq` keeps interrupts off, so no state is saved or
    /// restored.
    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn lock_under<'a>(&'a self, irq: &'a IrqGuard) -> IrqSpinLockGuard<'a, T> {
        chaos::point(Point::SpinLock);
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
            #[cfg(debug_assertions)]
            _released: PointOnDrop(Point::SpinUnlock),
        }
    }

    #[cold]
    fn wait(&self) -> SpinMutexGuard<'_, T> {
        self.inner.lock()
    }

    /// Releases the lock, whichever CPU holds it. For the panic path, after the other CPUs were stopped.
    ///
    /// # Safety
    /// The code that holds the lock never continues, and its guard is never used.
    pub unsafe fn force_unlock(&self) {
        // SAFETY: the caller promises that the guard is never used.
        unsafe { self.inner.force_unlock() }
    }
}

impl<T: ?Sized> fmt::Debug for IrqSpinLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IrqSpinLock")
    }
}

/// Reports a release to the debug part of the lock.
#[cfg(debug_assertions)]
struct Hold<'a>(&'a SpinLockDebug);

#[cfg(debug_assertions)]
impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.before_unlock();
    }
}

/// Access to the value of an [`IrqSpinLock`]. The fields drop in order: first the lock is released, then interrupts are
/// restored.
pub struct IrqSpinLockGuard<'a, T: ?Sized> {
    #[cfg(debug_assertions)]
    _hold: Hold<'a>,
    inner: SpinMutexGuard<'a, T>,
    _irq: IrqGuard,
    #[cfg(debug_assertions)]
    _released: PointOnDrop,
}

/// Panics in debug builds if this CPU holds a spin lock. `doing` names the action that invariant number `invariant`
/// forbids then.
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
