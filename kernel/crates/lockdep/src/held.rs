//! Who holds what.

use crate::kind::{LockClassId, Place};

/// Most locks that one CPU or thread holds at a time: the documented order has
/// nine lines, and nothing goes through all of them.
pub const MAX_HELD: usize = 16;

/// A lock that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its class.
    pub class: LockClassId,
    /// The lock itself: a number that is its own, as its address.
    pub lock: usize,
    /// Where it was taken.
    pub taken_at: Place,
}

/// More than [`MAX_HELD`] locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The locks that one CPU or thread holds, in the order in which it took them.
#[derive(Clone, Debug)]
pub struct HeldLocks {
    locks: [Option<Held>; MAX_HELD],
    len: usize,
}

impl HeldLocks {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self { locks: [None; MAX_HELD], len: 0 }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The locks, outermost first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Held> {
        self.locks[..self.len].iter().flatten()
    }

    /// The lock that was taken last.
    #[must_use]
    pub fn last(&self) -> Option<&Held> {
        self.iter().next_back()
    }

    /// Adds a lock.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn push(&mut self, held: Held) -> Result<(), Full> {
        *self.locks.get_mut(self.len).ok_or(Full)? = Some(held);
        self.len += 1;
        Ok(())
    }

    /// Takes a lock out, which need not be the last; `None` when it is not there.
    pub fn remove(&mut self, lock: usize) -> Option<Held> {
        // From the end: locks are mostly let go of in the opposite order.
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
