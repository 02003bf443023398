//! The state of one work item.
//!
//! An owner creates an item and queues it any number of times. Each time is a *generation*: it begins when the item is
//! claimed, and is over when the item is done or cancelled. Three parties access the state concurrently: the owner that
//! queues the item, the worker that runs it, and a canceller.
//!
//! ```text
//!             claim            publish           begin            end
//!   Idle  ------------> Claimed -------> Queued -------> Running -----> Done
//!   Done, Cancelled: as Idle               |
//!                                          | cancel              retire
//!                                          +-------> Cancelling -------> Cancelled
//! ```
//!
//! `publish` and inserting the item into the queue happen under one hold of the queue's lock. So do removing the item and
//! `begin`. A canceller takes that lock after `cancel`. The item is then still in the queue, or a worker has removed it and
//! skipped it. The canceller removes the item if it is there, and retires it. Writes between `claim` and `publish` are
//! visible to the worker that begins and to the canceller.

use crate::sync::{AtomicU64, Ordering};

const IDLE: u64 = 0;
const CLAIMED: u64 = 1;
const QUEUED: u64 = 2;
const RUNNING: u64 = 3;
const CANCELLING: u64 = 4;
const DONE: u64 = 5;
const CANCELLED: u64 = 6;

/// Bits of the state. The bits above them count the generations that are over.
const STATE_BITS: u32 = 3;
const STATE_MASK: u64 = (1 << STATE_BITS) - 1;
const ONE_GENERATION: u64 = 1 << STATE_BITS;

/// A generation of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation(u64);

impl Generation {
    /// Creates the generation with this [`number`](Self::number).
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number of generations that the item had before.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// What an item is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Never queued.
    Idle,
    /// Waiting for a worker.
    Queued,
    /// Being run by a worker.
    Running,
    /// The last generation was run.
    Done,
    /// The last generation was cancelled before a worker began.
    Cancelled,
}

/// The state of one item.
#[derive(Debug)]
pub struct ItemState {
    word: AtomicU64,
}

impl ItemState {
    /// Creates the state of an item that was never queued.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self { word: AtomicU64::new(IDLE) }
    }

    /// Creates the state of an item that was never queued.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self { word: AtomicU64::new(IDLE) }
    }

    /// Begins a generation. The caller may then set the item up, and publishes it. Returns `None` while another generation is
    /// going on.
    #[inline]
    #[must_use]
    pub fn claim(&self) -> Option<Generation> {
        // Acquire pairs with the Release that ended the last generation: its writes to the item are visible.
        let claim = |word: u64| match word & STATE_MASK {
            IDLE | DONE | CANCELLED => Some(word & !STATE_MASK | CLAIMED),
            _ => None,
        };
        let before = self.word.fetch_update(Ordering::Acquire, Ordering::Relaxed, claim).ok()?;
        Some(Generation(before >> STATE_BITS))
    }

    /// Makes the item, which the caller has claimed and queued, available to workers and cancellers. Called under the
    /// queue's lock.
    #[inline]
    pub fn publish(&self) {
        // Release pairs with the Acquire of `begin` and `cancel`: they see what the owner has set up.
        self.change(CLAIMED, QUEUED, 0, Ordering::Release);
    }

    /// Makes the calling worker begin with the item. The worker has just removed it from the queue, and still holds the
    /// queue's lock. Returns false if the item was cancelled and does not belong to the worker.
    #[inline]
    #[must_use]
    pub fn begin(&self) -> bool {
        // Acquire pairs with the Release in `publish`; Release pairs with the Acquire in `status`: a thread that finds the
        // item running sees what the worker wrote before, such as the worker's number.
        let change = |word: u64| (word & STATE_MASK == QUEUED).then_some(word & !STATE_MASK | RUNNING);
        self.word.fetch_update(Ordering::AcqRel, Ordering::Relaxed, change).is_ok()
    }

    /// Ends the generation that the calling worker has run.
    #[inline]
    pub fn end(&self) {
        // Release pairs with the Acquire in `is_over` and `claim`: they see what the worker has written.
        self.change(RUNNING, DONE, ONE_GENERATION, Ordering::Release);
    }

    /// Prevents workers from beginning with `generation`. On true, the caller removes the item from its queue, if it is still
    /// there, and [`retire`](Self::retire)s it. Returns false if the generation is not queued, or if a worker or another
    /// canceller was faster.
    #[inline]
    #[must_use]
    pub fn cancel(&self, generation: Generation) -> bool {
        // Acquire pairs with the Release in `publish`.
        let (from, to) = (generation.0 << STATE_BITS | QUEUED, generation.0 << STATE_BITS | CANCELLING);
        self.word.compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Ends the generation that the caller has cancelled. The item is in no queue any more.
    #[inline]
    pub fn retire(&self) {
        // Release: see `end`.
        self.change(CANCELLING, CANCELLED, ONE_GENERATION, Ordering::Release);
    }

    /// Returns whether `generation` is over. If so, the writes of its worker are visible.
    #[inline]
    #[must_use]
    pub fn is_over(&self, generation: Generation) -> bool {
        // Acquire pairs with the Release in `end` and `retire`.
        self.word.load(Ordering::Acquire) >> STATE_BITS != generation.0
    }

    /// Returns the current generation, or the next one if none is going on.
    #[inline]
    #[must_use]
    pub fn generation(&self) -> Generation {
        // Relaxed: callers check the result with `is_over`, or use it for `cancel`, which checks it.
        Generation(self.word.load(Ordering::Relaxed) >> STATE_BITS)
    }

    /// Returns what the item is doing at the moment. The writes of the thread that changed it are visible.
    #[must_use]
    pub fn status(&self) -> Status {
        // Acquire pairs with the Release in `begin`, `end` and `publish`.
        match self.word.load(Ordering::Acquire) & STATE_MASK {
            IDLE => Status::Idle,
            RUNNING => Status::Running,
            DONE => Status::Done,
            CANCELLING | CANCELLED => Status::Cancelled,
            _ => Status::Queued,
        }
    }

    /// Changes the state from `from` to `to` and adds `add` to the word. Only the caller may leave state `from`.
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
