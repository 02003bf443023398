//! Checks of the mutexes that threads hold, in debug builds. In release builds all of this is empty.
//!
//! A thread that takes a mutex is checked against the lock order learned so far (invariant 9). A helper of a job must
//! not take a mutex of a class that its caller holds: the caller waits for the helper (invariant 26).

#[cfg(debug_assertions)]
use {
    super::thread,
    crate::arch::lock_order,
    core::panic::Location,
    lockdep::{Held, Kind},
};

/// Returns the classes of the mutexes that the calling thread holds, or that a caller holds which waits for it, one bit
/// each.
#[cfg(debug_assertions)]
pub fn held_classes() -> u64 {
    thread::current().locks.classes()
}

/// Makes the calling thread a helper of a caller `depth` jobs deep, which waits and holds mutexes of `classes`. Returns
/// the previous values.
#[cfg(debug_assertions)]
pub fn enter_helper_context(classes: u64, depth: u32) -> (u64, u32) {
    thread::current().locks.replace_callers(classes, depth)
}

/// The identity of a mutex for the checks.
pub(super) struct MutexDebug {
    #[cfg(debug_assertions)]
    kind: Kind,
}

impl MutexDebug {
    /// Creates the identity of a mutex that is created where this is called.
    #[cfg_attr(debug_assertions, track_caller)]
    pub(super) const fn made_here() -> Self {
        Self {
            #[cfg(debug_assertions)]
            kind: Kind::MadeAt(Location::caller()),
        }
    }

    /// Checks the lock order before the calling thread waits for the mutex.
    ///
    /// # Panics
    /// In debug builds, when the thread would wait for itself, or for a caller that waits for it. Also when it takes the mutex
    /// against the lock order.
    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    pub(super) fn before_lock(&self) {
        #[cfg(debug_assertions)]
        {
            let me = thread::current();
            let class = lock_order::class_of(self.kind);
            assert!(
                me.locks.caller_classes() & 1 << class.index() == 0,
                "invariant 26: {} is wanted at {} by helper {}, whose caller holds one of this kind and waits for it",
                self.kind,
                Location::caller(),
                me.name()
            );
            let held = me.locks.held.lock().clone();
            lock_order::check(&held, class, self.id(), Location::caller());
        }
    }

    /// Records that the calling thread has taken the mutex.
    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    pub(super) fn after_lock(&self) {
        #[cfg(debug_assertions)]
        {
            let class = lock_order::class_of(self.kind);
            let entry = Held { class, lock: self.id(), taken_at: Location::caller() };
            let pushed = thread::current().locks.held.lock().push(entry);
            assert!(pushed.is_ok(), "invariant 9: a thread holds more than {} mutexes", lockdep::MAX_HELD);
        }
    }

    /// Records that the calling thread releases the mutex.
    #[inline(always)]
    pub(super) fn before_unlock(&self) {
        #[cfg(debug_assertions)]
        {
            let me = thread::current();
            let taken = me.locks.held.lock().remove(self.id());
            assert!(
                taken.is_some(),
                "invariant 24: {} releases a {} that it does not hold",
                me.name(),
                self.kind
            );
        }
    }

    #[cfg(debug_assertions)]
    fn id(&self) -> usize {
        core::ptr::from_ref(self) as usize
    }
}
