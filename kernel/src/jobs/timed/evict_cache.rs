//! Times the eviction of pages of closed files.

use core::ops::Range;

use ktask::{Cause, Pages, Stats};

use crate::jobs::cached_file::{CachedFile, FileError};
use crate::jobs::evict_cache::evict_unused;
use crate::jobs::kernel::Kernel;
use crate::jobs::manners::Kind;
use crate::jobs::timing::{Budget, Failure, JobStats, TimedJob};
use crate::mm::{file_pages, permanent};
use crate::{sched, timed_jobs};

/// Pages of each file.
const FILE_PAGES: u64 = 256;

static READ: Kind = Kind::new("read-files");

struct EvictCache {
    files: u64,
    /// Free and permanent pages before the files were read.
    free_before: u64,
    /// Pages that the last run evicted.
    evicted: u64,
}

impl TimedJob for EvictCache {
    fn prepare(budget: &Budget) -> Result<Self, Failure> {
        // Makes the table of pages, whose size bounds the job.
        CachedFile::open(0, 0)?;
        // What others left in memory does not count.
        evict_unused(None);
        let files = budget.units().min(file_pages::capacity()) / FILE_PAGES;
        match files {
            0 => Err(alloc::format!("no memory for a file of {FILE_PAGES} pages").into()),
            _ => Ok(Self { files, free_before: 0, evicted: 0 }),
        }
    }

    /// Reads the files.
    fn reset(&mut self) -> Result<(), Failure> {
        evict_unused(None);
        (self.evicted, self.free_before) = (0, free_or_permanent_pages());
        let len_before = file_pages::len();
        read_files(self.files)?;
        match file_pages::len() - len_before {
            kept if kept == self.files * FILE_PAGES => Ok(()),
            kept => Err(alloc::format!("{kept} pages are in memory").into()),
        }
    }

    fn run(&mut self, threads: Option<usize>) -> Result<JobStats, Failure> {
        let evicted = evict_unused(threads);
        self.evicted = evicted.pages;
        Ok(evicted.stats.into())
    }

    fn units(&self, _: &Stats) -> u64 {
        self.evicted
    }

    fn verify(&mut self, _: &Stats) -> bool {
        let has_freed = free_or_permanent_pages() == self.free_before;
        let is_empty = (0..self.files as u32).all(|file| file_pages::find(file, 0).is_none());
        self.evicted == self.files * FILE_PAGES && has_freed && is_empty
    }
}

impl Drop for EvictCache {
    /// Leaves no page of the files in memory.
    fn drop(&mut self) {
        evict_unused(None);
    }
}

/// Returns the number of free and permanent pages: new workers, whose stacks are permanent, do not change it.
fn free_or_permanent_pages() -> u64 {
    loop {
        match permanent::free_or_permanent_pages() {
            Some(sum) => return sum,
            // Another thread allocates a permanent page, which is done at once.
            None => sched::sleep_ns(100_000),
        }
    }
}

/// Reads so many files on all CPUs, and closes them.
fn read_files(files: u64) -> Result<(), FileError> {
    let job = READ.job(Pages::new(0)..Pages::new(files * FILE_PAGES), None);
    let job = job.min_chunk(Pages::new(FILE_PAGES)).align(Pages::new(FILE_PAGES));
    let read = job.run(&Kernel, |chunk| {
        let Range { start, end } = chunk.start().get() / FILE_PAGES..chunk.end().get() / FILE_PAGES;
        (start as u32..end as u32).try_for_each(read_file)
    });
    match read {
        Ok(_) => Ok(()),
        Err(error) => match error.cause {
            Cause::Failed { error, .. } => Err(error),
            cause => unreachable!("nothing stops this job: {cause:?}"),
        },
    }
}

/// Reads all pages of a file. Its content is written whole: only memory that was touched before is timed.
fn read_file(number: u32) -> Result<(), FileError> {
    let mut file = CachedFile::open(number, FILE_PAGES as u32)?;
    (0..FILE_PAGES as u32).try_for_each(|index| file.page(index, |words| words.fill(number.into())).map(drop))
}

timed_jobs! { "evict-cache": EvictCache { order: 110, unit: Page4K, writes: false } }
