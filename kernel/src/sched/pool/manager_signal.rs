//! The wake-up of the manager. It is apart from the manager, because the pools wake it and it uses the pools.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use spin::Once;

use crate::sched::park::{park, unpark};
use crate::sched::thread::Thread;

static MANAGER: Once<Arc<Thread>> = Once::new();
/// The manager was woken since its last [`begin_look`]. The park token alone is not enough: an item that the manager ran
/// itself may have consumed the token while it waited.
static IS_WANTED: AtomicBool = AtomicBool::new(false);

/// Sets the thread to wake. Called once.
pub(super) fn set_manager(thread: Arc<Thread>) {
    MANAGER.call_once(|| thread);
}

/// Makes the manager look at all pools.
pub(super) fn wake() {
    IS_WANTED.store(true, SeqCst);
    if let Some(manager) = MANAGER.get() {
        unpark(manager);
    }
}

/// Clears the signal before the manager looks at the pools.
pub(super) fn begin_look() {
    IS_WANTED.store(false, SeqCst);
}

/// Parks the manager until `deadline_ns`, unless it was woken since [`begin_look`].
pub(super) fn park_unless_wanted(deadline_ns: Option<u64>) {
    if !IS_WANTED.load(SeqCst) {
        park(deadline_ns);
    }
}
