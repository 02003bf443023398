//! Checks an acquisition against the order of locks.

use crate::graph::{Edge, Graph};
use crate::held::{Held, HeldLocks};
use crate::kind::{LockClassId, Place};
use crate::violation::Violation;

impl Graph {
    /// Checks whether `lock` may be taken at `place` by a CPU or thread that holds `held`, and if so records the
    /// order. The caller checks before it waits for the lock.
    ///
    /// # Errors
    /// The violation, with the order that it contradicts.
    pub fn check(
        &self,
        held: &HeldLocks,
        class: LockClassId,
        lock: usize,
        place: Place,
    ) -> Result<(), Violation<'_>> {
        if let Some(held) = held.iter().find(|held| held.lock == lock) {
            return Err(Violation::taken_twice(self, *held, place));
        }
        held.iter().try_for_each(|held| self.check_pair(held, class, place))
    }

    fn check_pair(&self, held: &Held, class: LockClassId, place: Place) -> Result<(), Violation<'_>> {
        if self.contains(held.class, class) {
            return Ok(());
        }
        if held.class == class {
            return Err(Violation::two_of_a_kind(self, *held, place));
        }
        let ranks = (self.kind(held.class).rank(), self.kind(class).rank());
        if let (Some(outer), Some(inner)) = ranks
            && outer > inner
        {
            return Err(Violation::against_rank(self, *held, class, place));
        }
        // SeqCst, store then load: we insert our edge, then search for a path back. Of two CPUs that take the locks in
        // opposite orders at the same time, at least one sees the other's edge.
        self.insert(held.class, class);
        if let Some(cycle) = self.path(class, held.class) {
            self.remove(held.class, class);
            return Err(Violation::cycle(self, *held, class, place, cycle));
        }
        self.set_first(held.class, class, Edge { held_at: held.taken_at, taken_at: place });
        Ok(())
    }
}
