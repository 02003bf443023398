//! A file of huge pages: what a program would map and live on. Pages come from
//! the pool, by `fallocate` in parallel or one by one as they are touched; they
//! are clean, and mapped by page-table entries of their own size.
//!
//! Each page has a slot, which is its lock: whoever turns it from [`EMPTY`] to
//! [`BUSY`] provides the page, whoever turns it from a page to [`BUSY`] takes it
//! away. So two faults meet only if they are for the same page. (In the seed all
//! of them meet on one table of mutexes.) The page-table entry belongs to who
//! holds the slot (invariant 22).

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use ::trace::{Class, Event};
use frames::{Pfn, order_pages};
use ktask::{Chunk, HugePages, Job, JobError, Profile, Stats};
use params::registry::FAULT_MAP;
use x86_64::instructions::interrupts;
use x86_64::registers::control::Cr2;

use super::platform::Kernel;
use crate::arch::irq::IrqLock;
use crate::arch::lock_class::LockClass;
use crate::arch::paging::{HUGE_FILES_BASE, LeafTable, MapError};
use crate::arch::tlb;
use crate::arch::trap::TrapFrame;
use crate::debug::trace;
use crate::mm::huge::HugeSize;
use crate::mm::huge_pool::{self, PoolCount};
use crate::mm::{pages, space, zero};
use crate::sched::wait::WaitQueue;

/// Address space of each file.
const WINDOW_BYTES: u64 = 512 << 30;
/// Files of each size that can be at a time. Page tables stay with a window, so
/// each is for one size of page.
const WINDOWS_PER_SIZE: usize = 8;
const WINDOWS: usize = 2 * WINDOWS_PER_SIZE;
/// No page.
const EMPTY: u64 = u64::MAX;
/// Somebody is at this slot.
const BUSY: u64 = u64::MAX - 1;
/// Pages that are taken away with one flush of all CPUs' translations.
const RELEASE_BATCH: usize = 64;

struct Window {
    is_taken: AtomicBool,
    file: IrqLock<Weak<HugeFile>>,
}

static WINDOW_TABLE: [Window; WINDOWS] =
    [const { Window { is_taken: AtomicBool::new(false), file: IrqLock::of(LockClass::FILES, Weak::new()) } };
        WINDOWS];

/// Who waits for a slot that is busy, by slot number. A queue may be shared:
/// those woken for nothing look again.
static WAITING: [WaitQueue; 64] = [const { WaitQueue::new() }; 64];

/// Mappings so far, for fault injection.
static MAPPINGS: AtomicU64 = AtomicU64::new(0);

/// A file of huge pages. Dropped, it gives them all back.
pub struct HugeFile {
    size: HugeSize,
    window: usize,
    slots: Vec<AtomicU64>,
    tables: Vec<LeafTable>,
    /// Pages from here on are not to be had.
    end: AtomicU64,
}

/// Why something cannot be done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileError {
    /// An offset or a length is not a multiple of the page size.
    NotAligned {
        /// The value given.
        value: u64,
        /// The page size.
        unit: u64,
    },
    /// The range is empty or ends beyond the file.
    BeyondEnd {
        /// Where the range ends.
        end: u64,
        /// Where the file ends.
        file_end: u64,
    },
    /// The pool has no page left.
    NoPage,
    /// A page could not be mapped.
    NotMapped(MapError),
    /// As `fault.map` wanted.
    MapFault,
    /// No memory for the file's own tables.
    NoMemory,
    /// All windows of the address space for pages of this size are taken.
    NoWindow,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAligned { value, unit } => write!(f, "{value:#x} should be a multiple of {unit:#x}"),
            Self::BeyondEnd { end, file_end } => {
                write!(
                    f,
                    "the range ends at {end:#x}, should not be empty and end at {file_end:#x} or before"
                )
            }
            Self::NoPage => write!(f, "no huge page is left in the pool"),
            Self::NotMapped(error) => error.fmt(f),
            Self::MapFault => write!(f, "a mapping failed, as fault.map wanted"),
            Self::NoMemory => write!(f, "no memory for the tables of a huge-page file"),
            Self::NoWindow => write!(f, "there are {WINDOWS_PER_SIZE} such files already, the most"),
        }
    }
}

/// What to do with the pages that a failed [`HugeFile::fallocate`] has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// Give them back: all or nothing.
    GiveBack,
    /// Keep them: the file has what there was.
    Keep,
}

/// Why the pages of a range were not all provided.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "rare, and a box would want memory when there is none")]
pub enum FallocateError {
    /// The range is none of the file's; nothing was done.
    Range(FileError),
    /// A page could not be provided.
    Page {
        /// Why, and what was done until then.
        job: JobError<FileError>,
        /// The pool before.
        before: PoolCount,
        /// The pool afterwards.
        after: PoolCount,
    },
}

impl fmt::Display for FallocateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(error) => error.fmt(f),
            Self::Page { job, before, after } => {
                write!(f, "{job}; there were {before}; there are {after}")
            }
        }
    }
}

impl HugeFile {
    /// An empty file that can have up to `len_bytes`.
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
        slots.resize_with(count as usize, || AtomicU64::new(EMPTY));
        let window = take_window(size).ok_or(FileError::NoWindow)?;
        // From here on the file gives the window back, whatever happens.
        let mut file = Self { size, window, slots, tables: Vec::new(), end: AtomicU64::new(count) };
        let per_table = LeafTable::ENTRIES * unit;
        for virt in (file.base()..file.base() + len_bytes).step_by(per_table as usize) {
            let level = match size {
                HugeSize::Size2M => 1,
                HugeSize::Size1G => 2,
            };
            let table = space::with_tables(|tables| tables.leaf_table(virt, level, &mut pages::alloc_table));
            file.tables.push(table.map_err(FileError::NotMapped)?);
        }
        let file = Arc::new(file);
        *WINDOW_TABLE[window].file.lock() = Arc::downgrade(&file);
        Ok(file)
    }

    /// Virtual address of its first byte. The file can be read and written from
    /// here on, wherever it has pages or the pool has; elsewhere such an access
    /// is fatal.
    pub fn base(&self) -> u64 {
        HUGE_FILES_BASE + self.window as u64 * WINDOW_BYTES
    }

    /// Pages that it has.
    pub fn held(&self) -> u64 {
        self.slots.iter().filter(|slot| slot.load(SeqCst) < BUSY).count() as u64
    }

    /// The page at position `index`.
    pub fn page(&self, index: u64) -> Option<Pfn> {
        let page = self.slots.get(index as usize)?.load(SeqCst);
        (page < BUSY).then_some(Pfn(page))
    }

    /// Provides clean pages for a range in bytes where there are none, on
    /// `threads` threads (`None`: as many as help).
    pub fn fallocate(
        &self,
        offset: u64,
        len_bytes: u64,
        on_error: OnError,
        threads: Option<usize>,
    ) -> Result<Stats, FallocateError> {
        let range = self.index_range(offset, len_bytes).map_err(FallocateError::Range)?;
        // Which pages this call provides: only those may be given back.
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
        let job = job(range.clone()).name("fallocate");
        let job = match on_error {
            OnError::GiveBack => job.undo(&undo),
            OnError::Keep => job,
        };
        let job = match threads {
            Some(threads) => job.threads_exact(threads),
            None => job,
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
                        if on_error == OnError::GiveBack {
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

    /// Fills all its pages with a pattern that is not zero.
    pub fn poison(&self) {
        let poisoned: Result<Stats, JobError<core::convert::Infallible>> =
            job(0..self.slots.len() as u64).name("poison").run(&Kernel, |chunk| {
                for page in chunk.indices().filter_map(|index| self.page(index)) {
                    // SAFETY: the file owns the page (invariant 12); what its users see there is up to them.
                    unsafe { zero::poison_frames(page, order_pages(self.size.order())) };
                }
                Ok(())
            });
        poisoned.expect("poisoning cannot fail");
    }

    /// Clears all its pages.
    ///
    /// # Safety
    /// Nobody has a reference into the file.
    pub unsafe fn clear(&self) {
        let cleared: Result<Stats, JobError<core::convert::Infallible>> =
            job(0..self.slots.len() as u64).name("clear").run(&Kernel, |chunk| {
                for page in chunk.indices().filter_map(|index| self.page(index)) {
                    // SAFETY: the file owns the page (invariant 12), and the caller promises that nobody looks.
                    unsafe { zero::zero_frames(page, order_pages(self.size.order())) };
                }
                Ok(())
            });
        cleared.expect("clearing cannot fail");
    }

    /// Whether it has every page, no page twice, each mapped in its place, and
    /// every byte is zero.
    pub fn is_clean_and_whole(&self) -> bool {
        let unit = self.size.bytes();
        let checked = job(0..self.slots.len() as u64).name("verify").run(&Kernel, |chunk| {
            let is_good = chunk.indices().all(|index| {
                let virt = self.base() + index * unit;
                self.page(index).is_some_and(|page| {
                    let mapped = space::with_tables(|tables| tables.translate(virt));
                    // SAFETY: the file owns the page, and its users leave it alone meanwhile.
                    mapped == Some(page.address())
                        && unsafe { zero::is_zero(page, order_pages(self.size.order())) }
                })
            });
            if is_good { Ok(()) } else { Err(()) }
        });
        let mut pages: Vec<u64> = self.slots.iter().map(|slot| slot.load(SeqCst)).collect();
        pages.sort_unstable();
        checked.is_ok() && pages.windows(2).all(|pair| pair[0] != pair[1])
    }

    /// Gives the pages of a range in bytes back; what was in them is gone.
    pub fn punch_hole(&self, offset: u64, len_bytes: u64) -> Result<(), FileError> {
        let range = self.index_range(offset, len_bytes)?;
        self.release_in_parallel(range);
        Ok(())
    }

    /// Makes the file end at `len_bytes`, and gives back what lies beyond.
    pub fn truncate(&self, len_bytes: u64) -> Result<(), FileError> {
        let unit = self.size.bytes();
        let file_end = self.slots.len() as u64;
        if !len_bytes.is_multiple_of(unit) {
            return Err(FileError::NotAligned { value: len_bytes, unit });
        }
        if len_bytes / unit > file_end {
            return Err(FileError::BeyondEnd { end: len_bytes, file_end: file_end * unit });
        }
        // First the end: a page that is provided meanwhile is either seen below or not provided.
        self.end.store(len_bytes / unit, SeqCst);
        self.release_in_parallel(len_bytes / unit..file_end);
        Ok(())
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

    /// Provides a clean page at `index`, mapped; false if there was one.
    fn provide(&self, index: u64) -> Result<bool, FileError> {
        let slot = &self.slots[index as usize];
        while let Err(found) = slot.compare_exchange(EMPTY, BUSY, SeqCst, SeqCst) {
            if found != BUSY {
                return Ok(false);
            }
            self.wait_for(index);
        }
        let page = self.make_page(index);
        self.leave(index, page.unwrap_or(Pfn(EMPTY)).0);
        page.map(|_| true)
    }

    /// Takes, clears and maps a page for the slot at `index`, which the caller
    /// holds.
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

    /// Gives back the pages at `indices`, ascending, where there are any.
    fn release(&self, indices: impl Iterator<Item = u64>) {
        let mut batch = [(0, Pfn(0)); RELEASE_BATCH];
        let mut len = 0;
        for index in indices {
            let slot = &self.slots[index as usize];
            let page = loop {
                match slot.load(SeqCst) {
                    EMPTY => break None,
                    BUSY => {
                        // Not while others may be waiting for what we hold.
                        self.finish_release(&batch[..len]);
                        len = 0;
                        self.wait_for(index);
                    }
                    page => {
                        if slot.compare_exchange(page, BUSY, SeqCst, SeqCst).is_ok() {
                            break Some(Pfn(page));
                        }
                    }
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

    /// The second half of taking pages away: their entries are empty and their
    /// slots held; once no CPU can reach the pages any more, they go back.
    fn finish_release(&self, batch: &[(u64, Pfn)]) {
        if batch.is_empty() {
            return;
        }
        tlb::flush_everywhere();
        for (index, page) in batch {
            huge_pool::pool(self.size).put(*page);
            self.leave(*index, EMPTY);
        }
    }

    fn release_in_parallel(&self, range: Range<u64>) {
        let job = job(range).name("release").min_chunk(HugePages::new(RELEASE_BATCH as u64));
        let released: Result<Stats, JobError<core::convert::Infallible>> = job.run(&Kernel, |chunk| {
            self.release(chunk.indices());
            Ok(())
        });
        released.expect("giving back cannot fail");
    }

    /// Lets go of a slot, leaving `content` in it.
    fn leave(&self, index: u64, content: u64) {
        self.slots[index as usize].store(content, SeqCst);
        WAITING[index as usize % WAITING.len()].wake_all();
    }

    fn wait_for(&self, index: u64) {
        let slot = &self.slots[index as usize];
        WAITING[index as usize % WAITING.len()].wait_until(|| slot.load(SeqCst) != BUSY);
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

fn job(range: Range<u64>) -> Job<'static, HugePages> {
    Job::new(HugePages::new(range.start)..HugePages::new(range.end)).profile(Profile::Boot)
}

fn take_window(size: HugeSize) -> Option<usize> {
    let windows = match size {
        HugeSize::Size2M => 0..WINDOWS_PER_SIZE,
        HugeSize::Size1G => WINDOWS_PER_SIZE..WINDOWS,
    };
    windows.into_iter().find(|window| !WINDOW_TABLE[*window].is_taken.swap(true, SeqCst))
}

/// Has `fault.map` count from here.
pub fn restart_fault_count() {
    MAPPINGS.store(0, SeqCst);
}

/// The hook for page faults: provides the page, if the address is a file's.
/// False: the fault is nobody's, or the page is not to be had.
pub fn page_fault(frame: &TrapFrame) -> bool {
    const PRESENT: u64 = 1 << 0;
    let address = Cr2::read_raw();
    let files = HUGE_FILES_BASE..HUGE_FILES_BASE + WINDOWS as u64 * WINDOW_BYTES;
    // Who cannot be interrupted cannot wait for a page either.
    if frame.error_code & PRESENT != 0 || !files.contains(&address) || !frame.was_interruptible() {
        return false;
    }
    trace::event_irqs_off(Class::Fault, || Event::PageFault { address });
    interrupts::enable();
    let is_mended = provide_at(address - HUGE_FILES_BASE);
    interrupts::disable();
    is_mended
}

fn provide_at(offset: u64) -> bool {
    let window = &WINDOW_TABLE[(offset / WINDOW_BYTES) as usize];
    let Some(file) = window.file.lock().upgrade() else { return false };
    let index = offset % WINDOW_BYTES / file.size.bytes();
    if index >= file.slots.len() as u64 {
        return false;
    }
    let provided = file.provide(index);
    if let Err(error) = provided {
        log::error!("huge-page file: page {index}: {error}; {}", huge_pool::pool(file.size).count());
    }
    provided.is_ok()
}
