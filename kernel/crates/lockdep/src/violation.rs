//! Describes what is wrong with an acquisition: both orders, with their places.

use core::fmt;

use crate::cycle::Cycle;
use crate::graph::Graph;
use crate::held::Held;
use crate::kind::{LockClassId, Place};

/// An acquisition that the order of locks forbids.
pub struct Violation<'g> {
    graph: &'g Graph,
    held: Held,
    taken_at: Place,
    how: How,
}

enum How {
    /// The lock is held already.
    Twice,
    /// Another lock of the same class is held.
    TwoOfAKind,
    /// The documented order is the opposite.
    AgainstRank(LockClassId),
    /// Earlier acquisitions and this one form a cycle.
    Cycle(LockClassId, Cycle),
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

    /// Whether the same lock is held already.
    #[must_use]
    pub const fn is_taken_twice(&self) -> bool {
        matches!(self.how, How::Twice)
    }

    fn fmt_first(&self, f: &mut fmt::Formatter<'_>, outer: LockClassId, inner: LockClassId) -> fmt::Result {
        let (outer_name, inner_name) = (self.graph.kind(outer), self.graph.kind(inner));
        match self.graph.first(outer, inner) {
            Some(edge) => {
                let (held_at, taken_at) = (edge.held_at, edge.taken_at);
                write!(f, "{outer_name} (at {held_at}) before {inner_name} (at {taken_at})")
            }
            // Another CPU is still writing the places down.
            None => write!(f, "{outer_name} before {inner_name}"),
        }
    }
}

impl fmt::Display for Violation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { graph, held, taken_at, .. } = self;
        let (held_name, held_at) = (graph.kind(held.class), held.taken_at);
        match &self.how {
            How::Twice => {
                write!(f, "{held_name} is taken at {taken_at} by its holder, which took it at {held_at}")
            }
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
                if graph.first(*class, held.class).is_some() {
                    write!(f, ", as in ")?;
                    self.fmt_first(f, *class, held.class)?;
                }
                Ok(())
            }
            How::Cycle(class, cycle) => {
                let name = graph.kind(*class);
                write!(f, "lock order: {name} is taken at {taken_at} while {held_name} is held, taken at ")?;
                write!(f, "{held_at}; seen before: ")?;
                for (number, (outer, inner)) in cycle.pairs().enumerate() {
                    f.write_str(if number == 0 { "" } else { ", " })?;
                    self.fmt_first(f, outer, inner)?;
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
