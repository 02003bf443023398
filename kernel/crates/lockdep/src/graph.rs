//! Which class was taken while which was held.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use spin::Once;

use crate::held::{Held, HeldLocks};
use crate::kind::{Kind, LockClassId, Place};
use crate::violation::{Cycle, Violation};

/// Most classes: a set of them is one word.
pub const MAX_CLASSES: usize = 64;

/// The first time that one class was taken while another was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    /// Where the outer one had been taken.
    pub(crate) held_at: Place,
    /// Where the inner one was taken.
    pub(crate) taken_at: Place,
}

/// All classes, and the order in which they were taken so far. Shared by all
/// CPUs; it waits for nobody for longer than it takes to write down a place.
pub struct Graph {
    kinds: [Once<Kind>; MAX_CLASSES],
    /// For each class, the set of those taken while it was held.
    taken_inside: [AtomicU64; MAX_CLASSES],
    first: [[Once<Edge>; MAX_CLASSES]; MAX_CLASSES],
}

impl Graph {
    /// Without a class.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            kinds: [const { Once::new() }; MAX_CLASSES],
            taken_inside: [const { AtomicU64::new(0) }; MAX_CLASSES],
            first: [const { [const { Once::new() }; MAX_CLASSES] }; MAX_CLASSES],
        }
    }

    /// The class of locks of this kind; `None` when there are [`MAX_CLASSES`] of
    /// other kinds.
    pub fn class_of(&self, kind: Kind) -> Option<LockClassId> {
        // Slots fill from the front, and a filled one never changes.
        let index = self.kinds.iter().position(|slot| *slot.call_once(|| kind) == kind)?;
        LockClassId::from_index(index)
    }

    /// What the class is about.
    ///
    /// # Panics
    /// When the class is none that [`class_of`](Self::class_of) has given out.
    pub fn kind(&self, class: LockClassId) -> Kind {
        *self.kinds[class.index()].get().expect("a class is given out once its kind is written down")
    }

    pub(crate) fn edge(&self, outer: LockClassId, inner: LockClassId) -> Option<&Edge> {
        self.first[outer.index()][inner.index()].get()
    }

    fn inside(&self, class: LockClassId) -> u64 {
        self.taken_inside[class.index()].load(SeqCst)
    }

    /// Whether a lock may be taken, at `place`, by one who holds `held`; if so,
    /// that order is remembered. To be asked before the lock is waited for.
    ///
    /// # Errors
    /// What is wrong with it, and what it contradicts.
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
        let bit = 1 << class.index();
        if self.inside(held.class) & bit != 0 {
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
        // First said, then looked: of two CPUs that come in opposite orders at the same time, at least one sees
        // what the other has said.
        self.taken_inside[held.class.index()].fetch_or(bit, SeqCst);
        if let Some(cycle) = self.path(class, held.class) {
            self.taken_inside[held.class.index()].fetch_and(!bit, SeqCst);
            return Err(Violation::cycle(self, *held, class, place, cycle));
        }
        self.first[held.class.index()][class.index()]
            .call_once(|| Edge { held_at: held.taken_at, taken_at: place });
        Ok(())
    }

    /// The shortest way from `from` to `to` along what was taken inside what.
    fn path(&self, from: LockClassId, to: LockClassId) -> Option<Cycle> {
        let mut came_from = [None; MAX_CLASSES];
        let mut seen = 1u64 << from.index();
        let mut frontier = seen;
        while frontier != 0 && seen & 1 << to.index() == 0 {
            let mut next = 0;
            for class in classes_in(frontier) {
                let new = self.inside(class) & !(seen | next);
                classes_in(new).for_each(|inner| came_from[inner.index()] = Some(class));
                next |= new;
            }
            seen |= next;
            frontier = next;
        }
        came_from[to.index()]?;
        let mut cycle = Cycle::ending_at(to);
        let mut at = to;
        while let Some(before) = came_from[at.index()] {
            cycle.prepend(before);
            at = before;
        }
        Some(cycle)
    }
}

impl Default for Graph {
    fn default() -> Self {
        Self::new()
    }
}

fn classes_in(set: u64) -> impl Iterator<Item = LockClassId> {
    (0..MAX_CLASSES).filter(move |index| set & 1 << index != 0).filter_map(LockClassId::from_index)
}
