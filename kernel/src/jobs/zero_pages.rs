//! The `zero-pages` job: clears a range of page frames in parallel. The original is `clear_gigantic_page` of the seed, here
//! for any range.

use alloc::vec::Vec;
use core::convert::Infallible;

use frames::{PAGE_SIZE, Pfn, order_pages};
use ktask::{Job, JobError, Pages, Stats};

use super::evict_cache;
use super::manners::Kind;
use super::platform::Kernel;
use crate::mm::{pages, zero};

/// Order of the range's blocks: 2 MiB, the smallest range that the job accepts, and long enough for the clearing
/// instructions.
const BLOCK_ORDER: u8 = 9;
/// Minimum pages in a chunk: 1 MiB, some hundred microseconds.
const MIN_CHUNK_PAGES: u64 = 256;

static ZERO: Kind = Kind::new("zero-pages");
static POISON: Kind = Kind::new("poison-pages");
static VERIFY: Kind = Kind::new("verify-pages");

/// Blocks of page frames, addressed as one range of pages from 0 to [`len_pages`](Self::len_pages).
pub struct PageRange {
    blocks: Vec<Pfn>,
}

impl PageRange {
    /// Allocates `bytes` of memory, rounded down to whole blocks. Returns `None` if there is not enough.
    pub fn new(bytes: u64) -> Option<Self> {
        let count = bytes / (order_pages(BLOCK_ORDER) * PAGE_SIZE);
        evict_cache::make_room(BLOCK_ORDER, count);
        let mut range = Self { blocks: Vec::new() };
        range.blocks.try_reserve_exact(count as usize).ok()?;
        for _ in 0..count {
            range.blocks.push(pages::alloc(BLOCK_ORDER)?);
        }
        (count > 0).then_some(range)
    }

    /// Returns the number of pages.
    pub fn len_pages(&self) -> u64 {
        self.blocks.len() as u64 * order_pages(BLOCK_ORDER)
    }

    /// Calls `work` with each contiguous run of frames of the pages `start..end`.
    fn for_runs(&self, start: Pages, end: Pages, mut work: impl FnMut(Pfn, u64)) {
        let block_pages = order_pages(BLOCK_ORDER);
        let mut at = start.get();
        while at < end.get() {
            let block = self.blocks[(at / block_pages) as usize];
            let len = (block_pages - at % block_pages).min(end.get() - at);
            work(block + at % block_pages, len);
            at += len;
        }
    }

    fn job(&self, kind: &'static Kind, threads: Option<usize>) -> Job<'static, Pages> {
        kind.job(Pages::new(0)..Pages::new(self.len_pages()), threads).min_chunk(Pages::new(MIN_CHUNK_PAGES))
    }

    /// Clears all pages on `threads` threads (`None`: as many as help).
    pub fn zero(&mut self, threads: Option<usize>) -> Result<Stats, JobError<Infallible>> {
        let this = &*self;
        self.job(&ZERO, threads).run(&Kernel, |chunk| {
            this.for_runs(chunk.start(), chunk.end(), |first, len_pages| {
                // SAFETY: the range owns the frames (invariant 12), and `&mut self` excludes other users. No other chunk has
                // them (invariant 5).
                unsafe { zero::zero_frames(first, len_pages) }
            });
            Ok(())
        })
    }

    /// Fills all pages with a pattern that is not zero.
    pub fn poison(&mut self) {
        let this = &*self;
        let filled: Result<Stats, JobError<Infallible>> = self.job(&POISON, None).run(&Kernel, |chunk| {
            this.for_runs(chunk.start(), chunk.end(), |first, len_pages| {
                // SAFETY: as in `zero`.
                unsafe { zero::poison_frames(first, len_pages) }
            });
            Ok(())
        });
        filled.expect("poisoning cannot fail");
    }

    /// Returns whether every byte is zero.
    pub fn is_zero(&mut self) -> bool {
        let this = &*self;
        let checked = self.job(&VERIFY, None).run(&Kernel, |chunk| {
            let mut ok = true;
            this.for_runs(chunk.start(), chunk.end(), |first, len_pages| {
                // SAFETY: as in `zero`.
                ok &= unsafe { zero::is_zero(first, len_pages) };
            });
            if ok { Ok(()) } else { Err(()) }
        });
        checked.is_ok()
    }
}

impl Drop for PageRange {
    fn drop(&mut self) {
        for block in &self.blocks {
            pages::free(*block, BLOCK_ORDER);
        }
    }
}
