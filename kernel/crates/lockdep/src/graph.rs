//! Records which class was taken while which was held.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use spin::Once;

use crate::cycle::Cycle;
use crate::kind::{Kind, LockClassId, MAX_CLASSES, Place};

/// The first time that one class was taken while another was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    /// Where the outer lock had been taken.
    pub(crate) held_at: Place,
    /// Where the inner lock was taken.
    pub(crate) taken_at: Place,
}

/// All classes, and the order in which they were taken so far. All CPUs share it. An operation waits at most for
/// another CPU to write down a place.
pub struct Graph {
    kinds: [Once<Kind>; MAX_CLASSES],
    /// For each class, the set of classes that were taken while it was held.
    taken_inside: [AtomicU64; MAX_CLASSES],
    first: [[Once<Edge>; MAX_CLASSES]; MAX_CLASSES],
}

impl Graph {
    /// Returns a graph without classes.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            kinds: [const { Once::new() }; MAX_CLASSES],
            taken_inside: [const { AtomicU64::new(0) }; MAX_CLASSES],
            first: [const { [const { Once::new() }; MAX_CLASSES] }; MAX_CLASSES],
        }
    }

    /// Returns the class of locks of this kind; `None` when [`MAX_CLASSES`] other kinds have all of them.
    pub fn class_of(&self, kind: Kind) -> Option<LockClassId> {
        // Slots fill from the front, and a filled slot never changes.
        let index = self.kinds.iter().position(|slot| *slot.call_once(|| kind) == kind)?;
        LockClassId::from_index(index)
    }

    /// Returns the kind of lock that `class` stands for.
    ///
    /// # Panics
    /// When [`class_of`](Self::class_of) never returned `class`.
    pub fn kind(&self, class: LockClassId) -> Kind {
        *self.kinds[class.index()].get().expect("class_of writes the kind down before it returns a class")
    }

    /// Returns the first time that `inner` was taken inside `outer`; `None` also while another CPU writes it down.
    pub(crate) fn first(&self, outer: LockClassId, inner: LockClassId) -> Option<&Edge> {
        self.first[outer.index()][inner.index()].get()
    }

    /// Writes down where `inner` was taken inside `outer`, unless an earlier time is known.
    pub(crate) fn set_first(&self, outer: LockClassId, inner: LockClassId, edge: Edge) {
        self.first[outer.index()][inner.index()].call_once(|| edge);
    }

    /// Whether `inner` was taken inside `outer` before.
    pub(crate) fn contains(&self, outer: LockClassId, inner: LockClassId) -> bool {
        self.inside(outer) & inner.bit() != 0
    }

    /// Records that `inner` is taken inside `outer`.
    pub(crate) fn insert(&self, outer: LockClassId, inner: LockClassId) {
        self.taken_inside[outer.index()].fetch_or(inner.bit(), SeqCst);
    }

    /// Takes back an [`insert`](Self::insert).
    pub(crate) fn remove(&self, outer: LockClassId, inner: LockClassId) {
        self.taken_inside[outer.index()].fetch_and(!inner.bit(), SeqCst);
    }

    fn inside(&self, class: LockClassId) -> u64 {
        self.taken_inside[class.index()].load(SeqCst)
    }

    /// Finds the shortest path from `from` to `to`, from outer to inner classes.
    pub(crate) fn path(&self, from: LockClassId, to: LockClassId) -> Option<Cycle> {
        let mut came_from = [None; MAX_CLASSES];
        let mut seen = from.bit();
        let mut frontier = seen;
        while frontier != 0 && seen & to.bit() == 0 {
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
        let mut path = Cycle::ending_at(to);
        let mut at = to;
        while let Some(before) = came_from[at.index()] {
            path.prepend(before);
            at = before;
        }
        Some(path)
    }
}

impl Default for Graph {
    fn default() -> Self {
        Self::new()
    }
}

fn classes_in(set: u64) -> impl Iterator<Item = LockClassId> {
    (0..MAX_CLASSES).filter_map(LockClassId::from_index).filter(move |class| set & class.bit() != 0)
}
