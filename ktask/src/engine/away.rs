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
    spared > 0 && cursor.left() <= spared && cursor.has_resident()
}
