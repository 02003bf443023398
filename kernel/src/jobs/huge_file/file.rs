//! A file of huge pages, as a program would map it. Pages come from the pool, by `fallocate` in parallel or by page fault.
//! They are zeroed, and mapped by page-table entries of their own size.
//!
//! Each page has a slot, which is its lock ([`waiting::page_slot`]). The holder of the slot provides or removes the page, and
//! owns the page-table entry (invariant 22). So two faults contend only for the same page. (In the seed all faults contend
//! for one table of mutexes.)

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

use frames::{Extent, Extents, Pfn, order_pages};
use ktask::{HugePages, JobError, Stats};
use waiting::PageSlot;
use waiting::page_slot::Found;

use super::error::FileError;
use super::window::{WINDOW_BYTES, WINDOWS, WINDOWS_PER_SIZE};
use crate::arch::lock_class::LockClass;
use crate::arch::paging::{HUGE_FILES_BASE, LeafTable};
use crate::arch::spin_lock::IrqSpinLock;
use crate::arch::{tlb, tsc};
use crate::jobs::clearing;
use crate::jobs::kernel::Kernel;
use crate::jobs::manners::Kind;
use crate::jobs::node_stats::JobStats;
use crate::jobs::rounds::add_stats;
use crate::mm::huge::HugeSize;
use crate::mm::{huge_pool, mem_map, permanent, space};
use crate::sched::wait::{WaitQueue, threads};

/// Most pages for which a thread flushes the TLBs of all CPUs once. The flush waits for all CPUs, and costs as much as removing
/// hundreds of pages.
const RELEASE_BATCH: usize = 512;

/// Minimum pages in a chunk of a job that removes more: two batches of the pool. Whether there is enough for a helper, the job
/// finds out by itself.
const RELEASE_MIN_CHUNK: u64 = 128;

/// Pages that return to the pool together.
const PUT_BATCH: usize = 64;

/// In place of a removed page: none was looked for, or another thread held the slot.
const NOT_REMOVED: u64 = u64::MAX;

/// In place of a removed page: the slot was empty.
const NO_PAGE: u64 = u64::MAX - 1;

/// Pages whose entries are empty and whose slots are held.
struct Removed {
    indices: [u64; RELEASE_BATCH],
    pages: [Pfn; RELEASE_BATCH],
    len: usize,
}

struct Window {
    is_taken: AtomicBool,
    file: IrqSpinLock<Weak<HugeFile>>,
}

static RELEASE: Kind = Kind::new("release");
static CLEAR: Kind = Kind::new("clear-file");

static WINDOW_TABLE: [Window; WINDOWS] = [const {
    Window { is_taken: AtomicBool::new(false), file: IrqSpinLock::of(LockClass::FILES, Weak::new()) }
}; WINDOWS];

/// Threads that wait for a busy slot, by slot number. Slots share queues: a thread that is woken for another slot waits again.
static WAITING: [WaitQueue; 64] = [const { WaitQueue::new() }; 64];

/// A file of huge pages. On drop, all pages return to the pool.
pub struct HugeFile {
    pub(super) size: HugeSize,
    window: usize,
    pub(super) slots: Vec<PageSlot>,
    tables: Vec<LeafTable>,
    /// Index from which on no page is provided.
    pub(super) end: AtomicU64,
    pub(super) faults: FaultTiming,
}

/// What a measurement of page faults needs.
pub(super) struct FaultTiming {
    /// Exact number of threads that clear a page; 0 for as many as are useful.
    pub(super) threads: AtomicUsize,
    /// Statistics of clearing the last page.
    pub(super) last: IrqSpinLock<Option<JobStats>>,
}

impl FaultTiming {
    fn new() -> Self {
        Self { threads: AtomicUsize::new(0), last: IrqSpinLock::of(LockClass::FILES, None) }
    }
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
        let mut file = Self {
            size,
            window,
            slots,
            tables: Vec::new(),
            end: AtomicU64::new(count),
            faults: FaultTiming::new(),
        };
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

    /// Sets the exact number of threads that clear the page of a fault, for measurements (`None`: as many as are useful).
    pub fn set_fault_threads(&self, threads: Option<usize>) {
        self.faults.threads.store(threads.unwrap_or(0), SeqCst);
    }

    /// Returns the statistics of clearing the page of the last fault.
    pub fn last_fault(&self) -> Option<JobStats> {
        *self.faults.last.lock()
    }

    /// Returns the size of the pages.
    pub fn size(&self) -> HugeSize {
        self.size
    }

    /// Returns the number of pages in the file.
    pub fn held(&self) -> u64 {
        self.slots.iter().filter_map(PageSlot::page).count() as u64
    }

    /// Returns the page at position `index`.
    pub fn page(&self, index: u64) -> Option<Pfn> {
        self.slots.get(index as usize)?.page().map(Pfn)
    }

    /// Returns the extents of all pages. No page may be removed while they are used.
    fn extents(&self) -> Vec<Extent> {
        (0..self.slots.len() as u64).filter_map(|index| Some(self.extent(self.page(index)?, index))).collect()
    }

    /// Returns the extent of `page`, with its index in the file.
    pub(super) fn extent(&self, page: Pfn, index: u64) -> Extent {
        let node = mem_map::node_of(page).expect("a huge page is memory");
        Extent::new(page, order_pages(self.size.order()), node, index)
    }

    /// Fills all pages with a pattern that is not zero.
    pub fn poison(&self) {
        // SAFETY: the file owns the pages (invariant 12). Its users must expect any content.
        unsafe { clearing::poison(&Extents::arrange(&mut self.extents())) }
    }

    /// Clears all pages.
    ///
    /// # Safety
    /// No reference into the file exists.
    pub unsafe fn clear(&self) {
        let mut extents = self.extents();
        // SAFETY: the file owns the pages (invariant 12), and the caller promises that no reference exists.
        let cleared = unsafe { clearing::clear_all(&CLEAR, &Extents::arrange(&mut extents), None) };
        cleared.expect("clearing cannot fail");
    }

    /// Returns whether the file has every page, no page twice, each mapped in its place, and every byte is zero.
    pub fn is_zeroed_and_complete(&self) -> bool {
        let mut extents = self.extents();
        let are_mapped = extents.iter().all(|extent| {
            let virt = self.base() + extent.tag * self.size.bytes();
            space::with_tables(|tables| tables.translate(virt)) == Some(extent.first.address())
        });
        let extents = Extents::arrange(&mut extents);
        let are_apart = |pair: &[Extent]| pair[0].first != pair[1].first;
        are_mapped
            && extents.as_slice().len() == self.slots.len()
            && extents.as_slice().windows(2).all(are_apart)
            // SAFETY: the file owns the pages (invariant 12), and its users do not write to them meanwhile.
            && unsafe { clearing::is_zero(&extents) }
    }

    /// Returns the pages of a range in bytes to the pool. Their content is lost.
    pub fn punch_hole(&self, offset: u64, len_bytes: u64) -> Result<(), FileError> {
        self.punch_hole_on(offset, len_bytes, None).map(drop)
    }

    /// Does the same on `threads` threads (`None`: as many as are useful).
    pub fn punch_hole_on(
        &self,
        offset: u64,
        len_bytes: u64,
        threads: Option<usize>,
    ) -> Result<Stats, FileError> {
        let range = self.index_range(offset, len_bytes)?;
        Ok(self.release_in_parallel(range, threads))
    }

    /// Ends the file at `len_bytes`, and returns the pages beyond to the pool.
    pub fn truncate(&self, len_bytes: u64) -> Result<(), FileError> {
        self.truncate_on(len_bytes, None).map(drop)
    }

    /// Does the same on `threads` threads (`None`: as many as are useful).
    pub fn truncate_on(&self, len_bytes: u64, threads: Option<usize>) -> Result<Stats, FileError> {
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
        Ok(self.release_in_parallel(len_bytes / unit..file_end, threads))
    }

    /// Drops a handle. If it is the last one, the pages return to the pool on `threads` threads (`None`: as many as are
    /// useful), as they do on drop, and this returns the statistics.
    pub fn close(self: Arc<Self>, threads: Option<usize>) -> Option<Stats> {
        let mut file = Arc::into_inner(self)?;
        let stats = file.release_in_parallel(0..file.slots.len() as u64, threads);
        // Nothing is left to release.
        file.slots.clear();
        Some(stats)
    }

    pub(super) fn index_range(&self, offset: u64, len_bytes: u64) -> Result<Range<u64>, FileError> {
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

    pub(super) fn entry(&self, index: u64) -> (&LeafTable, usize) {
        let table = &self.tables[(index / LeafTable::ENTRIES) as usize];
        (table, (index % LeafTable::ENTRIES) as usize)
    }

    /// Releases the slot at `index`, which the caller holds, with `page` in it.
    pub(super) fn leave(&self, index: u64, page: Option<Pfn>) {
        self.slots[index as usize].leave(page.map(|page| page.0), waiting_for(index).machine(), threads());
    }

    /// Returns the pages at `indices`, which are ascending, to the pool. Skips empty slots.
    pub(super) fn release(&self, indices: impl Iterator<Item = u64>) {
        let mut batch = Removed { indices: [0; RELEASE_BATCH], pages: [Pfn(0); RELEASE_BATCH], len: 0 };
        for index in indices {
            let slot = &self.slots[index as usize];
            let page = loop {
                match slot.hold_page() {
                    Ok(page) => break Some(Pfn(page)),
                    Err(Found::Busy) => {
                        // Other threads may wait for the slots of the batch: release them before waiting.
                        self.finish_release(&mut batch);
                        slot.wait(waiting_for(index).machine(), threads());
                    }
                    Err(_) => break None,
                }
            };
            let Some(page) = page else { continue };
            let (table, entry) = self.entry(index);
            table.clear(entry);
            (batch.indices[batch.len], batch.pages[batch.len]) = (index, page);
            batch.len += 1;
            if batch.len == RELEASE_BATCH {
                self.finish_release(&mut batch);
            }
        }
        self.finish_release(&mut batch);
    }

    /// Finishes the removal of `batch`, and empties it. Flushes all CPUs, so that none can reach the pages, and then returns
    /// them to the pool.
    fn finish_release(&self, batch: &mut Removed) {
        if batch.len == 0 {
            return;
        }
        tlb::flush_everywhere();
        huge_pool::pool(self.size).put_all(&batch.pages[..batch.len]);
        for index in &batch.indices[..batch.len] {
            self.leave(*index, None);
        }
        batch.len = 0;
    }

    /// Returns the pages at `range` to the pool, with one TLB flush on all CPUs: a job empties the entries, and after the flush
    /// another returns the pages. The time of the statistics is that of all three.
    fn release_in_parallel(&self, range: Range<u64>, threads: Option<usize>) -> Stats {
        let start_ns = tsc::now_ns();
        let mut removed: Vec<AtomicU64> = Vec::new();
        if removed.try_reserve_exact((range.end - range.start) as usize).is_err() {
            self.release(range);
            return Stats::default();
        }
        removed.resize_with((range.end - range.start) as usize, || AtomicU64::new(NOT_REMOVED));
        let first = range.start;
        let removed_at = |index: u64| &removed[(index - first) as usize];
        let has_busy = AtomicBool::new(false);
        let mut stats = release_job(range.clone(), threads, |chunk| {
            for index in chunk {
                match self.slots[index as usize].hold_page() {
                    Ok(page) => {
                        let (table, entry) = self.entry(index);
                        table.clear(entry);
                        removed_at(index).store(page, SeqCst);
                    }
                    Err(Found::Busy) => has_busy.store(true, SeqCst),
                    Err(_) => removed_at(index).store(NO_PAGE, SeqCst),
                }
            }
        });
        let (units, is_removed) = (stats.units, |index: &u64| removed_at(*index).load(SeqCst) < NO_PAGE);
        if range.clone().any(|index| is_removed(&index)) {
            tlb::flush_everywhere();
            let finished = release_job(range.clone(), threads, |chunk| {
                let (mut batch, mut len) = ([Pfn(0); PUT_BATCH], 0);
                for index in chunk.clone().filter(is_removed) {
                    batch[len] = Pfn(removed_at(index).load(SeqCst));
                    len += 1;
                    if len == PUT_BATCH {
                        huge_pool::pool(self.size).put_all(&batch);
                        len = 0;
                    }
                }
                huge_pool::pool(self.size).put_all(&batch[..len]);
                for index in chunk.filter(is_removed) {
                    self.leave(index, None);
                }
            });
            add_stats(&mut stats, &finished);
        }
        if has_busy.into_inner() {
            // No slot is held here: other threads may wait for one of them.
            self.release(range.filter(|index| removed_at(*index).load(SeqCst) == NOT_REMOVED));
        }
        (stats.units, stats.wall_ns) = (units, tsc::since_ns(start_ns));
        stats
    }
}

/// Runs `work` on parts of `range`, on `threads` threads (`None`: as many as are useful).
fn release_job(range: Range<u64>, threads: Option<usize>, work: impl Fn(Range<u64>) + Sync) -> Stats {
    let pages = HugePages::new(range.start)..HugePages::new(range.end);
    let job = RELEASE.job(pages, threads).min_chunk(HugePages::new(RELEASE_MIN_CHUNK));
    let released: Result<Stats, JobError<core::convert::Infallible>> = job.run(&Kernel, |chunk| {
        work(chunk.start().get()..chunk.end().get());
        Ok(())
    });
    released.expect("releasing cannot fail")
}

impl Drop for HugeFile {
    fn drop(&mut self) {
        self.release_in_parallel(0..self.slots.len() as u64, None);
        let window = &WINDOW_TABLE[self.window];
        *window.file.lock() = Weak::new();
        window.is_taken.store(false, SeqCst);
    }
}

/// Returns the queue of threads that wait for slot number `index`.
pub(super) fn waiting_for(index: u64) -> &'static WaitQueue {
    &WAITING[index as usize % WAITING.len()]
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
