//! The record of the mutexes that a thread holds, which [`held`](super::held) reads and writes. Debug builds only.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use lockdep::HeldLocks;

use crate::arch::lock_class::LockClass;
use crate::arch::spin_lock::IrqSpinLock;

/// The mutexes that a thread holds, and those of the callers that it works for as a helper.
pub(super) struct ThreadLocks {
    pub(super) held: IrqSpinLock<HeldLocks>,
    /// Classes that the callers hold, one bit each. Relaxed, as is `depth`: only the thread itself accesses them.
    caller_classes: AtomicU64,
    depth: AtomicU32,
}

impl ThreadLocks {
    /// Creates the record of a thread that holds nothing and helps no caller.
    pub(super) const fn new() -> Self {
        Self {
            held: IrqSpinLock::of(LockClass::HELD_MUTEXES, HeldLocks::new()),
            caller_classes: AtomicU64::new(0),
            depth: AtomicU32::new(0),
        }
    }

    /// Returns the classes that the thread or one of its callers holds, one bit each.
    pub(super) fn classes(&self) -> u64 {
        let own = self.held.lock().iter().fold(0, |set, held| set | 1 << held.class.index());
        own | self.caller_classes.load(Relaxed)
    }

    /// Returns the classes that the thread's callers hold, one bit each.
    pub(super) fn caller_classes(&self) -> u64 {
        self.caller_classes.load(Relaxed)
    }

    /// Replaces the callers' classes and their nesting depth; returns the previous values. Called by the thread itself.
    pub(super) fn replace_callers(&self, classes: u64, depth: u32) -> (u64, u32) {
        let before = (self.caller_classes.load(Relaxed), self.depth.load(Relaxed));
        self.caller_classes.store(classes, Relaxed);
        self.depth.store(depth, Relaxed);
        before
    }
}
