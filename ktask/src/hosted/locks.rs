//! A mutex that reports deadlocks between jobs and locks.

use core::cell::Cell;
use core::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{HelperContext, LockSet};

std::thread_local! {
    /// Classes of the locks that this thread holds.
    static HELD: Cell<LockSet> = const { Cell::new(LockSet::EMPTY) };
    /// The job that this thread helps.
    static CONTEXT: Cell<HelperContext> = const { Cell::new(HelperContext::NONE) };
}

/// Sets the job that the calling thread helps, and returns the one before.
pub(super) fn replace_context(context: HelperContext) -> HelperContext {
    CONTEXT.replace(context)
}

/// Returns the classes of locks that a job of the calling thread must not take: locks that the
/// thread holds, and locks that the waiting callers of its current job hold.
pub(super) fn held() -> LockSet {
    HELD.get().union(CONTEXT.get().caller_locks)
}

/// A mutex with a lock class, which reports the deadlock that jobs make possible.
///
/// In this deadlock, a thread that holds a lock starts a job and waits for it, and the job's thread
/// function waits for the lock. The model is lockdep's `lockdep_map` for work items. Here each
/// helper gets one bit per class, so the first attempt is reported, on any thread.
#[derive(Debug)]
pub struct OrderedMutex<T> {
    class: u32,
    mutex: Mutex<T>,
}

/// Access to the value of an [`OrderedMutex`].
#[derive(Debug)]
pub struct OrderedMutexGuard<'m, T> {
    class: u32,
    guard: MutexGuard<'m, T>,
}

impl<T> OrderedMutex<T> {
    /// Makes a mutex of lock class `class`, 0 to 63. A mutex of another class is not checked.
    #[must_use]
    pub const fn new(class: u32, value: T) -> Self {
        Self { class, mutex: Mutex::new(value) }
    }

    /// Returns the set of this mutex' class alone, for [`Job::takes_locks`](crate::Job::takes_locks).
    #[must_use]
    pub const fn classes(&self) -> LockSet {
        LockSet::EMPTY.with(self.class)
    }

    /// Waits for the mutex and takes it. A panic of an earlier holder is ignored.
    ///
    /// # Panics
    ///
    /// If it would wait forever: the calling thread, or a caller of the job that it helps, holds a
    /// lock of this class.
    pub fn lock(&self) -> OrderedMutexGuard<'_, T> {
        let before = HELD.get();
        assert!(
            !before.contains(self.class),
            "lock class {}: the calling thread holds it already",
            self.class
        );
        assert!(
            !CONTEXT.get().caller_locks.contains(self.class),
            "lock class {}: held by the caller of this job, which waits for this thread; \
             must be released before the job is started",
            self.class
        );
        let guard = self.mutex.lock().unwrap_or_else(PoisonError::into_inner);
        HELD.set(before.with(self.class));
        OrderedMutexGuard { class: self.class, guard }
    }
}

impl<T> Deref for OrderedMutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for OrderedMutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

impl<T> Drop for OrderedMutexGuard<'_, T> {
    fn drop(&mut self) {
        // Guards may be dropped in any order; a thread holds a class at most once.
        HELD.set(HELD.get().without(self.class));
    }
}
