//! A mutex that knows about jobs.

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

/// Returns the classes of the locks that the calling thread holds, or that a caller holds that
/// waits for this thread. A job that the thread starts must take neither.
pub(super) fn held() -> LockSet {
    HELD.get().union(CONTEXT.get().caller_locks)
}

/// A mutex with a class, which reports the deadlock that jobs add to the usual ones: a
/// thread that holds a lock starts a job and waits for it, and the job's thread
/// function waits for that lock.
///
/// The class of lockdep's `lockdep_map` for work items is the model; here one bit per class
/// travels with each helper, so the report comes at the first try, on whichever thread it is.
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
    /// A mutex of class number `class`, 0 to 63; others are not watched.
    #[must_use]
    pub const fn new(class: u32, value: T) -> Self {
        Self { class, mutex: Mutex::new(value) }
    }

    /// The class alone, for [`Job::takes_locks`](crate::Job::takes_locks).
    #[must_use]
    pub const fn classes(&self) -> LockSet {
        LockSet::EMPTY.with(self.class)
    }

    /// Waits for the mutex. A panic of an earlier holder is none of ours.
    ///
    /// # Panics
    ///
    /// Where it would wait forever: the calling thread, or a caller of the job that it
    /// helps, holds a lock of this class.
    pub fn lock(&self) -> OrderedMutexGuard<'_, T> {
        let before = HELD.get();
        assert!(
            !before.contains(self.class),
            "lock class {}: the calling thread holds it already",
            self.class
        );
        assert!(
            !CONTEXT.get().caller_locks.contains(self.class),
            "lock class {}: held by the caller of this job, who waits for this thread; \
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
        // Guards may go in any order; a class is held once at most.
        HELD.set(HELD.get().without(self.class));
    }
}
