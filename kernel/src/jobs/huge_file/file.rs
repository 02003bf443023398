//! A file of huge pages, as a program would map it. Pages come from the pool, by `fallocate` in parallel or by page fault.
//! They are zeroed, and mapped by page-table entries of their own size.
//!
//! Each page has a slot, which is its lock ([`waiting::page_slot`]). The holder of the slot provides or removes the page, and
//! owns the page-table entry (invariant 22). So two faults contend only for the same page. (In the seed all faults contend
//! for one table of mutexes.)

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use frames::{Pfn, order_pages};
use ktask::{Chunk, HugePages, JobError, Stats};
use params::registry::FAULT_MAP;
use waiting::PageSlot;
use waiting::page_slot::Found;

use super::error::{FallocateError, FileError, OnError};
use super::window::{WINDOW_BYTES, WINDOWS, WINDOWS_PER_SIZE};
use crate::arch::lock_class::LockClass;
use crate::arch::paging::{HUGE_FILES_BASE, LeafTable};
use crate::arch::spin_lock::IrqSpinLock;
use crate::arch::tlb;
use crate::jobs::kernel::Kernel;
use crate::jobs::manners::Kind;
use crate::mm::huge::HugeSize;
use crate::mm::{huge_pool, permanent, space, zero};
use crate::sched::wait::{WaitQueue, threads};

/// Pages that are removed with one TLB flush on all CPUs.
const RELEASE_BATCH: usize = 64;

struct Window {
    is_taken: AtomicBool,
    file: IrqSpinLock<Weak<HugeFile>>,
}

static FALLOCATE: Kind = Kind::new("fallocate");
static RELEASE: Kind = Kind::new("release");
static POISON: Kind = Kind::new("poison-file");
static CLEAR: Kind = Kind::new("clear-file");
static VERIFY: Kind = Kind::new("verify-file");

static WINDOW_TABLE: [Window; WINDOWS] = [const {
    Window { is_taken: AtomicBool::new(false), file: IrqSpinLock::of(LockClass::FILES, Weak::new()) }
}; WINDOWS];

/// Threads that wait for a busy slot, by slot number. Slots share queues: a thread that is woken for another slot waits again.
static WAITING: [WaitQueue; 64] = [const { WaitQueue::new() }; 64];

/// Number of mappings, for fault injection.
static MAPPINGS: AtomicU64 = AtomicU64::new(0);

/// A file of huge pages. On drop, all pages return to the pool.
pub struct HugeFile {
    pub(super) size: HugeSize,
    window: usize,
    pub(super) slots: Vec<PageSlot>,
    tables: Vec<LeafTable>,
    /// Index from which on no page is provided.
    end: AtomicU64,
}

impl HugeFile {
    /// Creates an empty file of up to `len_bytes`.
    pub fn new(size: HugeSize, len_bytes: u64) -> Result<Arc<Self>, FileError> {
        let unit = size.bytes();
        if !len_bytes.is_multiple_of(unit) {
            return Err(FileError::NotAligned { value: len_bytes, unit });
        }
        if len_bytes == 0 || len_bytes > WINDOW_BYTES {
            return Err(FileError::BeyondEnd { end: len_bytes, file_end: WINDOW_BYTES });
        }
        let count = len_bytes / unit;
        let mut slots = Vec::new();
        slots.try_reserve_exact(count as usize).map_err(|_| FileError::NoMemory)?;
        slots.resize_with(count as usize, PageSlot::new);
        let window = take_window(size).ok_or(FileError::NoWindow)?;
        // From here on, dropping the file releases the window.
        let mut file = Self { size, window, slots, tables: Vec::new(), end: AtomicU64::new(count) };
        let per_table = LeafTable::ENTRIES * unit;
        for virt in (file.base()..file.base() + len_bytes).step_by(per_table as usize) {
            let level = match size {
                HugeSize::Size2M => 1,
                HugeSize::Size1G => 2,
            };
            let table =
                space::with_tables(|tables| tables.leaf_table(virt, level, &mut permanent::alloc_table));
            file.tables.push(table.map_err(FileError::NotMapped)?);
        }
        let file = Arc::new(file);
        *WINDOW_TABLE[window].file.lock() = Arc::downgrade(&file);
        Ok(file)
    }

    /// Returns the virtual address of the first byte. An access is valid where the file has a page, or where the pool can
    /// provide one. Any other access is fatal.
    pub fn base(&self) -> u64 {
        HUGE_FILES_BASE + self.window as u64 * WINDOW_BYTES
    }

    /// Returns the number of pages in the file.
    pub fn held(&self) -> u64 {
        self.slots.iter().filter_map(PageSlot::page).count() as u64
    }

    /// Returns the page at position `index`.
    pub fn page(&self, index: u64) -> Option<Pfn> {
        self.slots.get(index as usize)?.page().map(Pfn)
    }

    /// Provides the missing pages of a range in bytes, zeroed, on `threads` threads (`None`: as many as are useful).
    pub fn fallocate(
        &self,
        offset: u64,
        len_bytes: u64,
        on_error: OnError,
        threads: Option<usize>,
    ) -> Result<Stats, FallocateError> {
        let range = self.index_range(offset, len_bytes).map_err(FallocateError::Range)?;
        // The pages that this call provides, as bits: on failure only those are released.
        let mut provided: Vec<AtomicU64> = Vec::new();
        let words = (range.end - range.start).div_ceil(64) as usize;
        provided.try_reserve_exact(words).map_err(|_| FallocateError::Range(FileError::NoMemory))?;
        provided.resize_with(words, || AtomicU64::new(0));
        let bit = |index: u64| (((index - range.start) / 64) as usize, 1 << ((index - range.start) % 64));
        let undo_part = |indices: Range<u64>| {
            let is_ours = |index: &u64| {
                let (word, bit) = bit(*index);
                provided[word].fetch_and(!bit, SeqCst) & bit != 0
            };
            self.release(indices.filter(is_ours));
        };
        let undo = |chunk: Chunk<HugePages>| undo_part(chunk.indices());

        let before = huge_pool::pool(self.size).count();
        let job = FALLOCATE.job(pages(range.clone()), threads);
        let job = match on_error {
            OnError::Release => job.undo(&undo),
            OnError::Keep => job,
        };
        let result = job.run(&Kernel, |chunk| {
            for index in chunk.indices() {
                match self.provide(index) {
                    Ok(true) => {
                        let (word, bit) = bit(index);
                        provided[word].fetch_or(bit, SeqCst);
                    }
                    Ok(false) => {}
                    Err(error) => {
                        if on_error == OnError::Release {
                            undo_part(chunk.indices());
                        }
                        return Err(error);
                    }
                }
            }
            Ok(())
        });
        result.map_err(|job| FallocateError::Page { job, before, after: huge_pool::pool(self.size).count() })
    }

    /// Fills all pages with a pattern that is not zero.
    pub fn poison(&self) {
        let poisoned: Result<Stats, JobError<core::convert::Infallible>> =
            POISON.job(self.all_pages(), None).run(&Kernel, |chunk| {
                for page in chunk.indices().filter_map(|index| self.page(index)) {
                    // SAFETY: the file owns the page (invariant 12). Its users must expect any content.
                    unsafe { zero::poison_frames(page, order_pages(self.size.order())) };
                }
                Ok(())
            });
        poisoned.expect("poisoning cannot fail");
    }

    /// Clears all pages.
    ///
    /// # Safety
    /// No reference into the file exists.
    pub unsafe fn clear(&self) {
        let cleared: Result<Stats, JobError<core::convert::Infallible>> =
            CLEAR.job(self.all_pages(), None).run(&Kernel, |chunk| {
                for page in chunk.indices().filter_map(|index| self.page(index)) {
                    // SAFETY: the file owns the page (invariant 12), and the caller promises that no reference exists.
                    unsafe { zero::zero_frames(page, order_pages(self.size.order())) };
                }
                Ok(())
            });
        cleared.expect("clearing cannot fail");
    }

    /// Returns whether the file has every page, no page twice, each mapped in its place, and every byte is zero.
    pub fn is_zeroed_and_complete(&self) -> bool {
        let unit = self.size.bytes();
        let checked = VERIFY.job(self.all_pages(), None).run(&Kernel, |chunk| {
            let is_good = chunk.indices().all(|index| {
                let virt = self.base() + index * unit;
                self.page(index).is_some_and(|page| {
                    let mapped = space::with_tables(|tables| tables.translate(virt));
                    // SAFETY: the file owns the page (invariant 12), and its users do not write to it meanwhile.
                    mapped == Some(page.address())
                        && unsafe { zero::is_zero(page, order_pages(self.size.order())) }
                })
            });
            if is_good { Ok(()) } else { Err(()) }
        });
        let mut pages: Vec<u64> = self.slots.iter().filter_map(PageSlot::page).collect();
        pages.sort_unstable();
        checked.is_ok() && pages.windows(2).all(|pair| pair[0] != pair[1])
    }

    /// Returns the pages of a range in bytes to the pool. Their content is lost.
    pub fn punch_hole(&self, offset: u64, len_bytes: u64) -> Result<(), FileError> {
        let range = self.index_range(offset, len_bytes)?;
        self.release_in_parallel(range);
        Ok(())
    }

    /// Ends the file at `len_bytes`, and returns the pages beyond to the pool.
    pub fn truncate(&self, len_bytes: u64) -> Result<(), FileError> {
        let unit = self.size.bytes();
        let file_end = self.slots.len() as u64;
        if !len_bytes.is_multiple_of(unit) {
            return Err(FileError::NotAligned { value: len_bytes, unit });
        }
        if len_bytes / unit > file_end {
            return Err(FileError::BeyondEnd { end: len_bytes, file_end: file_end * unit });
        }
        // The end first: a concurrent fault then either provides a page that is released below, or none.
        self.end.store(len_bytes / unit, SeqCst);
        self.release_in_parallel(len_bytes / unit..file_end);
        Ok(())
    }

    fn all_pages(&self) -> Range<HugePages> {
        pages(0..self.slots.len() as u64)
    }

    fn index_range(&self, offset: u64, len_bytes: u64) -> Result<Range<u64>, FileError> {
        let unit = self.size.bytes();
        if let Some(value) = [offset, len_bytes].into_iter().find(|value| !value.is_multiple_of(unit)) {
            return Err(FileError::NotAligned { value, unit });
        }
        let file_end = self.end.load(SeqCst) * unit;
        match offset.checked_add(len_bytes).filter(|end| *end <= file_end && len_bytes > 0) {
            Some(end) => Ok(offset / unit..end / unit),
            None => Err(FileError::BeyondEnd { end: offset.saturating_add(len_bytes), file_end }),
        }
    }

    /// Provides a zeroed, mapped page at `index`. Returns false if there was one.
    pub(super) fn provide(&self, index: u64) -> Result<bool, FileError> {
        let waiting = waiting_for(index).machine();
        self.slots[index as usize].provide(waiting, threads(), || self.make_page(index).map(|page| page.0))
    }

    /// Takes, clears and maps a page for the slot at `index`, which the caller holds.
    fn make_page(&self, index: u64) -> Result<Pfn, FileError> {
        if index >= self.end.load(SeqCst) {
            let unit = self.size.bytes();
            return Err(FileError::BeyondEnd {
                end: (index + 1) * unit,
                file_end: self.end.load(SeqCst) * unit,
            });
        }
        let pool = huge_pool::pool(self.size);
        let page = pool.take().ok_or(FileError::NoPage)?;
        // SAFETY: the page was just taken from the pool, which owned it (invariant 12), and is mapped nowhere else.
        unsafe { zero::zero_frames(page, order_pages(self.size.order())) };
        let number = MAPPINGS.fetch_add(1, SeqCst) + 1;
        let mapped = if FAULT_MAP.get() == Some(number) {
            Err(FileError::MapFault)
        } else {
            let (table, entry) = self.entry(index);
            table.set(entry, page.address()).map_err(FileError::NotMapped)
        };
        mapped.inspect_err(|_| pool.put(page))?;
        Ok(page)
    }

    fn entry(&self, index: u64) -> (&LeafTable, usize) {
        let table = &self.tables[(index / LeafTable::ENTRIES) as usize];
        (table, (index % LeafTable::ENTRIES) as usize)
    }

    /// Returns the pages at `indices`, which are ascending, to the pool. Skips empty slots.
    fn release(&self, indices: impl Iterator<Item = u64>) {
        let mut batch = [(0, Pfn(0)); RELEASE_BATCH];
        let mut len = 0;
        for index in indices {
            let slot = &self.slots[index as usize];
            let page = loop {
                match slot.hold_page() {
                    Ok(page) => break Some(Pfn(page)),
                    Err(Found::Busy) => {
                        // Other threads may wait for the slots of the batch: release them before waiting.
                        self.finish_release(&batch[..len]);
                        len = 0;
                        slot.wait(waiting_for(index).machine(), threads());
                    }
                    Err(_) => break None,
                }
            };
            let Some(page) = page else { continue };
            let (table, entry) = self.entry(index);
            table.clear(entry);
            batch[len] = (index, page);
            len += 1;
            if len == RELEASE_BATCH {
                self.finish_release(&batch);
                len = 0;
            }
        }
        self.finish_release(&batch[..len]);
    }

    /// Finishes the removal of pages whose entries are empty and whose slots are held. Flushes all CPUs, so that none can reach
    /// the pages, and then returns them to the pool.
    fn finish_release(&self, batch: &[(u64, Pfn)]) {
        if batch.is_empty() {
            return;
        }
        tlb::flush_everywhere();
        for (index, page) in batch {
            huge_pool::pool(self.size).put(*page);
            self.slots[*index as usize].leave(None, waiting_for(*index).machine(), threads());
        }
    }

    fn release_in_parallel(&self, range: Range<u64>) {
        let job = RELEASE.job(pages(range), None).min_chunk(HugePages::new(RELEASE_BATCH as u64));
        let released: Result<Stats, JobError<core::convert::Infallible>> = job.run(&Kernel, |chunk| {
            self.release(chunk.indices());
            Ok(())
        });
        released.expect("releasing cannot fail");
    }
}

impl Drop for HugeFile {
    fn drop(&mut self) {
        self.release_in_parallel(0..self.slots.len() as u64);
        let window = &WINDOW_TABLE[self.window];
        *window.file.lock() = Weak::new();
        window.is_taken.store(false, SeqCst);
    }
}

/// Returns the queue of threads that wait for slot number `index`.
fn waiting_for(index: u64) -> &'static WaitQueue {
    &WAITING[index as usize % WAITING.len()]
}

fn pages(range: Range<u64>) -> Range<HugePages> {
    HugePages::new(range.start)..HugePages::new(range.end)
}

/// Returns the file in window number `window`.
pub(super) fn file_in(window: usize) -> Option<Arc<HugeFile>> {
    WINDOW_TABLE.get(window)?.file.lock().upgrade()
}

fn take_window(size: HugeSize) -> Option<usize> {
    let windows = match size {
        HugeSize::Size2M => 0..WINDOWS_PER_SIZE,
        HugeSize::Size1G => WINDOWS_PER_SIZE..WINDOWS,
    };
    windows.into_iter().find(|window| !WINDOW_TABLE[*window].is_taken.swap(true, SeqCst))
}

/// Restarts the count of mappings for `fault.map`.
pub fn restart_fault_count() {
    MAPPINGS.store(0, SeqCst);
}
