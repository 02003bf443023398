//! A mutex: waiting threads block.
//!
//! It knows its owner. A waiting thread donates its weight to the owner, so threads of middle weight cannot delay a light
//! owner that a heavy thread waits for. An owner that itself waits passes on what it receives. On release, the mutex is
//! handed to the thread that has waited longest; see [`waiting::handover`].

use alloc::sync::Arc;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use runqueue::Tid;
use waiting::{HandOver, Owners, handover};

use super::donee::Donee;
use super::held::MutexDebug;
use super::park::debug_assert_may_block;
use super::table;
use super::thread::{self, Thread};
use super::wait::KernelThreads;
use crate::arch::chaos::{self, Point};
use crate::arch::lock_class::LockClass;
use crate::arch::spin_lock::IrqSpinLock;

impl Owners for KernelThreads {
    type Owner = Arc<Thread>;

    fn this_thread(&self) -> Arc<Thread> {
        thread::current_arc()
    }

    fn waiting_thread(&self, tid: Tid) -> Arc<Thread> {
        table::get(tid).arc()
    }

    fn tid_of(&self, owner: &Arc<Thread>) -> Tid {
        owner.tid()
    }

    fn donor(&self, owner: &Arc<Thread>) -> Arc<dyn Donee> {
        owner.clone()
    }

    fn with_turnstile<R>(
        &self,
        owner: &Arc<Thread>,
        work: impl FnOnce(&mut Option<Arc<dyn Donee>>) -> R,
    ) -> R {
        work(&mut owner.turnstile.lock())
    }
}

/// A mutex around a `T`, for threads with interrupts on.
pub struct Mutex<T> {
    debug: MutexDebug,
    state: IrqSpinLock<HandOver<Arc<Thread>, Arc<dyn Donee>>>,
    value: UnsafeCell<T>,
}

// SAFETY: `value` is only reached through a guard. There is one guard at a time: that of the thread in `owner`. `T: Send`
// allows one thread after the other to access it.
unsafe impl<T: Send> Sync for Mutex<T> {}

/// The deadline passed before the mutex was available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOut;

impl<T> Mutex<T> {
    /// Creates a free mutex around `value`.
    #[cfg_attr(debug_assertions, track_caller)]
    pub const fn new(value: T) -> Self {
        Self {
            debug: MutexDebug::made_here(),
            state: IrqSpinLock::of(LockClass::MUTEX_STATE, HandOver::new()),
            value: UnsafeCell::new(value),
        }
    }

    /// Waits for the mutex.
    ///
    /// # Panics
    /// When the calling thread is the owner already: it would wait for itself.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        let guard = self.lock_by(None);
        guard.expect("a wait without a deadline ends with the mutex")
    }

    /// Waits for the mutex until `deadline_ns` on the clock of [`now_ns`](crate::arch::tsc::now_ns).
    ///
    /// # Panics
    /// As [`lock`](Self::lock).
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn lock_until(&self, deadline_ns: u64) -> Result<MutexGuard<'_, T>, TimedOut> {
        let guard = self.lock_by(Some(deadline_ns));
        guard.ok_or(TimedOut)
    }

    /// Takes the mutex if it is free.
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        debug_assert_may_block("a thread takes a mutex");
        if !handover::try_lock(&self.state, &KernelThreads) {
            return None;
        }
        Some(self.guard())
    }

    #[cfg_attr(debug_assertions, track_caller)]
    fn lock_by(&self, deadline_ns: Option<u64>) -> Option<MutexGuard<'_, T>> {
        debug_assert_may_block("a thread takes a mutex");
        self.debug.before_lock();
        chaos::point(Point::MutexLock);
        if !handover::lock(&self.state, &KernelThreads, deadline_ns) {
            return None;
        }
        Some(self.guard())
    }

    /// Returns the guard. The calling thread is the owner.
    #[cfg_attr(debug_assertions, track_caller)]
    fn guard(&self) -> MutexGuard<'_, T> {
        self.debug.after_lock();
        MutexGuard { mutex: self, not_send: PhantomData }
    }

    fn unlock(&self) {
        self.debug.before_unlock();
        handover::unlock(&self.state, &KernelThreads);
        chaos::point(Point::MutexUnlock);
    }
}

/// Access to the value of a [`Mutex`], which is released when the guard is dropped. Not `Send`: the thread that took the
/// mutex releases it.
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    not_send: PhantomData<*const ()>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the guard's thread is the owner, no other thread has a guard, and the borrow is no longer than the guard's.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`, and the guard is borrowed exclusively.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.mutex.unlock();
    }
}
