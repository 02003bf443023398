//! The deadlines of one CPU.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use runqueue::Heap;

use super::table::TimerNodes;
use crate::arch::lock_class::LockClass;
use crate::arch::spin_lock::IrqSpinLock;

/// The timer is not armed.
pub(super) const NEVER: u64 = u64::MAX;

/// Threads that sleep until a deadline, and when the CPU's timer fires for them.
pub(super) struct TimerQueue {
    /// Sleeping threads by deadline.
    pub(super) sleepers: IrqSpinLock<Heap>,
    /// Earliest deadline among the sleepers.
    pub(super) earliest_ns: AtomicU64,
    /// When the timer fires: never after the earliest deadline. Only this CPU uses it.
    pub(super) armed_ns: AtomicU64,
}

impl TimerQueue {
    /// A queue without deadlines.
    pub(super) const fn new() -> Self {
        Self {
            sleepers: IrqSpinLock::of(LockClass::TIMERS, Heap::new()),
            earliest_ns: AtomicU64::new(NEVER),
            armed_ns: AtomicU64::new(NEVER),
        }
    }

    pub(super) fn publish_earliest(&self, sleepers: &Heap) {
        self.earliest_ns.store(sleepers.first_key(&TimerNodes).unwrap_or(NEVER), SeqCst);
    }
}
