//! What is wrong with taking a lock, in words: both orders, with their places.

use core::fmt;

use crate::MAX_CLASSES;
use crate::graph::Graph;
use crate::held::Held;
use crate::kind::{LockClassId, Place};

/// A lock is taken that must not be.
pub struct Violation<'g> {
    graph: &'g Graph,
    held: Held,
    taken_at: Place,
    how: How,
}

enum How {
    /// The same lock.
    Twice,
    /// Another one of the same class.
    TwoOfAKind,
    /// The documented order says otherwise.
    AgainstRank(LockClassId),
    /// The classes were taken in an order that leads back.
    Cycle(LockClassId, Cycle),
}

/// Classes that were taken inside one another, outermost first.
pub(crate) struct Cycle {
    classes: [LockClassId; MAX_CLASSES],
    start: usize,
}

impl Cycle {
    pub(crate) const fn ending_at(last: LockClassId) -> Self {
        Self { classes: [last; MAX_CLASSES], start: MAX_CLASSES - 1 }
    }

    pub(crate) fn prepend(&mut self, class: LockClassId) {
        self.start -= 1;
        self.classes[self.start] = class;
    }

    fn pairs(&self) -> impl Iterator<Item = (LockClassId, LockClassId)> {
        self.classes[self.start..].windows(2).map(|pair| (pair[0], pair[1]))
    }
}

impl<'g> Violation<'g> {
    pub(crate) const fn taken_twice(graph: &'g Graph, held: Held, taken_at: Place) -> Self {
        Self { graph, held, taken_at, how: How::Twice }
    }

    pub(crate) const fn two_of_a_kind(graph: &'g Graph, held: Held, taken_at: Place) -> Self {
        Self { graph, held, taken_at, how: How::TwoOfAKind }
    }

    pub(crate) const fn against_rank(
        graph: &'g Graph,
        held: Held,
        class: LockClassId,
        taken_at: Place,
    ) -> Self {
        Self { graph, held, taken_at, how: How::AgainstRank(class) }
    }

    pub(crate) const fn cycle(
        graph: &'g Graph,
        held: Held,
        class: LockClassId,
        taken_at: Place,
        cycle: Cycle,
    ) -> Self {
        Self { graph, held, taken_at, how: How::Cycle(class, cycle) }
    }

    /// Whether the very lock is held already.
    #[must_use]
    pub const fn is_taken_twice(&self) -> bool {
        matches!(self.how, How::Twice)
    }

    fn first_seen(&self, f: &mut fmt::Formatter<'_>, outer: LockClassId, inner: LockClassId) -> fmt::Result {
        let (outer_name, inner_name) = (self.graph.kind(outer), self.graph.kind(inner));
        match self.graph.edge(outer, inner) {
            Some(edge) => {
                let (held_at, taken_at) = (edge.held_at, edge.taken_at);
                write!(f, "{outer_name} (at {held_at}) before {inner_name} (at {taken_at})")
            }
            // Another CPU is just writing it down.
            None => write!(f, "{outer_name} before {inner_name}"),
        }
    }
}

impl fmt::Display for Violation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { graph, held, taken_at, .. } = self;
        let (held_name, held_at) = (graph.kind(held.class), held.taken_at);
        match &self.how {
            How::Twice => write!(f, "{held_name} is taken at {taken_at} by who took it at {held_at}"),
            How::TwoOfAKind => {
                write!(
                    f,
                    "two of a kind: {held_name} is taken at {taken_at} while another is held, taken at "
                )?;
                write!(f, "{held_at}; one at a time")
            }
            How::AgainstRank(class) => {
                let name = graph.kind(*class);
                write!(f, "lock order: {name} is taken at {taken_at} while {held_name} is held, taken at ")?;
                write!(f, "{held_at}; the documented order is {name} before {held_name}")?;
                if graph.edge(*class, held.class).is_some() {
                    write!(f, ", as in ")?;
                    self.first_seen(f, *class, held.class)?;
                }
                Ok(())
            }
            How::Cycle(class, cycle) => {
                let name = graph.kind(*class);
                write!(f, "lock order: {name} is taken at {taken_at} while {held_name} is held, taken at ")?;
                write!(f, "{held_at}; seen before: ")?;
                for (number, (outer, inner)) in cycle.pairs().enumerate() {
                    f.write_str(if number == 0 { "" } else { ", " })?;
                    self.first_seen(f, outer, inner)?;
                }
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Violation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
