//! The job's cursors on the caller's stack, no more than the job needs.
//!
//! A job must not allocate, and a kernel's stack is small. So there are a few sizes, and each size
//! has a separate stack frame, which exists only while a job of that size runs.

use crate::MAX_NODE_RANGES;
use crate::cursor::Cursor;

/// Calls `f` with the cursors `range(0)` to `range(ranges - 1)`. `ranges <= MAX_NODE_RANGES`.
pub(super) fn with_cursors(ranges: usize, range: &dyn Fn(usize) -> Cursor, f: &mut dyn FnMut(&[Cursor])) {
    match ranges {
        0..=1 => cursors_of_size::<1>(ranges, range, f),
        2..=8 => cursors_of_size::<8>(ranges, range, f),
        _ => cursors_of_size::<MAX_NODE_RANGES>(ranges, range, f),
    }
}

#[inline(never)]
fn cursors_of_size<const SIZE: usize>(
    ranges: usize,
    range: &dyn Fn(usize) -> Cursor,
    f: &mut dyn FnMut(&[Cursor]),
) {
    let cursors: [Cursor; SIZE] =
        core::array::from_fn(|index| if index < ranges { range(index) } else { Cursor::new(0, 0, None) });
    f(&cursors[..ranges]);
}
