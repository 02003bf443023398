//! A search through a table in steps, while requests to search come at any time.

use core::ops::Range;

/// How far a search through a circular table of `N` entries is. It goes on where it is when a request comes, and ends one
/// round after the last request: so each request is served within one round, however often requests come.
#[derive(Debug, Default)]
pub struct Sweep<const N: usize> {
    at: usize,
    left: usize,
}

impl<const N: usize> Sweep<N> {
    /// A search that is over.
    #[must_use]
    pub const fn new() -> Self {
        Self { at: 0, left: 0 }
    }

    /// Has every entry be searched, from now on.
    pub const fn request(&mut self) {
        self.left = N;
    }

    /// Ends the search: what was wanted is known not to be there.
    pub const fn end(&mut self) {
        self.left = 0;
    }

    /// Whether no entry is left to search.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Returns the entries to search next, at most `most`; they count as searched. Empty only where the search is over.
    pub fn step(&mut self, most: usize) -> Range<usize> {
        let start = self.at;
        let len = most.min(self.left).min(N - start);
        self.at = (start + len) % N;
        self.left -= len;
        start..start + len
    }
}
