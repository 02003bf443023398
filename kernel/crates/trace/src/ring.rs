//! The last so many events of one CPU.
//!
//! **Writer.** One at a time: the CPU that owns the ring, with interrupts off, so that no interrupt
//! handler writes between two words of what it interrupted. It waits for nobody and overwrites
//! the oldest event.
//!
//! **Readers.** Any number, on any CPU, also of a CPU that was stopped in the middle of
//! writing. An event that is overwritten while it is read is told apart, never
//! half of each returned: the writer says which event it begins before it touches the
//! cell, and a reader looks at that after it has read the cell.

use crate::sync::{AtomicU64, Ordering, fence};

/// Words of an event: the time, and three of [`Event::pack`](crate::Event::pack).
pub const WORDS: usize = 4;

/// Room for one event. Memory full of zeros is as good as new ones.
#[derive(Debug)]
#[repr(C, align(32))]
pub struct EventCell {
    words: [AtomicU64; WORDS],
}

impl EventCell {
    /// A cell that was never written.
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

/// Why there is no such event in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Later ones have overwritten it.
    Overwritten,
    /// It has not been written yet.
    NotYet,
}

/// A ring of events, numbered from 0 in the order in which they were written.
#[derive(Debug)]
pub struct Ring<'a> {
    /// Their number is a power of two.
    cells: &'a [EventCell],
    /// Events whose writing has begun.
    begun: AtomicU64,
    /// Events that are written.
    written: AtomicU64,
}

impl<'a> Ring<'a> {
    /// An empty ring; `None` unless the number of `cells` is a power of two.
    #[must_use]
    pub fn new(cells: &'a [EventCell]) -> Option<Self> {
        let is_sound = cells.len().is_power_of_two();
        is_sound.then(|| Self { cells, begun: AtomicU64::new(0), written: AtomicU64::new(0) })
    }

    /// How many events the ring keeps.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.cells.len() as u64
    }

    /// How many events were written so far: the number of the next one.
    #[must_use]
    pub fn written(&self) -> u64 {
        // Acquire pairs with the Release in `push`: the events below this number are there.
        self.written.load(Ordering::Acquire)
    }

    /// Number of the oldest event that a reader that begins now can still have.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.written().saturating_sub(self.capacity())
    }

    /// Appends an event. One caller at a time: see the module. Two at once would lose or mix up events,
    /// and do no worse.
    #[inline(always)]
    pub fn push(&self, words: [u64; WORDS]) {
        // Relaxed: only the writer changes it.
        let number = self.begun.load(Ordering::Relaxed);
        // It does not wrap around: that would take centuries.
        let next = number.wrapping_add(1);
        self.begun.store(next, Ordering::Relaxed);
        // This fence pairs with the one in `read`: a reader that sees one of the words below sees `begun` as it is now.
        fence(Ordering::Release);
        let cell = &self.cells[number as usize & (self.cells.len() - 1)];
        for (to, word) in cell.words.iter().zip(words) {
            // Relaxed, here and in `read`: ordered by the fences, and by `written`.
            to.store(word, Ordering::Relaxed);
        }
        // Release pairs with the Acquire in `written`.
        self.written.store(next, Ordering::Release);
    }

    /// The event numbered `number`.
    ///
    /// # Errors
    ///
    /// When it is not, or not any more, in the ring.
    pub fn read(&self, number: u64) -> Result<[u64; WORDS], Missing> {
        if number >= self.written() {
            return Err(Missing::NotYet);
        }
        let cell = &self.cells[number as usize & (self.cells.len() - 1)];
        // Relaxed: see `push`.
        let words = core::array::from_fn(|at| cell.words[at].load(Ordering::Relaxed));
        // Pairs with the fence in `push`: if a word was of a later event, `begun` has come past that one.
        fence(Ordering::Acquire);
        let begun = self.begun.load(Ordering::Relaxed);
        if begun - number > self.capacity() { Err(Missing::Overwritten) } else { Ok(words) }
    }
}
