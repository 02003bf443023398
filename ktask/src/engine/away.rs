//! When a worker helps a node that is not its own.
//!
//! A worker whose own node has no work left could take the last chunks of other nodes. It saves little time
//! there, and the memory is far. So it leaves the end of a range to the *residents*: the workers that are on the
//! range's node, or that have no range on a node of their own. A worker on a range of another node is *away*.
//!
//! At the speed so far, the rest of a range takes as long as so much of the job's time as it is of the claimed
//! units. So a share of these units is a share of the time, and no clock is needed. The share is that of the
//! moment at which the worker comes: what workers that are away claim does not make the residents faster.
//!
//! A worker that is away takes its share of the rest as one chunk, if no short chunks are asked for. So few chunks
//! are far. What it has done so far and what was claimed from the range, in about the same time, are their speeds.
//!
//! The worker goes where more than that is left, and where no resident is: a helper may be late, or lost.
//! A resident claims from its range until no units are left, unless the job ends or the governor has too many
//! helpers. So the caller of a governed job takes all that is left.

use crate::cursor::Cursor;

/// The share of the claimed units that is left to the residents, as a divisor: a thirty-second. One
/// resident then takes at most three hundredths of the job's time longer, of which one more worker would save
/// half.
const SPARED_SHARE: u64 = 32;

/// Returns how many units at the end of a range workers leave to its residents that come when `claimed` units
/// are claimed.
pub(super) fn spared(claimed: u64) -> u64 {
    claimed / SPARED_SHARE
}

/// Returns whether a worker that is away leaves what is left to the residents, if that is `spared` units. One that
/// spares none is a resident.
pub(super) fn leaves(cursor: &Cursor<'_>, spared: u64) -> bool {
    spared > 0 && cursor.left() <= spared && cursor.residents() > 0
}

/// Returns the length of a chunk after which a worker that is away is done at the same time as the residents, if `helpers`
/// workers like this one come. The worker has done `done` units. It spares `spared` of the range, of which `left`
/// are left.
pub(super) fn share(left: u64, spared: u64, done: u64, helpers: usize) -> u64 {
    let (done, claimed) = (u128::from(done), u128::from(spared) * u128::from(SPARED_SHARE));
    let all = done * helpers.max(1) as u128 + claimed;
    // `spared` is above 0 where a worker is away. The quotient is at most `left`.
    (u128::from(left) * done / all.max(1)) as u64
}
