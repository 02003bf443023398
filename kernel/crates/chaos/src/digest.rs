//! What identifies a sequence of decisions.

use core::fmt;

use crate::point::{Action, Point};

/// Counts and hash of the decisions since a seed was set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// Points, which are draws.
    pub points: u64,
    /// Points at which something happened.
    pub actions: u64,
    /// Hash of all decisions, in order.
    pub hash: u64,
}

impl Digest {
    /// Returns this digest with the one of the next CPU.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self {
            points: self.points.wrapping_add(other.points),
            actions: self.actions.wrapping_add(other.actions),
            hash: mix(self.hash, other.hash),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} points, {} actions, sequence {:#018x}", self.points, self.actions, self.hash)
    }
}

/// Returns `hash` with one more decision.
pub(crate) const fn fold(hash: u64, point: Point, action: Action) -> u64 {
    let (kind, amount) = match action {
        Action::Nothing => (0, 0),
        Action::Delay(rounds) => (1, rounds),
        Action::Preempt => (2, 0),
        Action::Interrupt(cpu) => (3, cpu),
    };
    mix(hash, (point as u64) << 40 | kind << 32 | amount as u64)
}

/// One step of FNV-1a on a word, with a rotation so that high bits take part.
const fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(23) ^ word ^ 0xcbf2_9ce4_8422_2325).wrapping_mul(0x0000_0100_0000_01b3)
}
