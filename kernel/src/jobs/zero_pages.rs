//! The `zero-pages` job: clears a range of page frames in parallel. The original is `clear_gigantic_page` of the seed, here
//! for any range.

use core::convert::Infallible;

use ktask::JobError;

use super::clearing;
use super::evict_cache;
use super::manners::Kind;
use super::node_stats::JobStats;
use crate::mm::huge::{HugeSize, Reservation};

static ZERO: Kind = Kind::new("zero-pages");

/// Blocks of page frames, addressed as one range of pages from 0 to [`len_pages`](Self::len_pages).
pub struct PageRange {
    blocks: Reservation,
}

impl PageRange {
    /// Allocates `bytes` of memory, rounded down to whole blocks of `size`, from all nodes alike. Returns `None` if there is not
    /// enough.
    pub fn new(size: HugeSize, bytes: u64) -> Option<Self> {
        let count = bytes / size.bytes();
        evict_cache::make_room(size.order(), count);
        let blocks = Reservation::take(size, count, |count| count).ok()?;
        (count > 0).then_some(Self { blocks })
    }

    /// Returns the number of pages.
    pub fn len_pages(&mut self) -> u64 {
        self.blocks.extents().len_pages()
    }

    /// Clears all pages on `threads` threads (`None`: as many as help).
    pub fn zero(&mut self, threads: Option<usize>) -> Result<JobStats, JobError<Infallible>> {
        // SAFETY: the range owns the frames (invariant 12), and `&mut self` excludes other users.
        unsafe { clearing::clear_all(&ZERO, &self.blocks.extents(), threads) }
    }

    /// Fills all pages with a pattern that is not zero.
    pub fn poison(&mut self) {
        // SAFETY: as in `zero`.
        unsafe { clearing::poison(&self.blocks.extents()) }
    }

    /// Returns whether every byte is zero.
    pub fn is_zero(&mut self) -> bool {
        // SAFETY: as in `zero`.
        unsafe { clearing::is_zero(&self.blocks.extents()) }
    }
}
