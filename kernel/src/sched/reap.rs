//! Dead threads: they have ended, and are freed by another thread.

use runqueue::List;

use super::table::{self, RunLinks};
use super::thread::Thread;
use crate::arch::lock_class::LockClass;
use crate::arch::spin_lock::IrqSpinLock;

/// Ended threads whose stacks no CPU uses any more.
static DEAD: IrqSpinLock<List> = IrqSpinLock::of(LockClass::DEAD_THREADS, List::new());

/// Leaves `thread`, which has ended and left its stack, to be [reaped](reap).
pub(super) fn push_dead(thread: &Thread) {
    DEAD.lock().push_back(&RunLinks, thread.tid());
}

/// Whether there is a thread to [reap].
pub(super) fn has_dead() -> bool {
    !DEAD.lock().is_empty()
}

/// Frees the dead threads.
pub fn reap() {
    loop {
        let dead = DEAD.lock().pop_front(&RunLinks);
        match dead {
            Some(tid) => table::forget(tid),
            None => return,
        }
    }
}
