//! The memory that a helper's task refers to.
//!
//! A [`HelperCell`] outlives every job. Its word says whether a helper may begin, and the job's
//! caller can change that at any time. So a task that is not run keeps no caller waiting.

use core::cell::Cell;

use crate::record::WorkerRecord;
use crate::sync::{AtomicPtr, AtomicU32, AtomicU64, Ordering, const_fn, hash_of_address};

/// Memory for one helper of a job, while the job has it: which task may begin, and what the helper
/// reports.
///
/// A platform lends cells by [`Platform::helper_cells`](crate::Platform::helper_cells). Each job has
/// one per helper for as long as it runs. If no cell is free, a helper is refused. A cell fills a
/// cache line.
///
/// ```
/// use ktask::HelperCell;
///
/// static CELLS: [HelperCell; 256] = [const { HelperCell::new() }; 256];
/// ```
#[repr(align(64))]
#[derive(Debug)]
pub struct HelperCell {
    /// A generation and a [`State`]. See the proof in `lending`.
    word: AtomicU64,
    /// The frame that a task of the current generation borrows. Valid while the state is `Queued` or
    /// `Running`.
    frame: AtomicPtr<()>,
    /// The next cell of the same job: its index in the platform's slice plus 1; 0 for none.
    next: AtomicU32,
    pub(crate) record: WorkerRecord,
}

/// Bits of a word that hold the state; the generation is above them.
const STATE_BITS: u32 = 3;

/// The state of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// No job has the cell.
    Free,
    /// A job has the cell; no task may begin.
    Idle,
    /// The task of this generation may begin.
    Queued,
    /// The task's thread uses the frame of the job's caller.
    Running,
    /// As `Running`, and the caller waits to be woken at the end.
    Awaited,
    /// The task has ended, and uses the frame no more.
    Done,
    /// The task was dropped and had not begun.
    Lost,
}

/// The value of a cell's word. A generation belongs to one task; it grows with each, so that an
/// old task never finds its own generation again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) generation: u64,
    pub(super) state: State,
}

impl Word {
    pub(super) fn is(self, generation: u64, state: State) -> bool {
        self == Self { generation, state }
    }

    fn bits(self) -> u64 {
        self.generation << STATE_BITS | self.state as u64
    }

    fn from_bits(bits: u64) -> Self {
        let state = match bits & ((1 << STATE_BITS) - 1) {
            0 => State::Free,
            1 => State::Idle,
            2 => State::Queued,
            3 => State::Running,
            4 => State::Awaited,
            5 => State::Done,
            _ => State::Lost,
        };
        Self { generation: bits >> STATE_BITS, state }
    }
}

impl HelperCell {
    const_fn! {
        /// Makes a cell that no job has.
        #[must_use]
        pub fn new() -> Self {
            Self {
                word: AtomicU64::new(0),
                frame: AtomicPtr::new(core::ptr::null_mut()),
                next: AtomicU32::new(0),
                record: WorkerRecord::new(),
            }
        }
    }

    /// Returns the word. What was written before the word was set is visible.
    pub(super) fn word(&self) -> Word {
        // Acquire pairs with the Release in `change` and `set`.
        Word::from_bits(self.word.load(Ordering::Acquire))
    }

    /// Changes the state of generation `generation` from `from` to `to`, if it is that.
    pub(super) fn change(&self, generation: u64, from: State, to: State) -> bool {
        let (from, to) = (Word { generation, state: from }, Word { generation, state: to });
        // AcqRel: both sides of the hand-over. A helper that begins sees what its caller wrote, and
        // a caller that finds a helper ended sees what the helper wrote.
        self.word.compare_exchange(from.bits(), to.bits(), Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Sets the word, which only the calling thread changes now.
    pub(super) fn set(&self, generation: u64, state: State) {
        // Release pairs with the Acquire in `word` and `change`.
        self.word.store(Word { generation, state }.bits(), Ordering::Release);
    }

    /// Returns the frame that was set last.
    pub(super) fn frame(&self) -> *mut () {
        // Relaxed: `change` to `Running` has made it visible.
        self.frame.load(Ordering::Relaxed)
    }

    /// Sets the frame for the next generation.
    pub(super) fn set_frame(&self, frame: *mut ()) {
        // Relaxed: `set` publishes it.
        self.frame.store(frame, Ordering::Relaxed);
    }

    /// Returns whether no task of the cell may begin or is running.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.word().state, State::Idle | State::Done | State::Lost)
    }

    /// Marks the loss of the last task as noted. Returns whether there was one.
    pub(crate) fn take_lost(&self) -> bool {
        let word = self.word();
        word.state == State::Lost && self.change(word.generation, State::Lost, State::Idle)
    }
}

impl Default for HelperCell {
    fn default() -> Self {
        Self::new()
    }
}

/// The cells that one job has, in the order of their workers' numbers. Dropping it frees the cells.
#[derive(Debug)]
pub(crate) struct Cells {
    all: &'static [HelperCell],
    /// Index of the first cell plus 1; 0 for none. As in [`HelperCell::next`].
    first: Cell<u32>,
    last: Cell<u32>,
    len: Cell<u32>,
    /// Where the search for a free cell goes on.
    search_at: Cell<u32>,
}

impl Cells {
    /// Makes a list without cells, which will have cells out of `all`.
    pub(crate) fn new(all: &'static [HelperCell]) -> Self {
        let cells =
            Self { all, first: Cell::new(0), last: Cell::new(0), len: Cell::new(0), search_at: Cell::new(0) };
        // Each thread begins to search elsewhere, and again where its last job did: callers then
        // rarely meet, and find their cells in their cache.
        cells.search_at.set((hash_of_address(core::ptr::from_ref(&cells).addr()) % all.len().max(1)) as u32);
        cells
    }

    /// Returns the number of cells in the list.
    pub(crate) fn len(&self) -> usize {
        self.len.get() as usize
    }

    /// Adds a free cell to the list, with an empty record. Returns `None` if no cell is free.
    pub(crate) fn add(&self) -> Option<&'static HelperCell> {
        for _ in 0..self.all.len() {
            let index = self.search_at.get() as usize;
            self.search_at.set(((index + 1) % self.all.len()) as u32);
            let cell = &self.all[index];
            let word = cell.word();
            if word.state != State::Free || !cell.change(word.generation, State::Free, State::Idle) {
                continue;
            }
            let link = index as u32 + 1;
            // Relaxed: only the job's caller changes links. Other threads that follow them got the
            // list from the caller.
            cell.next.store(0, Ordering::Relaxed);
            match self.all.get((self.last.get() as usize).wrapping_sub(1)) {
                Some(last) => last.next.store(link, Ordering::Relaxed),
                None => self.first.set(link),
            }
            self.last.set(link);
            self.len.set(self.len.get() + 1);
            cell.record.reset(self.len());
            return Some(cell);
        }
        None
    }

    /// Returns whether `cell` lies in the memory that the list has its cells from.
    pub(super) fn has(&self, cell: &HelperCell) -> bool {
        self.all.as_ptr_range().contains(&core::ptr::from_ref(cell))
    }

    /// Returns the cells that the list has now.
    pub(crate) fn list(&self) -> CellList {
        CellList { all: self.all, next: self.first.get() }
    }
}

impl Drop for Cells {
    fn drop(&mut self) {
        for cell in self.list() {
            // `scope` has left no cell queued or running. One that were would be kept for ever.
            if cell.is_idle() {
                cell.set(cell.word().generation, State::Free);
            }
        }
    }
}

/// An iterator over the cells of a job, from any thread. It is valid while the job's [`Cells`] is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CellList {
    all: &'static [HelperCell],
    next: u32,
}

impl Iterator for CellList {
    type Item = &'static HelperCell;

    fn next(&mut self) -> Option<Self::Item> {
        let cell = self.all.get((self.next as usize).wrapping_sub(1))?;
        // Relaxed: see `Cells::add`.
        self.next = cell.next.load(Ordering::Relaxed);
        Some(cell)
    }
}
