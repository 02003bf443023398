//! The job's cursors on the caller's stack, no more than the job needs.
//!
//! A job must not allocate, and a kernel's stack is small. So there are a few sizes, and each size
//! has a separate stack frame, which exists only while a job of that size runs.

use crate::MAX_NODE_RANGES;
use crate::cursor::{Cursor, Cursors};
use crate::sync::array_of;

/// The most cursors that have a cache line each.
const FEW: usize = 8;

/// Distance of two cursors with a cache line each, in cursors.
const SPREAD: usize = 64_usize.div_ceil(size_of::<Cursor>());

/// Calls `f` with the cursors `range(0)` to `range(ranges - 1)`. `ranges <= MAX_NODE_RANGES`.
pub(super) fn with_cursors(ranges: usize, range: &dyn Fn(usize) -> Cursor, f: &mut dyn FnMut(Cursors<'_>)) {
    match ranges {
        0..=FEW => cursors_of_size::<{ FEW * SPREAD }, SPREAD>(ranges, range, f),
        _ => cursors_of_size::<MAX_NODE_RANGES, 1>(ranges, range, f),
    }
}

#[inline(never)]
fn cursors_of_size<const SIZE: usize, const STEP: usize>(
    ranges: usize,
    range: &dyn Fn(usize) -> Cursor,
    f: &mut dyn FnMut(Cursors<'_>),
) {
    let mut cursors: [Cursor; SIZE] = array_of![Cursor::empty(); SIZE];
    let used = &mut cursors[..ranges * STEP];
    for (index, cursor) in used.iter_mut().step_by(STEP).enumerate() {
        *cursor = range(index);
    }
    f(Cursors::new(used, STEP));
}
