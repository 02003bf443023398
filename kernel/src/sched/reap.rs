//! Dead threads: they have ended, and are freed by another thread.

use alloc::sync::Arc;

use runqueue::List;

use super::resched::unpark;
use super::table::{self, RunLinks};
use super::thread::Thread;
use crate::arch::irq::IrqGuard;
use crate::arch::lock_class::LockClass;
use crate::arch::spin_lock::IrqSpinLock;

/// Ended threads whose stacks no CPU uses any more.
static DEAD: IrqSpinLock<List> = IrqSpinLock::of(LockClass::DEAD_THREADS, List::new());

/// The thread that waits until every ended thread is freed, if there is one.
static WAITER: IrqSpinLock<Option<Arc<Thread>>> = IrqSpinLock::of(LockClass::WAIT_QUEUE, None);

/// Leaves `thread`, which has ended and left its stack, to be [reaped](reap).
pub(super) fn push_dead(thread: &Thread) {
    DEAD.lock().push_back(&RunLinks, thread.tid());
    wake_waiter();
}

/// Whether there is a thread to [reap].
pub(super) fn has_dead() -> bool {
    !DEAD.lock().is_empty()
}

/// Frees the dead threads.
pub fn reap() {
    while reap_one() {}
}

/// Frees a dead thread. Returns false if there is none.
fn reap_one() -> bool {
    {
        // A thread that waits for the end of all dead threads must not wait for a reaper that other threads keep waiting, as
        // an idle thread.
        let _no_preemption = IrqGuard::new();
        let Some(tid) = DEAD.lock().pop_front(&RunLinks) else { return false };
        table::forget(tid);
    }
    wake_waiter();
    true
}

/// Makes `waiter` the thread that is woken when a thread is dead, and when one was freed.
pub(super) fn set_waiter(waiter: Option<Arc<Thread>>) {
    *WAITER.lock() = waiter;
}

fn wake_waiter() {
    // Under the lock: the waiter cannot end before it has taken itself out.
    if let Some(waiter) = &*WAITER.lock() {
        unpark(waiter);
    }
}
