//! A huge-page file for runs, with a pool of exactly its pages.

use alloc::sync::Arc;

use frames::policy::{NodePolicy, NodeSet};

use super::job::{Budget, Failure};
use crate::arch::tlb;
use crate::console::warning;
use crate::jobs::huge_file::{HugeFile, OnError};
use crate::jobs::huge_pool::{self as pool_job, Request};
use crate::mm::huge::HugeSize;
use crate::mm::{huge_pool, space};

/// Returns the request for a pool of exactly `wanted` pages.
pub fn whole_pool(wanted: u64, threads: Option<usize>) -> Request {
    // From all nodes alike, so that each CPU has near memory to work on.
    Request { wanted, policy: NodePolicy::Interleave(NodeSet::ALL), all_or_nothing: true, threads }
}

/// A huge-page file, and a pool that has as many pages as the file has positions. Dropped, both are gone.
pub struct FilledFile {
    size: HugeSize,
    count: u64,
    /// Where the last file was mapped.
    base: u64,
    file: Option<Arc<HugeFile>>,
}

impl FilledFile {
    /// Makes the pool and an empty file for the units of `budget`, of 1 GiB only one.
    pub fn new(budget: &Budget) -> Result<Self, Failure> {
        let size = budget.huge_size();
        let count = match size {
            HugeSize::Size2M => budget.units(),
            HugeSize::Size1G => budget.units().min(1),
        };
        Self::with_pages(size, count)
    }

    /// Does the same for a job that touches none of the pages.
    pub fn untouched(budget: &Budget) -> Result<Self, Failure> {
        Self::with_pages(budget.huge_size(), budget.untouched_units())
    }

    fn with_pages(size: HugeSize, count: u64) -> Result<Self, Failure> {
        if count == 0 {
            return Err(alloc::format!("there is no memory for one page of {size}").into());
        }
        let mut made = Self { size, count, base: 0, file: None };
        made.create()?;
        pool_job::resize(size, whole_pool(count, None))?;
        Ok(made)
    }

    /// Replaces the file with an empty one.
    fn create(&mut self) -> Result<(), Failure> {
        // The old one first, whose pages return to the pool.
        self.file = None;
        let file = HugeFile::new(self.size, self.len_bytes())?;
        self.base = file.base();
        self.file = Some(file);
        Ok(())
    }

    /// Returns the number of pages.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the bytes of all pages.
    pub fn len_bytes(&self) -> u64 {
        self.count * self.size.bytes()
    }

    /// Returns the file.
    pub fn file(&self) -> Result<&HugeFile, Failure> {
        Ok(self.file.as_deref().ok_or("the file is gone")?)
    }

    /// Takes the file out: its last handle.
    pub fn take(&mut self) -> Result<Arc<HugeFile>, Failure> {
        Ok(self.file.take().ok_or("the file is gone")?)
    }

    /// Provides all pages of the file.
    pub fn fill(&self) -> Result<(), Failure> {
        self.file()?.fallocate(0, self.len_bytes(), OnError::Release, None)?;
        self.check_full()
    }

    /// Provides all pages of the file, as dirty as they are, and reads a word of each: a CPU has translations for them, as for
    /// those of a file in use. The host backs 4 KiB of each page.
    pub fn fill_dirty(&self) -> Result<(), Failure> {
        self.file()?.fill_dirty()?;
        self.check_full()?;
        for index in 0..self.count {
            let word = (self.base + index * self.size.bytes()) as *const u64;
            // SAFETY:
            // 1. The file has the page, so it is mapped there until the owner of `self` removes it (invariant 22).
            // 2. No other thread has the file, and none writes to its pages.
            unsafe { word.read_volatile() };
        }
        Ok(())
    }

    /// Provides all pages of a new file, as dirty as they are.
    pub fn fill_anew_dirty(&mut self) -> Result<(), Failure> {
        self.create()?;
        self.fill_dirty()
    }

    fn check_full(&self) -> Result<(), Failure> {
        match self.file()?.held() {
            held if held == self.count => Ok(()),
            held => Err(alloc::format!("the file has {held} of {} pages", self.count).into()),
        }
    }

    /// Dirties all pages and returns them to the pool; no CPU has a TLB entry for them.
    pub fn empty_dirty(&self) -> Result<(), Failure> {
        self.fill()?;
        let file = self.file()?;
        file.poison();
        file.punch_hole(0, self.len_bytes())?;
        tlb::flush_everywhere();
        Ok(())
    }

    /// Returns whether all pages are in the pool and no address of the last file is mapped.
    pub fn is_released(&self) -> bool {
        let address = |index| self.base + index * self.size.bytes();
        let is_mapped = |index| space::with_tables(|tables| tables.translate(address(index))).is_some();
        huge_pool::pool(self.size).free() == self.count && !(0..self.count).any(is_mapped)
    }
}

impl Drop for FilledFile {
    fn drop(&mut self) {
        self.file = None;
        if let Err(error) = pool_job::resize(self.size, whole_pool(0, None)) {
            warning(format_args!("a pool of {} is not emptied: {error}", self.size));
        }
    }
}
