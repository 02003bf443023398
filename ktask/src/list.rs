//! The part of a linked list that a chunk gets.

use core::fmt;

/// An iterator over the nodes of a chunk: one per unit, fewer if the list ends before.
pub struct ListPart<'c, 'n, N> {
    at: Option<&'n N>,
    left: u64,
    next: &'c dyn Fn(&'n N) -> Option<&'n N>,
}

impl<'c, 'n, N> ListPart<'c, 'n, N> {
    pub(crate) fn new(first: Option<&'n N>, count: u64, next: &'c dyn Fn(&'n N) -> Option<&'n N>) -> Self {
        Self { at: first, left: count, next }
    }
}

impl<'n, N> Iterator for ListPart<'_, 'n, N> {
    type Item = &'n N;

    fn next(&mut self) -> Option<&'n N> {
        self.left = self.left.checked_sub(1)?;
        let node = self.at?;
        // Not beyond the last node of the chunk: the next one is another worker's.
        self.at = if self.left > 0 { (self.next)(node) } else { None };
        Some(node)
    }
}

impl<N> fmt::Debug for ListPart<'_, '_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListPart").field("left", &self.left).finish_non_exhaustive()
    }
}
