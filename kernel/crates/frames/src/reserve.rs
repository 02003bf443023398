//! Watermarks: how much of a zone is reserved for which kind of allocation.

/// Numbers of free pages of a zone below which it serves fewer callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermarks {
    /// Below, only page tables, stacks and the like are served: what the kernel
    /// cannot do without.
    pub min_pages: u64,
    /// Down to here a zone serves all callers; below, other nodes are asked first.
    pub low_pages: u64,
    /// Above, memory may be spent on optional uses.
    pub high_pages: u64,
}

/// The reserve's part of a zone, before its limits.
const ZONE_PER_RESERVE: u64 = 1024;
const MOST_MIN_PAGES: u64 = 4096;

impl Watermarks {
    /// Returns the watermarks of a zone of `managed_pages` pages.
    #[must_use]
    pub const fn of_zone(managed_pages: u64) -> Self {
        let share = managed_pages / ZONE_PER_RESERVE;
        let min_pages = if share < MOST_MIN_PAGES { share } else { MOST_MIN_PAGES };
        Self { min_pages, low_pages: min_pages * 2, high_pages: min_pages * 3 }
    }
}
