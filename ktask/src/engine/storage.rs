//! The slots of a job's ranges on the caller's stack, no more than the job needs.
//!
//! A job must not allocate, and a kernel's stack is small. So a job over several ranges has a stack frame
//! that other jobs have not.

use crate::MAX_NODE_RANGES;
use crate::cursor::{Cursors, ExtentFn, Slot};
use crate::sync::array_of;

/// Slots on a cache line.
const SLOTS_PER_LINE: usize = 64_usize.div_ceil(size_of::<Slot>());

/// Calls `f` with the cursor over the range `extent(0)`.
///
/// Inlined, because two frames take more of the stack than one.
#[inline(always)]
pub(super) fn with_cursor<R>(extent: &ExtentFn<'_>, f: impl FnOnce(&Cursors<'_>) -> R) -> R {
    f(&Cursors::new(&mut array_of![Slot::new(0); 1], 1, extent))
}

/// Calls `f` with the cursors over the ranges `extent(0)` to `extent(ranges - 1)`, at most
/// [`MAX_NODE_RANGES`]. The slots lie as far apart as there is room, a cache line at most.
#[inline(never)]
pub(super) fn with_cursors<R>(ranges: usize, extent: &ExtentFn<'_>, f: impl FnOnce(&Cursors<'_>) -> R) -> R {
    let mut slots: [Slot; MAX_NODE_RANGES] = array_of![Slot::new(0); MAX_NODE_RANGES];
    let spread = (MAX_NODE_RANGES / ranges).clamp(1, SLOTS_PER_LINE);
    f(&Cursors::new(&mut slots[..ranges * spread], spread, extent))
}
