//! Times the eviction of pages of closed files.

use alloc::vec::Vec;
use core::ops::Range;

use ktask::Pages;
use protocol::record::Unit;

use super::report::Row;
use super::runner::{Run, bytes_for, time};
use crate::console::warning;
use crate::jobs::cached_file::{CachedFile, FileError};
use crate::jobs::evict_cache;
use crate::jobs::manners::Kind;
use crate::jobs::platform::Kernel;
use crate::mm::{file_pages, permanent};
use crate::sched;

/// Pages of each file.
const FILE_PAGES: u64 = 256;

static READ: Kind = Kind::new("read-files");

pub(super) fn time_job(rows: &mut Vec<Row>) {
    // Makes the table of pages, whose size bounds the job.
    if let Err(error) = CachedFile::open(0, 0) {
        warning(format_args!("evict-cache is skipped: {error}"));
        return;
    }
    // What others left in memory does not count.
    evict_cache::evict_unused(None);
    let bytes = bytes_for("evict-cache", FILE_PAGES * frames::PAGE_SIZE);
    let count = (bytes / frames::PAGE_SIZE).min(file_pages::capacity());
    let files = count / FILE_PAGES;
    if files == 0 {
        warning(format_args!("evict-cache is skipped: no memory for a file of {FILE_PAGES} pages"));
        return;
    }
    time(rows, "evict-cache", (Unit::Page4K, frames::PAGE_SIZE), |threads| {
        let before = (file_pages::len(), free_or_permanent_pages());
        let is_read = read_files(files).inspect_err(|error| warning(format_args!("evict-cache: {error}")));
        let kept = file_pages::len() - before.0;
        let evicted = evict_cache::evict_unused(threads);
        let has_freed = free_or_permanent_pages() == before.1;
        let is_empty = (0..files as u32).all(|file| file_pages::find(file, 0).is_none());
        let ok = kept == files * FILE_PAGES && evicted.pages == kept && has_freed && is_empty;
        is_read.ok().map(|()| Run { stats: evicted.stats, units: evicted.pages, ok })
    });
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
            ktask::Cause::Failed { error, .. } => Err(error),
            cause => unreachable!("nothing stops this job: {cause:?}"),
        },
    }
}

/// Reads all pages of a file. Its content is written whole: only memory that was touched before is timed.
fn read_file(number: u32) -> Result<(), FileError> {
    let mut file = CachedFile::open(number, FILE_PAGES as u32)?;
    (0..FILE_PAGES as u32).try_for_each(|index| file.page(index, |words| words.fill(number.into())).map(drop))
}
