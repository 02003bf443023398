//! Which mutexes a thread holds, and which are held by those who wait for it.
//! Debug builds keep that and judge it by the order of locks that they learn; in
//! others all of this is empty.
//!
//! A job's helper works for a caller who waits: a mutex that the caller holds is
//! one that the helper waits for in vain (invariant 26).

#[cfg(debug_assertions)]
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

#[cfg(debug_assertions)]
use {
    super::thread,
    crate::arch::{lock_class::LockClass, lock_order, spin_lock::IrqSpinLock},
    core::panic::Location,
    lockdep::{Held, HeldLocks, Kind},
};

/// What a thread holds, and for whom it works.
#[cfg(debug_assertions)]
pub(super) struct ThreadLocks {
    held: IrqSpinLock<HeldLocks>,
    /// Classes that the callers hold for whom the thread works. Relaxed, as is `depth`: the thread's own.
    callers: AtomicU64,
    depth: AtomicU32,
}

#[cfg(debug_assertions)]
impl ThreadLocks {
    /// None, for nobody.
    pub(super) const fn new() -> Self {
        Self {
            held: IrqSpinLock::of(LockClass::HELD_MUTEXES, HeldLocks::new()),
            callers: AtomicU64::new(0),
            depth: AtomicU32::new(0),
        }
    }
}

/// Classes of the mutexes that the calling thread holds, or that a caller holds
/// who waits for it, one bit each.
#[cfg(debug_assertions)]
pub fn held_classes() -> u64 {
    let locks = &thread::current().locks;
    let own = locks.held.lock().iter().fold(0, |set, held| set | 1 << held.class.index());
    own | locks.callers.load(Relaxed)
}

/// The calling thread works from now on for a caller `depth` jobs deep, who waits and holds mutexes of these
/// classes; returns for whom it worked before.
#[cfg(debug_assertions)]
pub fn enter_helper_context(classes: u64, depth: u32) -> (u64, u32) {
    let locks = &thread::current().locks;
    let before = (locks.callers.load(Relaxed), locks.depth.load(Relaxed));
    locks.callers.store(classes, Relaxed);
    locks.depth.store(depth, Relaxed);
    before
}

/// What a mutex is told apart by.
pub(super) struct MutexDebug {
    #[cfg(debug_assertions)]
    kind: Kind,
}

impl MutexDebug {
    /// Of a mutex that is made where this is called.
    #[cfg_attr(debug_assertions, track_caller)]
    pub(super) const fn made_here() -> Self {
        Self {
            #[cfg(debug_assertions)]
            kind: Kind::MadeAt(Location::caller()),
        }
    }

    /// The calling thread is about to wait for the mutex.
    ///
    /// # Panics
    /// In debug builds, when it would wait for itself, for a caller that waits
    /// for it, or against the order seen before.
    #[inline(always)]
    #[cfg_attr(debug_assertions, track_caller)]
    pub(super) fn before_lock(&self) {
        #[cfg(debug_assertions)]
        {
            let me = thread::current();
            let class = lock_order::class_of(self.kind);
            assert!(
                me.locks.callers.load(Relaxed) & 1 << class.index() == 0,
                "invariant 26: {} is wanted at {} by helper {}, whose caller holds one of this kind and waits for it",
                self.kind,
                Location::caller(),
                me.name()
            );
            let held = me.locks.held.lock().clone();
            lock_order::check(&held, class, self.id(), Location::caller());
        }
    }

    /// The calling thread has the mutex.
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

    /// The calling thread lets go of the mutex.
    #[inline(always)]
    pub(super) fn before_unlock(&self) {
        #[cfg(debug_assertions)]
        {
            let me = thread::current();
            let taken = me.locks.held.lock().remove(self.id());
            assert!(
                taken.is_some(),
                "invariant 24: {} lets go of a {} that it does not hold",
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
