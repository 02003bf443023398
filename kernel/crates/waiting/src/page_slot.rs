//! A place for a page that is its own lock: whoever turns it from empty to busy
//! provides the page, whoever turns it from a page to busy takes it away, and
//! everybody else waits or takes what is there.

use runqueue::List;

use crate::queue::WaitQueue;
use crate::sync::{AtomicU64, SeqCst};
use crate::threads::{Locked, Threads};

/// No page.
const EMPTY: u64 = u64::MAX;
/// Somebody is at this slot.
const BUSY: u64 = u64::MAX - 1;

/// What there is when a slot is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No page.
    Empty,
    /// Somebody is at it.
    Busy,
    /// This page.
    Page(u64),
}

impl Found {
    const fn of(word: u64) -> Self {
        match word {
            EMPTY => Self::Empty,
            BUSY => Self::Busy,
            page => Self::Page(page),
        }
    }
}

/// A place for a page, by number.
#[derive(Debug)]
pub struct PageSlot {
    word: AtomicU64,
}

impl PageSlot {
    /// The highest number that a page can have.
    pub const MAX_PAGE: u64 = BUSY - 1;

    /// A slot without a page.
    #[must_use]
    pub fn new() -> Self {
        Self { word: AtomicU64::new(EMPTY) }
    }

    /// What is there.
    pub fn look(&self) -> Found {
        Found::of(self.word.load(SeqCst))
    }

    /// The page, if there is one and nobody is at it.
    pub fn page(&self) -> Option<u64> {
        match self.look() {
            Found::Page(page) => Some(page),
            _ => None,
        }
    }

    /// Holds the slot if it is empty: the caller is to [`leave`](Self::leave) it.
    ///
    /// # Errors
    /// What is there instead.
    pub fn hold_empty(&self) -> Result<(), Found> {
        self.word.compare_exchange(EMPTY, BUSY, SeqCst, SeqCst).map(|_| ()).map_err(Found::of)
    }

    /// Holds the slot if there is a page: the caller has that page, and is to
    /// [`leave`](Self::leave) the slot.
    ///
    /// # Errors
    /// What is there instead.
    pub fn hold_page(&self) -> Result<u64, Found> {
        let take = |word| matches!(Found::of(word), Found::Page(_)).then_some(BUSY);
        self.word.fetch_update(SeqCst, SeqCst, take).map_err(Found::of)
    }

    /// Lets go of the slot, which the caller holds, with a page in it or not; and
    /// lets those go on who wait for it in `waiting`, which other slots may share.
    pub fn leave<L: Locked<List>>(&self, page: Option<u64>, waiting: &WaitQueue<L>, threads: &impl Threads) {
        self.word.store(page.unwrap_or(EMPTY), SeqCst);
        waiting.wake_all(threads);
    }

    /// Waits in `waiting` until nobody is at the slot, for this moment at least.
    pub fn wait<L: Locked<List>>(&self, waiting: &WaitQueue<L>, threads: &impl Threads) {
        waiting.wait(threads, || self.look() != Found::Busy, None);
    }

    /// Has `make` provide a page if there is none; false if there was one. Of
    /// those who come at the same time one makes it, the others wait in `waiting`.
    ///
    /// # Errors
    /// Those of `make`; the slot stays empty.
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
