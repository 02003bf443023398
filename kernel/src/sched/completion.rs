//! The part of waiting that a thread record contains: a locked list of waiting threads, and [`Completion`].
//!
//! Methods that block or wake threads need park and unpark, which need thread records. They are in `wait`.

use runqueue::List;
use waiting::Locked;

use crate::arch::lock_class::LockClass;
use crate::arch::spin_lock::IrqSpinLock;

impl<T> Locked<T> for IrqSpinLock<T> {
    #[inline]
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.lock())
    }
}

/// A list of waiting threads, linked through the thread records.
pub(super) type WaitList = IrqSpinLock<List>;

/// Returns an empty list.
pub(super) const fn empty_list() -> WaitList {
    IrqSpinLock::of(LockClass::WAIT_QUEUE, List::new())
}

/// An event that happens once, and that threads can wait for.
pub struct Completion {
    pub(super) completion: waiting::Completion<WaitList>,
}

impl Completion {
    /// Creates the completion of an event that has not happened.
    pub const fn new() -> Self {
        Self { completion: waiting::Completion::new(empty_list()) }
    }

    /// Returns whether the event has happened.
    pub fn is_complete(&self) -> bool {
        self.completion.is_complete()
    }
}
