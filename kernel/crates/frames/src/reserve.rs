//! Watermarks: how much of a zone is kept back from whom.

/// Free pages of a zone below which something is different.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermarks {
    /// Only what the kernel cannot do without (page tables, stacks) is taken
    /// from what lies below.
    pub min_pages: u64,
    /// Down to here a zone serves everyone; below, other nodes are asked first.
    pub low_pages: u64,
    /// Above, memory may be spent on what is only nice to have.
    pub high_pages: u64,
}

/// The reserve's part of a zone, before its limits.
const ZONE_PER_RESERVE: u64 = 1024;
const MOST_MIN_PAGES: u64 = 4096;

impl Watermarks {
    /// Watermarks of a zone that has `managed_pages` pages when all are free.
    #[must_use]
    pub const fn of_zone(managed_pages: u64) -> Self {
        let share = managed_pages / ZONE_PER_RESERVE;
        let min_pages = if share < MOST_MIN_PAGES { share } else { MOST_MIN_PAGES };
        Self { min_pages, low_pages: min_pages * 2, high_pages: min_pages * 3 }
    }
}
