//! Kinds and classes of locks.

use core::fmt;
use core::panic::Location;

/// A place in the source.
pub type Place = &'static Location<'static>;

/// Most classes of a [`Graph`](crate::Graph): a set of classes is one word.
pub const MAX_CLASSES: usize = 64;

/// The number of a kind of lock, in the order in which kinds were first seen. Below [`MAX_CLASSES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockClassId(pub(crate) u8);

impl LockClassId {
    /// Returns the number.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Returns the class numbered `index`; `None` for an index that is too large.
    #[must_use]
    pub const fn from_index(index: usize) -> Option<Self> {
        if index < MAX_CLASSES { Some(Self(index as u8)) } else { None }
    }

    pub(crate) const fn bit(self) -> u64 {
        1 << self.0
    }
}

/// A kind of lock. Locks of one kind have the same purpose, and so the same place in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A kind with a documented rank: a lock is only taken while locks of lower ranks are held. The order of kinds
    /// of the same rank is learnt.
    Ranked {
        /// The name in reports.
        name: &'static str,
        /// Lower is further out.
        rank: u8,
    },
    /// A kind that is known by the place where its locks are made. Its order is learnt.
    MadeAt(Place),
}

impl Kind {
    /// Returns the documented rank, if the kind has one.
    #[must_use]
    pub const fn rank(&self) -> Option<u8> {
        match self {
            Self::Ranked { rank, .. } => Some(*rank),
            Self::MadeAt(_) => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ranked { name, .. } => f.write_str(name),
            Self::MadeAt(place) => write!(f, "lock made at {place}"),
        }
    }
}
