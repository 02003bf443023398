//! The state of one work item.
//!
//! An item belongs to whoever made it and is queued over and over. Each time is a
//! *generation*: it begins when the item is claimed and is over when the item was done or cancelled. Three
//! parties meet here: who queues, the worker, and who cancels.
//!
//! ```text
//!             claim            publish           begin            end
//!   Idle  ------------> Claimed -------> Queued -------> Running -----> Done
//!   Done, Cancelled: as Idle               |
//!                                          | cancel              retire
//!                                          +--------> Leaving ---------> Cancelled
//! ```
//!
//! `publish` and putting the item into the queue are one step for whoever has the queue's lock, and so
//! are taking it out and `begin`. So who has cancelled an item and then gets that lock finds it
//! in the queue, or it was just passed over by a worker; takes it out if it is there, and retires it. What
//! was set between `claim` and `publish` is seen by whoever begins or cancels.

use crate::sync::{AtomicU64, Ordering};

const IDLE: u64 = 0;
const CLAIMED: u64 = 1;
const QUEUED: u64 = 2;
const RUNNING: u64 = 3;
const LEAVING: u64 = 4;
const DONE: u64 = 5;
const CANCELLED: u64 = 6;

/// Bits of the state; above them is the number of generations that are over.
const STATE_BITS: u32 = 3;
const STATE_MASK: u64 = (1 << STATE_BITS) - 1;
const ONE_GENERATION: u64 = 1 << STATE_BITS;

/// One generation of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(u64);

impl Generation {
    /// The generation behind a [`number`](Self::number).
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// How many generations the item had before.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What an item is doing, for reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It was never queued.
    Idle,
    /// It waits for a worker.
    Queued,
    /// A worker is at it.
    Running,
    /// Its last generation ended with the work done.
    Done,
    /// Its last generation ended before a worker began.
    Cancelled,
}

/// The state of one item.
#[derive(Debug)]
pub struct ItemState {
    word: AtomicU64,
}

impl ItemState {
    /// Of an item that was never queued.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self { word: AtomicU64::new(IDLE) }
    }

    /// Of an item that was never queued.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self { word: AtomicU64::new(IDLE) }
    }

    /// Begins a generation: the caller may set the item up, and publishes it then. `None` while another generation goes on.
    #[inline]
    #[must_use]
    pub fn claim(&self) -> Option<Generation> {
        // Acquire pairs with the Release that ended the last generation: what it left in the item is seen.
        let claim = |word: u64| match word & STATE_MASK {
            IDLE | DONE | CANCELLED => Some(word & !STATE_MASK | CLAIMED),
            _ => None,
        };
        let before = self.word.fetch_update(Ordering::Acquire, Ordering::Relaxed, claim).ok()?;
        Some(Generation(before >> STATE_BITS))
    }

    /// The item, claimed by the caller, is queued: workers and cancellers may have it. Under the queue's lock.
    #[inline]
    pub fn publish(&self) {
        // Release pairs with the Acquire of `begin` and `cancel`: they see what was set.
        self.change(CLAIMED, QUEUED, 0, Ordering::Release);
    }

    /// A worker that has just taken the item out of its queue, and still has the queue's lock, begins with it. False:
    /// it was cancelled, and is not the worker's any more.
    #[inline]
    #[must_use]
    pub fn begin(&self) -> bool {
        // Acquire pairs with the Release in `publish`.
        let change = |word: u64| (word & STATE_MASK == QUEUED).then_some(word & !STATE_MASK | RUNNING);
        self.word.fetch_update(Ordering::Acquire, Ordering::Relaxed, change).is_ok()
    }

    /// The worker is done with the item.
    #[inline]
    pub fn end(&self) {
        // Release pairs with the Acquire in `is_over` and `claim`: they see what the worker did.
        self.change(RUNNING, DONE, ONE_GENERATION, Ordering::Release);
    }

    /// Keeps workers from beginning with `generation` of the item. True: the caller takes it out of its queue, if it is still
    /// there, and [`retire`](Self::retire)s it. False: it is not queued, or a worker or another canceller was faster.
    #[inline]
    #[must_use]
    pub fn cancel(&self, generation: Generation) -> bool {
        // Acquire pairs with the Release in `publish`.
        let (from, to) = (generation.0 << STATE_BITS | QUEUED, generation.0 << STATE_BITS | LEAVING);
        self.word.compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// The item, cancelled by the caller, is in no queue any more.
    #[inline]
    pub fn retire(&self) {
        // Release: as in `end`.
        self.change(LEAVING, CANCELLED, ONE_GENERATION, Ordering::Release);
    }

    /// Whether `generation` is over. Then what its worker did is visible.
    #[inline]
    #[must_use]
    pub fn is_over(&self, generation: Generation) -> bool {
        // Acquire pairs with the Release in `end` and `retire`.
        self.word.load(Ordering::Acquire) >> STATE_BITS != generation.0
    }

    /// The generation that goes on, or else the next one.
    #[inline]
    #[must_use]
    pub fn generation(&self) -> Generation {
        // Relaxed: what is concluded is checked by `is_over`.
        Generation(self.word.load(Ordering::Relaxed) >> STATE_BITS)
    }

    /// What the item is doing, at this moment: for reports, not decisions.
    #[must_use]
    pub fn status(&self) -> Status {
        // Relaxed: nothing is concluded from it.
        match self.word.load(Ordering::Relaxed) & STATE_MASK {
            IDLE => Status::Idle,
            RUNNING => Status::Running,
            DONE => Status::Done,
            LEAVING | CANCELLED => Status::Cancelled,
            _ => Status::Queued,
        }
    }

    /// The caller alone may leave state `from`.
    #[inline]
    fn change(&self, from: u64, to: u64, add: u64, order: Ordering) {
        // Relaxed: the caller wrote the word last, or has acquired it.
        let word = self.word.load(Ordering::Relaxed);
        debug_assert!(
            word & STATE_MASK == from,
            "an item in state {} should be in {from}",
            word & STATE_MASK
        );
        self.word.store((word & !STATE_MASK | to).wrapping_add(add), order);
    }
}

impl Default for ItemState {
    fn default() -> Self {
        Self::new()
    }
}
