//! The job's tables on the caller's stack, no larger than the job needs.
//!
//! A job must not allocate, and a kernel's stack is small. Each table therefore has a few sizes,
//! and each size has a separate stack frame, which exists only while a job of that size runs:
//! 128 bytes per node range (1, 8 or 64), 40 bytes per thread (4, 32, 128 or 1024).

use super::worker_slot::WorkerSlot;
use crate::cursor::Cursor;
use crate::{MAX_NODE_RANGES, MAX_WORKERS};

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

/// Calls `f` with a slot per thread. `threads <= MAX_WORKERS`.
pub(super) fn with_slots(threads: usize, f: &mut dyn FnMut(&[WorkerSlot])) {
    match threads {
        0..=4 => slots_of_size::<4>(threads, f),
        5..=32 => slots_of_size::<32>(threads, f),
        33..=128 => slots_of_size::<128>(threads, f),
        _ => slots_of_size::<MAX_WORKERS>(threads, f),
    }
}

#[inline(never)]
fn slots_of_size<const SIZE: usize>(threads: usize, f: &mut dyn FnMut(&[WorkerSlot])) {
    let slots: [WorkerSlot; SIZE] = core::array::from_fn(|_| WorkerSlot::default());
    f(&slots[..threads]);
}
