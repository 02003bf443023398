//! Memory that several threads write, each its own part.

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::ops::Range;

/// A slice whose parts are handed to threads by position.
pub struct Shared<T> {
    items: UnsafeCell<Vec<T>>,
}

// SAFETY: `part` is the only access through a shared reference, and its callers see to it that no two parts
// in use overlap. So sharing the value only sends items between threads.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T: Clone> Shared<T> {
    /// Makes `len` copies of `item`.
    pub fn new(item: T, len: usize) -> Self {
        Self { items: UnsafeCell::new(vec![item; len]) }
    }

    /// Returns the items of `range`.
    ///
    /// # Safety
    ///
    /// No other part that shares items with `range` is in use, and `range` lies within the slice.
    #[allow(clippy::mut_from_ref, reason = "the caller sees to it that parts do not overlap")]
    pub unsafe fn part(&self, range: Range<u64>) -> &mut [T] {
        // SAFETY: the vector is not changed while `self` is shared, so reading its pointer is sound.
        let first = unsafe { (*self.items.get()).as_mut_ptr() };
        let (start, len) = (range.start as usize, (range.end - range.start) as usize);
        // SAFETY: the caller keeps `range` within the slice, and parts in use apart.
        unsafe { std::slice::from_raw_parts_mut(first.add(start), len) }
    }
}

/// Sets bytes to 0 by the C library's `memset`.
pub fn clear(bytes: &mut [u8]) {
    black_box(bytes).fill(0);
}
