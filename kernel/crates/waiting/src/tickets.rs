//! Has everybody done something since it was asked for? Whoever wants to know
//! draws a ticket and asks; doing it once answers all tickets drawn before.

use crate::sync::{AtomicU64, SeqCst};

/// Tickets, and the last one that each of `N` has answered.
#[derive(Debug)]
pub struct Tickets<const N: usize> {
    drawn: AtomicU64,
    answered: [AtomicU64; N],
}

impl<const N: usize> Tickets<N> {
    /// None drawn yet.
    #[cfg(not(loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self { drawn: AtomicU64::new(0), answered: [const { AtomicU64::new(0) }; N] }
    }

    /// None drawn yet.
    #[cfg(loom)]
    #[must_use]
    pub fn new() -> Self {
        Self { drawn: AtomicU64::new(0), answered: core::array::from_fn(|_| AtomicU64::new(0)) }
    }

    /// Asks for something: what the caller did before is seen by those who answer.
    pub fn draw(&self) -> u64 {
        self.drawn.fetch_add(1, SeqCst) + 1
    }

    /// Number `who` does what is asked for, `action`, once for all tickets so far.
    pub fn answer(&self, who: usize, action: impl FnOnce()) {
        // Read before acting: a ticket drawn in between wants it done again.
        let drawn = self.drawn.load(SeqCst);
        action();
        self.answered[who].fetch_max(drawn, SeqCst);
    }

    /// Whether number `who` has acted since `ticket` was drawn; if so, all that it did before is seen from here on.
    pub fn is_answered(&self, who: usize, ticket: u64) -> bool {
        self.answered[who].load(SeqCst) >= ticket
    }
}

#[cfg(not(loom))]
impl<const N: usize> Default for Tickets<N> {
    fn default() -> Self {
        Self::new()
    }
}
