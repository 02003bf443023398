//! Physical memory for the time before the page allocator.
//!
//! The model is Linux's memblock: what is free is known as a list of ranges;
//! what is in use is cut out of it and never comes back. When the page
//! allocator stands, it takes over [`EarlyFrames::remaining`].

use core::ops::Range;

use crate::PAGE_BYTES;
use crate::memmap::{MAX_REGIONS, MemoryMap};
use crate::ranges::RangeSet;

/// Free ranges that [`EarlyFrames`] can tell apart: those of any map, and room
/// for what is cut out.
pub const MAX_FREE_RANGES: usize = MAX_REGIONS + 256;

/// Allocator of physical memory during early boot. Nothing is freed.
///
/// About 20 KiB: not for a kernel's stack.
#[derive(Clone)]
pub struct EarlyFrames {
    free: RangeSet<MAX_FREE_RANGES>,
    floor: u64,
    allocated_bytes: u64,
    lost_bytes: u64,
}

impl EarlyFrames {
    /// All usable memory of `map`, but for the page at address 0: its old
    /// contents matter to real-mode code, and 0 reads as "none" elsewhere.
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
            // The set has room for every region of a map.
            self.free.push(range);
        }
        self.free.subtract(0..PAGE_BYTES);
        (self.floor, self.allocated_bytes, self.lost_bytes) = (floor, 0, 0);
    }

    /// Takes `range` (bytes) out of what is free. Parts of it that are not
    /// free already are no error.
    ///
    /// When there is no room for the two parts that a range falls into, the
    /// smaller one is lost: see [`lost_bytes`](Self::lost_bytes).
    pub fn reserve(&mut self, range: Range<u64>) {
        self.lost_bytes += self.free.subtract(range);
    }

    /// Finds `len_bytes` of free memory and returns its address, a multiple of
    /// `align`. The lowest place that fits is taken.
    ///
    /// The memory lies at or above the floor; with `below`, all of it lies
    /// below that address, and a `below` at or under the floor makes the floor
    /// not count (`Some(0x10_0000)` for real-mode code).
    ///
    /// `None` when nothing fits, `len_bytes` is 0 or `align` is no power of two.
    #[must_use = "the memory is taken and cannot be given back"]
    pub fn alloc(&mut self, len_bytes: u64, align: u64, below: Option<u64>) -> Option<u64> {
        let ceiling = below.unwrap_or(u64::MAX);
        let floor = if ceiling <= self.floor { 0 } else { self.floor };
        self.alloc_within(len_bytes, align, floor..ceiling)
    }

    /// As [`alloc`](Self::alloc), from the memory between two addresses; the
    /// floor does not count.
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

    /// What is still free, in whole 4 KiB pages, sorted.
    pub fn remaining(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.free.iter().filter_map(|range| {
            let start = range.start.checked_next_multiple_of(PAGE_BYTES)?;
            let end = range.end - range.end % PAGE_BYTES;
            (start < end).then_some(start..end)
        })
    }

    /// Sum of [`remaining`](Self::remaining), in bytes.
    #[must_use]
    pub fn remaining_bytes(&self) -> u64 {
        self.remaining().map(|range| range.end - range.start).sum()
    }

    /// Bytes handed out by [`alloc`](Self::alloc).
    #[must_use]
    pub const fn allocated_bytes(&self) -> u64 {
        self.allocated_bytes
    }

    /// Bytes that are free but out of reach because [`MAX_FREE_RANGES`] were
    /// not enough.
    #[must_use]
    pub const fn lost_bytes(&self) -> u64 {
        self.lost_bytes
    }
}
