//! Clearing a range of page frames, in parallel. The seed's
//! `clear_gigantic_page`, for any range.

use alloc::vec::Vec;
use core::convert::Infallible;

use frames::{PAGE_SIZE, Pfn, order_pages};
use ktask::{Job, JobError, Pages, Profile, Stats};

use super::platform::Kernel;
use crate::mm::{pages, zero};

/// Order of the blocks that the range is made of: 2 MiB, the least that the
/// job may be asked for, and long enough for the clearing instructions.
const BLOCK_ORDER: u8 = 9;
/// Least pages in one chunk: 1 MiB, some hundred microseconds.
const MIN_CHUNK_PAGES: u64 = 256;

/// Page frames that read as one range of pages, 0 to [`len_pages`](Self::len_pages).
pub struct PageRange {
    blocks: Vec<Pfn>,
}

impl PageRange {
    /// Takes `bytes` of memory, rounded down to whole blocks; `None` when there
    /// is not so much.
    pub fn new(bytes: u64) -> Option<Self> {
        let count = bytes / (order_pages(BLOCK_ORDER) * PAGE_SIZE);
        let mut range = Self { blocks: Vec::new() };
        range.blocks.try_reserve_exact(count as usize).ok()?;
        for _ in 0..count {
            range.blocks.push(pages::alloc(BLOCK_ORDER)?);
        }
        (count > 0).then_some(range)
    }

    /// Number of pages.
    pub fn len_pages(&self) -> u64 {
        self.blocks.len() as u64 * order_pages(BLOCK_ORDER)
    }

    /// Calls `work` with the runs of frames that make up pages `start..end`.
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

    fn job(&self) -> Job<'static, Pages> {
        Job::new(Pages::new(0)..Pages::new(self.len_pages()))
            .min_chunk(Pages::new(MIN_CHUNK_PAGES))
            .profile(Profile::Boot)
    }

    /// Clears all pages on exactly `threads` threads.
    pub fn zero(&mut self, threads: usize) -> Result<Stats, JobError<Infallible>> {
        let this = &*self;
        self.job().name("zero-pages").threads_exact(threads).run(&Kernel, |chunk| {
            this.for_runs(chunk.start(), chunk.end(), |first, len_pages| {
                // SAFETY: the frames are this range's, which `&mut self` makes ours alone; no other chunk has them
                // (invariants 5 and 12).
                unsafe { zero::zero_frames(first, len_pages) }
            });
            Ok(())
        })
    }

    /// Fills all pages with a pattern that is not zero.
    pub fn poison(&mut self) {
        let this = &*self;
        let filled: Result<Stats, JobError<Infallible>> = self.job().name("poison").run(&Kernel, |chunk| {
            this.for_runs(chunk.start(), chunk.end(), |first, len_pages| {
                // SAFETY: as in `zero`.
                unsafe { zero::poison_frames(first, len_pages) }
            });
            Ok(())
        });
        filled.expect("poisoning cannot fail");
    }

    /// Whether every byte is zero.
    pub fn is_zero(&mut self) -> bool {
        let this = &*self;
        let checked = self.job().name("verify").run(&Kernel, |chunk| {
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
