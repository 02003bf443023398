//! How pages come into a file: taken from the pool, cleared by one job, and then mapped.
//!
//! The slot of a page is held from before the page is taken until it is mapped, or back in the pool. So nothing sees a page
//! that is clear only in part, and a thread that wants to remove it waits.

use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use frames::{Extent, Extents, Part, Pfn};
use ktask::{Cause, Invalid};
use params::registry::FAULT_MAP;
use waiting::page_slot::Found;

use super::error::{FallocateError, FileError, OnError};
use super::file::{HugeFile, waiting_for};
use crate::arch::tsc;
use crate::jobs::clearing;
use crate::jobs::manners::Kind;
use crate::jobs::node_stats::JobStats;
use crate::mm::huge_pool;
use crate::sched;
use crate::sched::wait::threads;

static FALLOCATE: Kind = Kind::new("fallocate");
static PAGE_FAULT: Kind = Kind::new("page-fault");

/// Number of mappings, for fault injection.
static MAPPINGS: AtomicU64 = AtomicU64::new(0);

/// Restarts the count of mappings for `fault.map`.
pub fn restart_fault_count() {
    MAPPINGS.store(0, SeqCst);
}

/// Returns the number of mappings, failed ones included, since the count was restarted.
pub fn mappings() -> u64 {
    MAPPINGS.load(SeqCst)
}

/// Pages that were taken for held slots of a file.
struct Taken {
    /// The tag is the index in the file.
    extents: Vec<Extent>,
    /// The first error; no page was taken after it.
    error: Option<FileError>,
    /// Indices from which on slots were not looked at, since another thread held the first.
    rest: Range<u64>,
}

/// Why a round of an allocation failed.
enum Failure {
    Page(FileError),
    Job(Invalid),
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::Page(error)
    }
}

/// What is left to do for a taken page. Indices are those of the arranged extents.
struct Unfinished {
    /// Pages of 4 KiB that are not clear.
    left_pages: AtomicU64,
    is_mapped: AtomicBool,
}

impl HugeFile {
    /// Provides the missing pages of a range in bytes, zeroed, on `threads` threads (`None`: as many as are useful).
    ///
    /// All pages are taken first, and then cleared by one job. A page is in the file as soon as it is clear. The statistics are
    /// the job's, in pages of 4 KiB; the times include taking the pages.
    pub fn fallocate(
        &self,
        offset: u64,
        len_bytes: u64,
        on_error: OnError,
        threads: Option<usize>,
    ) -> Result<JobStats, FallocateError> {
        let start_ns = tsc::now_ns();
        let mut range = self.index_range(offset, len_bytes).map_err(FallocateError::Range)?;
        let before = huge_pool::pool(self.size).count();
        let mut stats = JobStats::default();
        // The pages of earlier rounds, to be released after an error.
        let mut provided: Vec<u64> = Vec::new();
        while !range.is_empty() {
            match self.provide_round(range.clone(), on_error, threads, &mut provided) {
                Ok((round, rest)) => {
                    stats.add(&round);
                    range = rest;
                }
                Err(failure) => {
                    if on_error == OnError::Release {
                        self.release(provided.into_iter());
                    }
                    return Err(match failure {
                        Failure::Page(error) => {
                            FallocateError::Page { error, before, after: huge_pool::pool(self.size).count() }
                        }
                        Failure::Job(invalid) => FallocateError::Job(invalid),
                    });
                }
            }
            if !range.is_empty() {
                // Another thread holds the slot. No slot is held here: it may wait for one of them.
                self.slots[range.start as usize]
                    .wait(waiting_for(range.start).machine(), sched::wait::threads());
            }
        }
        stats.wall_ns = tsc::since_ns(start_ns);
        Ok(stats)
    }

    /// Provides the missing pages of `range`, up to the first slot that another thread holds. Returns the statistics and the
    /// rest of the range, and adds the indices to `provided`. After an error, the pages of this round are where `on_error`
    /// says.
    fn provide_round(
        &self,
        range: Range<u64>,
        on_error: OnError,
        threads: Option<usize>,
        provided: &mut Vec<u64>,
    ) -> Result<(JobStats, Range<u64>), Failure> {
        // The caller's time, in which it does not wait.
        let before_ns = sched::current().cpu_time_ns();
        let mut taken = self.take(range)?;
        let has_room = taken.rest.is_empty() || provided.try_reserve(taken.extents.len()).is_ok();
        let error = taken.error.or((!has_room).then_some(FileError::NoMemory));
        let taking_ns = sched::current().cpu_time_ns().saturating_sub(before_ns);
        if let (Some(error), OnError::Release) = (error, on_error) {
            self.put_back(&taken.extents);
            return Err(Failure::Page(error));
        }
        let mut stats = self.finish(&mut taken.extents, on_error, threads)?;
        if let Some(error) = error {
            return Err(Failure::Page(error));
        }
        stats.cpu_ns += taking_ns;
        if !taken.rest.is_empty() {
            provided.extend(taken.extents.iter().map(|extent| extent.tag));
        }
        Ok((stats, taken.rest))
    }

    /// Takes a page for each empty slot in `range`, and holds the slots. Ends at the first slot that another thread holds.
    fn take(&self, range: Range<u64>) -> Result<Taken, FileError> {
        let mut taken = Taken { extents: Vec::new(), error: None, rest: range.end..range.end };
        let missing = range.clone().filter(|index| self.slots[*index as usize].page().is_none()).count();
        taken.extents.try_reserve_exact(missing).map_err(|_| FileError::NoMemory)?;
        for index in range.clone() {
            match self.slots[index as usize].hold_empty() {
                // A page that was removed meanwhile, if there is no room for it, is for the next round.
                Ok(()) if taken.extents.len() == missing => {
                    self.leave(index, None);
                    taken.rest = index..range.end;
                    break;
                }
                Ok(()) => match self.take_page(index) {
                    Ok(page) => taken.extents.push(self.extent(page, index)),
                    Err(error) => {
                        self.leave(index, None);
                        taken.error = Some(error);
                        break;
                    }
                },
                Err(Found::Busy) => {
                    taken.rest = index..range.end;
                    break;
                }
                Err(_) => {}
            }
        }
        Ok(taken)
    }

    /// Takes a page for the slot at `index`, which the caller holds.
    fn take_page(&self, index: u64) -> Result<Pfn, FileError> {
        // After the slot is held: a truncation that comes later waits for the slot.
        let end = self.end.load(SeqCst);
        if index >= end {
            let unit = self.size.bytes();
            return Err(FileError::BeyondEnd { end: (index + 1) * unit, file_end: end * unit });
        }
        huge_pool::pool(self.size).take().ok_or(FileError::NoPage)
    }

    /// Returns pages that were taken and not mapped to the pool, and empties their slots.
    fn put_back<'e>(&self, extents: impl IntoIterator<Item = &'e Extent>) {
        for extent in extents {
            huge_pool::pool(self.size).put(extent.first);
            self.leave(extent.tag, None);
        }
    }

    /// Clears pages of held slots, and maps each of them once all of it is clear. After an error, pages that are not mapped are
    /// back in the pool, and with [`OnError::Release`] the others too.
    fn finish(
        &self,
        extents: &mut [Extent],
        on_error: OnError,
        threads_wanted: Option<usize>,
    ) -> Result<JobStats, Failure> {
        let extents = Extents::arrange(extents);
        let mut unfinished: Vec<Unfinished> = Vec::new();
        if unfinished.try_reserve_exact(extents.as_slice().len()).is_err() {
            self.put_back(extents.as_slice());
            return Err(Failure::Page(FileError::NoMemory));
        }
        unfinished.extend(extents.as_slice().iter().map(|extent| Unfinished {
            left_pages: AtomicU64::new(extent.len_pages),
            is_mapped: AtomicBool::new(false),
        }));
        let cleared = |part: Part| {
            let page = &unfinished[part.index];
            // SeqCst: the last part's thread maps the page, after all threads have cleared their parts.
            if page.left_pages.fetch_sub(part.len_pages, SeqCst) > part.len_pages {
                return Ok(());
            }
            let extent = &extents.as_slice()[part.index];
            self.map(extent.tag, extent.first)?;
            page.is_mapped.store(true, SeqCst);
            self.leave(extent.tag, Some(extent.first));
            Ok(())
        };
        // SAFETY: the pages were taken from the pool, which owned them (invariant 12). They are mapped nowhere until all their
        // parts were cleared.
        let result = unsafe { clearing::clear(&FALLOCATE, &extents, threads_wanted, cleared) };
        result.map_err(|error| {
            let pages = || extents.as_slice().iter().zip(&unfinished);
            let is_mapped = |page: &Unfinished| page.is_mapped.load(SeqCst);
            self.put_back(pages().filter(|(_, page)| !is_mapped(page)).map(|(extent, _)| extent));
            if on_error == OnError::Release {
                self.release(pages().filter(|(_, page)| is_mapped(page)).map(|(extent, _)| extent.tag));
            }
            match error.cause {
                Cause::Failed { error, .. } => Failure::Page(error),
                Cause::Invalid(invalid) => Failure::Job(invalid),
                // The job has no token and no deadline.
                other => unreachable!("{other:?}"),
            }
        })
    }

    /// Provides all missing pages as dirty as they are, for measurements of what does not depend on their content. Readers of
    /// the file must expect any content.
    pub fn fill_dirty(&self) -> Result<(), FileError> {
        let taken = self.take(0..self.slots.len() as u64)?;
        for (number, extent) in taken.extents.iter().enumerate() {
            if let Err(error) = self.map(extent.tag, extent.first) {
                self.put_back(&taken.extents[number..]);
                return Err(error);
            }
            self.leave(extent.tag, Some(extent.first));
        }
        taken.error.map_or(Ok(()), Err)
    }

    /// Provides a zeroed, mapped page at `index`, for a fault. Returns false if there was one.
    pub(super) fn provide(&self, index: u64) -> Result<bool, FileError> {
        let waiting = waiting_for(index).machine();
        self.slots[index as usize].provide(waiting, threads(), || self.make_page(index).map(|page| page.0))
    }

    /// Takes, clears and maps a page for the slot at `index`, which the caller holds. Clearing is a job: a page of 1 GiB is
    /// cleared by all CPUs.
    fn make_page(&self, index: u64) -> Result<Pfn, FileError> {
        let page = self.take_page(index)?;
        let mut extent = [self.extent(page, index)];
        let threads = Some(self.faults.threads.load(SeqCst)).filter(|threads| *threads > 0);
        // SAFETY: the page was just taken from the pool, which owned it (invariant 12), and is mapped nowhere.
        let cleared = unsafe { clearing::clear_all(&PAGE_FAULT, &Extents::arrange(&mut extent), threads) };
        *self.faults.last.lock() = Some(cleared.expect("clearing cannot fail"));
        self.map(index, page).inspect_err(|_| huge_pool::pool(self.size).put(page))?;
        Ok(page)
    }

    /// Maps `page`, which is clear, at `index`. The caller holds the slot, and with it the entry (invariant 22).
    fn map(&self, index: u64, page: Pfn) -> Result<(), FileError> {
        let number = MAPPINGS.fetch_add(1, SeqCst) + 1;
        if FAULT_MAP.get() == Some(number) {
            return Err(FileError::MapFault);
        }
        let (table, entry) = self.entry(index);
        table.set(entry, page.address()).map_err(FileError::NotMapped)
    }
}
