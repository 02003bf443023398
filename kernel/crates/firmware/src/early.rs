//! Allocator of physical memory before the page allocator.
//!
//! The model is Linux's memblock: a list of free ranges, from which allocated memory is cut for good. The page allocator then
//! takes over [`EarlyFrames::remaining`].

use core::ops::Range;

use crate::PAGE_BYTES;
use crate::memmap::{MAX_REGIONS, MemoryMap};
use crate::ranges::RangeSet;

/// Most free ranges in [`EarlyFrames`]: those of any map, and some for ranges that allocations split.
pub const MAX_FREE_RANGES: usize = MAX_REGIONS + 256;

/// Allocator of physical memory during early boot. Nothing is freed.
///
/// About 20 KiB: too large for a kernel's stack.
#[derive(Clone)]
pub struct EarlyFrames {
    free: RangeSet<MAX_FREE_RANGES>,
    floor: u64,
    allocated_bytes: u64,
    lost_bytes: u64,
}

impl EarlyFrames {
    /// Returns an allocator of all usable memory of `map`, except the page at address 0. Real-mode code needs its old content,
    /// and other code reads 0 as "none".
    ///
    /// Allocations begin at or above `floor` bytes, unless they have to lie
    /// below it (see [`alloc`](Self::alloc)).
    #[must_use]
    pub fn new(map: &MemoryMap, floor: u64) -> Self {
        let mut frames = Self::EMPTY;
        frames.fill(map, floor);
        frames
    }

    /// No memory.
    pub const EMPTY: Self = Self { free: RangeSet::new(), floor: 0, allocated_bytes: 0, lost_bytes: 0 };

    /// As [`new`](Self::new), in place.
    pub fn fill(&mut self, map: &MemoryMap, floor: u64) {
        self.free.clear();
        for range in map.usable() {
            // All regions of a map fit.
            self.free.push(range);
        }
        self.free.subtract(0..PAGE_BYTES);
        (self.floor, self.allocated_bytes, self.lost_bytes) = (floor, 0, 0);
    }

    /// Removes `range` (bytes) from the free memory; parts of it may be in use already.
    ///
    /// If a free range is split and both parts do not fit into the list, the smaller one is lost: see
    /// [`lost_bytes`](Self::lost_bytes).
    pub fn reserve(&mut self, range: Range<u64>) {
        self.lost_bytes += self.free.subtract(range);
    }

    /// Allocates `len_bytes` at the lowest possible address that is a multiple of `align`, and returns the address.
    ///
    /// The memory lies at or above the floor. With `below`, all of it lies below that address; a `below` at or under the
    /// floor overrides the floor (`Some(0x10_0000)` for real-mode code).
    ///
    /// Returns `None` if no free range is large enough, `len_bytes` is 0, or `align` is not a power of two.
    #[must_use = "the memory is taken and cannot be given back"]
    pub fn alloc(&mut self, len_bytes: u64, align: u64, below: Option<u64>) -> Option<u64> {
        let ceiling = below.unwrap_or(u64::MAX);
        let floor = if ceiling <= self.floor { 0 } else { self.floor };
        self.alloc_within(len_bytes, align, floor..ceiling)
    }

    /// Allocates as [`alloc`](Self::alloc), but `within` a range of addresses instead of above the floor.
    #[must_use = "the memory is taken and cannot be given back"]
    pub fn alloc_within(&mut self, len_bytes: u64, align: u64, within: Range<u64>) -> Option<u64> {
        if len_bytes == 0 || !align.is_power_of_two() {
            return None;
        }
        let (start, end) = self.free.iter().find_map(|range| {
            let start = range.start.max(within.start).checked_next_multiple_of(align)?;
            let end = start.checked_add(len_bytes)?;
            (end <= range.end.min(within.end)).then_some((start, end))
        })?;
        self.lost_bytes += self.free.subtract(start..end);
        self.allocated_bytes += len_bytes;
        Some(start)
    }

    /// Returns the free memory in whole 4 KiB pages, sorted.
    pub fn remaining(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.free.iter().filter_map(|range| {
            let start = range.start.checked_next_multiple_of(PAGE_BYTES)?;
            let end = range.end - range.end % PAGE_BYTES;
            (start < end).then_some(start..end)
        })
    }

    /// Returns the sum of [`remaining`](Self::remaining) in bytes.
    #[must_use]
    pub fn remaining_bytes(&self) -> u64 {
        self.remaining().map(|range| range.end - range.start).sum()
    }

    /// Returns the number of allocated bytes.
    #[must_use]
    pub const fn allocated_bytes(&self) -> u64 {
        self.allocated_bytes
    }

    /// Returns the number of free bytes that were lost because [`MAX_FREE_RANGES`] were not enough.
    #[must_use]
    pub const fn lost_bytes(&self) -> u64 {
        self.lost_bytes
    }
}
