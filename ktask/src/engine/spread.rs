//! How the workers of a job are distributed over its ranges.

use crate::NodeId;
use crate::cursor::{Cursor, Cursors};

/// Sets the number of workers that each of `cursors` should have: `threads` in all, in proportion to
/// the units left.
pub(super) fn set_wanted(cursors: &Cursors<'_>, threads: usize) {
    if cursors.len() == 1 {
        return cursors.get(0).set_wanted(threads);
    }
    let all: u64 = cursors.iter().map(|cursor| cursor.left()).sum();
    let (mut before, mut given) = (0, 0);
    for cursor in cursors.iter() {
        before += cursor.left();
        // The bound between two ranges is rounded to the nearest worker. So all workers are given,
        // and small differences between equal ranges change nothing.
        let bound = if all == 0 {
            threads
        } else {
            let (before, all) = (u128::from(before.min(all)), u128::from(all));
            ((before * threads as u128 * 2 + all) / (2 * all)) as usize
        };
        cursor.set_wanted(bound.saturating_sub(given));
        given = given.max(bound);
    }
}

/// Counts the caller, which never leaves, among the workers that the range of `own` should have. Otherwise it would be
/// surplus there, and no worker of another range would leave in its place.
pub(super) fn want_caller(cursors: &Cursors<'_>, own: &Cursor<'_>) {
    if own.wanted() > 0 {
        return;
    }
    if let Some(most) = cursors.iter().max_by_key(Cursor::wanted) {
        most.set_wanted(most.wanted().saturating_sub(1));
        own.set_wanted(1);
    }
}

/// Prepares [`next_range`] for starting helpers. `own` is the node of the caller, which works too.
pub(super) fn begin(cursors: &Cursors<'_>, own: NodeId) {
    if cursors.len() == 1 {
        // There is no other place.
        return;
    }
    let mut working = 0;
    for cursor in cursors.iter() {
        working += cursor.workers();
        cursor.set_placed(cursor.workers());
    }
    // Before its first chunk, the caller does not count as a worker of a range.
    let is_own = |cursor: &Cursor<'_>| cursor.is_at(own) && cursor.left() > 0;
    if let Some(cursor) = cursors.iter().find(is_own).filter(|_| working == 0) {
        cursor.set_placed(1);
    }
}

/// Returns the range that lacks the most workers, and counts a helper that is placed there.
pub(super) fn next_range<'c>(cursors: &Cursors<'c>) -> Option<Cursor<'c>> {
    if cursors.len() == 1 {
        return Some(cursors.get(0)).filter(|cursor| cursor.left() > 0);
    }
    // The first of equals, of that with the most workers missing.
    let lack = |cursor: &Cursor<'_>| cursor.placed() as isize - cursor.wanted() as isize;
    let cursor = cursors.iter().filter(|cursor| cursor.left() > 0).min_by_key(lack)?;
    cursor.set_placed(cursor.placed() + 1);
    Some(cursor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cursor::{Extent, MaybeNode, Slot};

    /// Of two ranges, the caller works on the one that is almost done, which should have none of the threads.
    #[test]
    fn the_caller_counts_where_it_works() {
        crate::sync::test(|| {
            let mut slots = [Slot::new(0), Slot::new(0)];
            let extent = |index| Extent { start: 0, end: [10, 90_000][index], node: MaybeNode::NONE };
            let cursors = Cursors::new(&mut slots, 1, &extent);
            let wanted = || [cursors.get(0).wanted(), cursors.get(1).wanted()];
            set_wanted(&cursors, 6);
            assert_eq!(wanted(), [0, 6]);
            want_caller(&cursors, &cursors.get(0));
            assert_eq!(wanted(), [1, 5], "one thread is the caller's");
            want_caller(&cursors, &cursors.get(1));
            assert_eq!(wanted(), [1, 5], "the caller is one of five");
        });
    }
}
