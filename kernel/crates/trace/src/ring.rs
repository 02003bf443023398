//! The last events of one CPU.
//!
//! **Writer.** One at a time: the CPU that owns the ring, with interrupts off. So no interrupt handler writes between
//! two words of an interrupted write. The writer never waits; it overwrites the oldest event.
//!
//! **Readers.** Any number, on any CPU, also while the writer is stopped in the middle of a write. A reader detects an
//! event that was overwritten while it was read, so it never returns parts of two events. The writer stores the number
//! of the event that it begins before it writes the cell; the reader loads that number after it has read the cell.

use crate::sync::{AtomicU64, Ordering, fence};

/// Words of an event: the time, and the three of [`Event::pack`](crate::Event::pack).
pub const WORDS: usize = 4;

/// The memory of one event. Zeroed memory is a valid cell that was never written.
#[derive(Debug)]
#[repr(C, align(32))]
pub struct EventCell {
    words: [AtomicU64; WORDS],
}

impl EventCell {
    /// Returns a cell that was never written.
    #[must_use]
    pub fn new() -> Self {
        Self { words: core::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl Default for EventCell {
    fn default() -> Self {
        Self::new()
    }
}

/// Why the ring does not have an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// A later event has overwritten it.
    Overwritten,
    /// It has not been written yet.
    NotYet,
}

/// A ring of events, numbered from 0 in the order in which they were written.
#[derive(Debug)]
pub struct Ring<'a> {
    /// The number of cells is a power of two.
    cells: &'a [EventCell],
    /// Number of events that the writer has begun.
    begun: AtomicU64,
    /// Number of events that the writer has finished.
    written: AtomicU64,
}

impl<'a> Ring<'a> {
    /// Returns an empty ring; `None` unless the number of `cells` is a power of two.
    #[must_use]
    pub fn new(cells: &'a [EventCell]) -> Option<Self> {
        let is_sound = cells.len().is_power_of_two();
        is_sound.then(|| Self { cells, begun: AtomicU64::new(0), written: AtomicU64::new(0) })
    }

    /// Returns the number of events that the ring holds.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.cells.len() as u64
    }

    /// Returns the number of events written so far, which is the number of the next event.
    #[must_use]
    pub fn written(&self) -> u64 {
        // Acquire pairs with the Release in `push`: the events below this number are visible.
        self.written.load(Ordering::Acquire)
    }

    /// Returns the number of the oldest event that is not overwritten yet.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.written().saturating_sub(self.capacity())
    }

    /// Appends an event. One caller at a time, see the module; two concurrent callers would lose or mix up events, but
    /// cause no other harm.
    #[inline(always)]
    pub fn push(&self, words: [u64; WORDS]) {
        // Relaxed: only the writer stores it.
        let number = self.begun.load(Ordering::Relaxed);
        // It never wraps: that would take centuries.
        let next = number.wrapping_add(1);
        self.begun.store(next, Ordering::Relaxed);
        // Pairs with the Acquire fence in `read`: a reader that sees one of the words below also sees this store to
        // `begun`.
        fence(Ordering::Release);
        let cell = &self.cells[number as usize & (self.cells.len() - 1)];
        for (to, word) in cell.words.iter().zip(words) {
            // Relaxed, here and in `read`: the fences and `written` order the words.
            to.store(word, Ordering::Relaxed);
        }
        // Release pairs with the Acquire in `written`.
        self.written.store(next, Ordering::Release);
    }

    /// Reads event `number`.
    ///
    /// # Errors
    ///
    /// The event is not written yet, or overwritten.
    pub fn read(&self, number: u64) -> Result<[u64; WORDS], Missing> {
        if number >= self.written() {
            return Err(Missing::NotYet);
        }
        let cell = &self.cells[number as usize & (self.cells.len() - 1)];
        // Relaxed: see `push`.
        let words = core::array::from_fn(|at| cell.words[at].load(Ordering::Relaxed));
        // Pairs with the Release fence in `push`: if a word was a later event's, `begun` counts that event.
        fence(Ordering::Acquire);
        let begun = self.begun.load(Ordering::Relaxed);
        if begun - number > self.capacity() { Err(Missing::Overwritten) } else { Ok(words) }
    }
}
