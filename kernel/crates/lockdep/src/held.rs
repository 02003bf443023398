//! The locks held by one CPU or thread.

use crate::kind::{LockClassId, Place};

/// Most locks that one CPU or thread holds at a time. The documented order has nine lines, and no code takes locks of
/// all of them.
pub const MAX_HELD: usize = 16;

/// A lock that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The lock's class.
    pub class: LockClassId,
    /// The lock's identity, such as its address.
    pub lock: usize,
    /// Where the lock was taken.
    pub taken_at: Place,
}

/// The error that more than [`MAX_HELD`] locks are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The locks that one CPU or thread holds, in the order in which it took them.
#[derive(Clone, Debug)]
pub struct HeldLocks {
    locks: [Option<Held>; MAX_HELD],
    len: usize,
}

impl HeldLocks {
    /// Returns an empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self { locks: [None; MAX_HELD], len: 0 }
    }

    /// Whether no lock is held.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Iterates over the locks, outermost first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Held> {
        self.locks[..self.len].iter().flatten()
    }

    /// Returns the lock that was taken last.
    #[must_use]
    pub fn last(&self) -> Option<&Held> {
        self.iter().next_back()
    }

    /// Adds a lock.
    ///
    /// # Errors
    /// When the list is full.
    pub fn push(&mut self, held: Held) -> Result<(), Full> {
        *self.locks.get_mut(self.len).ok_or(Full)? = Some(held);
        self.len += 1;
        Ok(())
    }

    /// Removes a lock, which need not be the last; `None` when it is not in the list.
    pub fn remove(&mut self, lock: usize) -> Option<Held> {
        // From the end: locks are mostly released in the opposite order.
        let index =
            self.locks[..self.len].iter().rposition(|held| held.is_some_and(|held| held.lock == lock))?;
        let held = self.locks[index].take();
        self.locks[index..self.len].rotate_left(1);
        self.len -= 1;
        held
    }
}

impl Default for HeldLocks {
    fn default() -> Self {
        Self::new()
    }
}
