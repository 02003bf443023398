//! What locks are told apart by.

use core::fmt;
use core::panic::Location;

/// A place in the source.
pub type Place = &'static Location<'static>;

/// The number of a kind of lock, in the order in which kinds were first seen.
/// Below [`MAX_CLASSES`](crate::MAX_CLASSES).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockClassId(pub(crate) u8);

impl LockClassId {
    /// The number.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The class numbered `index`, if there can be one.
    #[must_use]
    pub const fn from_index(index: usize) -> Option<Self> {
        if index < crate::MAX_CLASSES { Some(Self(index as u8)) } else { None }
    }
}

/// A kind of lock: locks of one kind are for the same purpose, so they have the
/// same place in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One with a documented rank: a lock is only taken while those of lower
    /// ranks are held. Kinds of the same rank are ordered as they are seen.
    Ranked {
        /// What to call it.
        name: &'static str,
        /// Lower is further out.
        rank: u8,
    },
    /// One known by where its locks are made; its order is learnt.
    MadeAt(Place),
}

impl Kind {
    /// The documented rank, if it has one.
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
