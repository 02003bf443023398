//! Files whose pages stay in memory after they are closed, for runs.

use core::ops::Range;

use ktask::{Cause, Pages};

use super::job::{Budget, Failure};
use crate::jobs::cached_file::{CachedFile, FileError};
use crate::jobs::evict_cache::evict_unused;
use crate::jobs::kernel::Kernel;
use crate::jobs::manners::Kind;
use crate::mm::file_pages;

/// Pages of each file.
const FILE_PAGES: u64 = 256;

static READ: Kind = Kind::new("read-files");

/// Files that were read whole and closed, once [`read`](Self::read) was called. Dropped, no page of them is in memory.
pub struct ClosedFiles {
    files: u64,
}

impl ClosedFiles {
    /// Makes files with the pages of `budget`, or as many as can be cached. None is read.
    pub fn new(budget: &Budget) -> Result<Self, Failure> {
        // Makes the table of pages, whose size bounds their number.
        CachedFile::open(0, 0)?;
        // Pages of other files do not count.
        evict_unused(None);
        match budget.units().min(file_pages::capacity()) / FILE_PAGES {
            0 => Err(alloc::format!("no memory for a file of {FILE_PAGES} pages").into()),
            files => Ok(Self { files }),
        }
    }

    /// Returns the number of pages of all files.
    pub fn len_pages(&self) -> u64 {
        self.files * FILE_PAGES
    }

    /// Reads all files on all CPUs, and closes them.
    pub fn read(&self) -> Result<(), Failure> {
        let len_before = file_pages::len();
        let job = READ.job(Pages::new(0)..Pages::new(self.len_pages()), None);
        let job = job.min_chunk(Pages::new(FILE_PAGES)).align(Pages::new(FILE_PAGES));
        let read = job.run(&Kernel, |chunk| {
            let Range { start, end } = chunk.start().get() / FILE_PAGES..chunk.end().get() / FILE_PAGES;
            (start as u32..end as u32).try_for_each(read_file)
        });
        if let Err(error) = read {
            return Err(match error.cause {
                Cause::Failed { error, .. } => error.into(),
                cause => unreachable!("nothing stops this job: {cause:?}"),
            });
        }
        match file_pages::len() - len_before {
            kept if kept == self.len_pages() => Ok(()),
            kept => Err(alloc::format!("{kept} pages are in memory").into()),
        }
    }

    /// Returns whether no file has its first page in memory.
    pub fn are_evicted(&self) -> bool {
        (0..self.files as u32).all(|file| file_pages::find(file, 0).is_none())
    }
}

impl Drop for ClosedFiles {
    fn drop(&mut self) {
        evict_unused(None);
    }
}

/// Reads all pages of a file. Its content is written whole: only memory that was touched before is timed.
fn read_file(number: u32) -> Result<(), FileError> {
    let mut file = CachedFile::open(number, FILE_PAGES as u32)?;
    (0..FILE_PAGES as u32).try_for_each(|index| file.page(index, |words| words.fill(number.into())).map(drop))
}
