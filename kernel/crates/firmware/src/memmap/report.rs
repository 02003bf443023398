//! Report of the repair of a memory map.

use core::fmt;

/// Repairs by [`MemoryMap::sanitise`](super::MemoryMap::sanitise).
///
/// `Display` gives one line for the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MapReport {
    /// Regions in the input.
    pub input: usize,
    /// Regions in the finished map.
    pub output: usize,
    /// Regions that begin before an earlier one of the input.
    pub unsorted: usize,
    /// Regions that overlap an earlier one of the input.
    pub overlapping: usize,
    /// Regions with an end that is not a multiple of 4 KiB.
    pub unaligned: usize,
    /// Empty regions.
    pub zero_length: usize,
    /// Regions whose end lies before their start; ignored.
    pub inverted: usize,
    /// Regions that reach beyond the physical address space; cut.
    pub clipped: usize,
    /// Usable regions that were dropped because the map was full.
    pub dropped: usize,
    /// Neighbouring non-usable regions that were merged with the gap between them because the map was full.
    pub fused: usize,
    /// Bytes of the regions in `dropped` and of the gaps in `fused`.
    pub lost_bytes: u64,
}

impl MapReport {
    /// Returns whether the input needed no repair.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.unsorted == 0 && self.unaligned == 0 && self.zero_length == 0 && !self.is_suspicious()
    }

    /// Returns whether the map is worth a warning. Ends within a page are usual, and no specification promises an order; all
    /// else is a firmware bug or a loss of memory.
    #[must_use]
    pub const fn is_suspicious(&self) -> bool {
        self.overlapping + self.inverted + self.clipped + self.dropped + self.fused > 0
    }

    /// Returns the report of two repairs, of which `later` made the finished map.
    #[must_use]
    pub const fn then(self, later: Self) -> Self {
        Self {
            input: self.input,
            output: later.output,
            unsorted: self.unsorted + later.unsorted,
            overlapping: self.overlapping + later.overlapping,
            unaligned: self.unaligned + later.unaligned,
            zero_length: self.zero_length + later.zero_length,
            inverted: self.inverted + later.inverted,
            clipped: self.clipped + later.clipped,
            dropped: self.dropped + later.dropped,
            fused: self.fused + later.fused,
            lost_bytes: self.lost_bytes + later.lost_bytes,
        }
    }
}

impl fmt::Display for MapReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory map: {} regions in, {} out", self.input, self.output)?;
        let repairs = [
            (self.unsorted, "unsorted"),
            (self.overlapping, "overlapping"),
            (self.unaligned, "unaligned"),
            (self.zero_length, "of no length"),
            (self.inverted, "inverted"),
            (self.clipped, "beyond the physical address space"),
            (self.dropped, "dropped"),
            (self.fused, "fused"),
        ];
        for (count, what) in repairs {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        if self.lost_bytes > 0 {
            write!(f, " ({} KiB lost)", self.lost_bytes / 1024)?;
        }
        Ok(())
    }
}
