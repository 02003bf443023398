//! A place for a page that is its own lock. The thread that changes it from empty to busy provides the page. The thread
//! that changes it from a page to busy removes the page. All other threads wait, or use the page that is there.

use runqueue::List;

use crate::queue::WaitQueue;
use crate::sync::{AtomicU64, SeqCst};
use crate::threads::{Locked, Threads};

/// No page.
const EMPTY: u64 = u64::MAX;
/// A thread holds the slot.
const BUSY: u64 = u64::MAX - 1;
/// The same, and other threads wait for it.
const BUSY_AWAITED: u64 = u64::MAX - 2;

/// The content of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No page.
    Empty,
    /// A thread holds the slot.
    Busy,
    /// A page, by number.
    Page(u64),
}

impl Found {
    const fn of(word: u64) -> Self {
        match word {
            EMPTY => Self::Empty,
            BUSY | BUSY_AWAITED => Self::Busy,
            page => Self::Page(page),
        }
    }
}

/// A slot for a page, by number.
#[derive(Debug)]
pub struct PageSlot {
    word: AtomicU64,
}

impl PageSlot {
    /// Creates an empty slot.
    #[must_use]
    pub fn new() -> Self {
        Self { word: AtomicU64::new(EMPTY) }
    }

    /// Returns the content.
    pub fn look(&self) -> Found {
        Found::of(self.word.load(SeqCst))
    }

    /// Returns the page, if there is one and no thread holds the slot.
    pub fn page(&self) -> Option<u64> {
        match self.look() {
            Found::Page(page) => Some(page),
            _ => None,
        }
    }

    /// Holds the slot if it is empty. The caller must [`leave`](Self::leave) it.
    ///
    /// # Errors
    /// The content, if the slot is not empty.
    pub fn hold_empty(&self) -> Result<(), Found> {
        self.word.compare_exchange(EMPTY, BUSY, SeqCst, SeqCst).map(|_| ()).map_err(Found::of)
    }

    /// Holds the slot if it contains a page, and returns the page. The caller owns the page, and must
    /// [`leave`](Self::leave) the slot.
    ///
    /// # Errors
    /// The content, if it is no page.
    pub fn hold_page(&self) -> Result<u64, Found> {
        let take = |word| matches!(Found::of(word), Found::Page(_)).then_some(BUSY);
        self.word.fetch_update(SeqCst, SeqCst, take).map_err(Found::of)
    }

    /// Releases the slot, which the caller holds, with or without a page in it. Wakes the threads that wait for it in
    /// `waiting`, which other slots may share.
    pub fn leave<L: Locked<List>>(&self, page: Option<u64>, waiting: &WaitQueue<L>, threads: &impl Threads) {
        // Without the mark no thread waits: the lock of the queue, which slots share, is not taken.
        if self.word.swap(page.unwrap_or(EMPTY), SeqCst) == BUSY_AWAITED {
            waiting.wake_all(threads);
        }
    }

    /// Waits in `waiting` until no thread holds the slot. Another thread may hold it again before the caller does.
    pub fn wait<L: Locked<List>>(&self, waiting: &WaitQueue<L>, threads: &impl Threads) {
        // The condition is looked at once more after the thread is in the queue. A holder that leaves before the mark is seen to
        // have left then; one that leaves after it wakes the thread.
        waiting.wait(threads, || !self.is_awaited(), None);
    }

    /// Whether a thread holds the slot. If so, it is told that others wait.
    fn is_awaited(&self) -> bool {
        match self.word.compare_exchange(BUSY, BUSY_AWAITED, SeqCst, SeqCst) {
            Ok(_) | Err(BUSY_AWAITED) => true,
            Err(_) => false,
        }
    }

    /// Calls `make` to provide a page if there is none. Returns false if there was one. Of concurrent callers one calls
    /// `make`, the others wait in `waiting`.
    ///
    /// # Errors
    /// The error of `make`; the slot stays empty.
    pub fn provide<L: Locked<List>, E>(
        &self,
        waiting: &WaitQueue<L>,
        threads: &impl Threads,
        make: impl FnOnce() -> Result<u64, E>,
    ) -> Result<bool, E> {
        while let Err(found) = self.hold_empty() {
            if found != Found::Busy {
                return Ok(false);
            }
            self.wait(waiting, threads);
        }
        let made = make();
        self.leave(made.as_ref().ok().copied(), waiting, threads);
        made.map(|_| true)
    }
}

impl Default for PageSlot {
    fn default() -> Self {
        Self::new()
    }
}
