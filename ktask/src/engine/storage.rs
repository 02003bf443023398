//! Room on the caller's stack, as much as the job needs and not more.
//!
//! A job must not allocate, and a kernel's stack is small. So the tables come in a few
//! sizes, each in a frame of its own that exists only while a job of that size runs:
//! 128 bytes per node range (1, 8 or 64), 40 bytes per thread (4, 32, 128 or 1024).

use super::slots::WorkerSlot;
use crate::cursor::Cursor;
use crate::{MAX_NODE_RANGES, MAX_WORKERS};

/// Calls `go` with `ranges` cursors, made by `range`. `ranges <= MAX_NODE_RANGES`.
pub(super) fn with_cursors(ranges: usize, range: &dyn Fn(usize) -> Cursor, go: &mut dyn FnMut(&[Cursor])) {
    match ranges {
        0..=1 => cursors_of_size::<1>(ranges, range, go),
        2..=8 => cursors_of_size::<8>(ranges, range, go),
        _ => cursors_of_size::<MAX_NODE_RANGES>(ranges, range, go),
    }
}

#[inline(never)]
fn cursors_of_size<const SIZE: usize>(
    ranges: usize,
    range: &dyn Fn(usize) -> Cursor,
    go: &mut dyn FnMut(&[Cursor]),
) {
    let cursors: [Cursor; SIZE] =
        core::array::from_fn(|index| if index < ranges { range(index) } else { Cursor::new(0, 0, None) });
    go(&cursors[..ranges]);
}

/// Calls `go` with a slot per thread. `threads <= MAX_WORKERS`.
pub(super) fn with_slots(threads: usize, go: &mut dyn FnMut(&[WorkerSlot])) {
    match threads {
        0..=4 => slots_of_size::<4>(threads, go),
        5..=32 => slots_of_size::<32>(threads, go),
        33..=128 => slots_of_size::<128>(threads, go),
        _ => slots_of_size::<MAX_WORKERS>(threads, go),
    }
}

#[inline(never)]
fn slots_of_size<const SIZE: usize>(threads: usize, go: &mut dyn FnMut(&[WorkerSlot])) {
    let slots: [WorkerSlot; SIZE] = core::array::from_fn(|_| WorkerSlot::default());
    go(&slots[..threads]);
}
