//! A sorted list of disjoint ranges, of fixed capacity: the free memory of [`crate::early`].

use core::ops::Range;

/// Sorted, disjoint, non-empty ranges; at most `N` of them.
#[derive(Clone)]
pub(crate) struct RangeSet<const N: usize> {
    starts_ends: [(u64, u64); N],
    len: usize,
}

impl<const N: usize> RangeSet<N> {
    pub(crate) const fn new() -> Self {
        Self { starts_ends: [(0, 0); N], len: 0 }
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// Adds `range` above all ranges in the set. Returns false if it is empty, not above them, or does not fit.
    pub(crate) fn push(&mut self, range: Range<u64>) -> bool {
        let above = self.iter().last().is_none_or(|last| last.end <= range.start);
        if range.is_empty() || !above || self.len == N {
            return false;
        }
        self.starts_ends[self.len] = (range.start, range.end);
        self.len += 1;
        true
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + '_ {
        self.starts_ends[..self.len].iter().map(|&(start, end)| start..end)
    }

    /// Removes `cut` from the set.
    ///
    /// Returns the number of lost bytes: if a range is split and both parts do not fit, the smaller part is dropped.
    pub(crate) fn subtract(&mut self, cut: Range<u64>) -> u64 {
        if cut.is_empty() {
            return 0;
        }
        let first = self.starts_ends[..self.len].partition_point(|&(_, end)| end <= cut.start);
        let after = self.starts_ends[..self.len].partition_point(|&(start, _)| start < cut.end);
        if first >= after {
            return 0;
        }
        let (low, high) = (self.starts_ends[first].0, self.starts_ends[after - 1].1);
        let left = (low < cut.start).then_some((low, cut.start));
        let right = (cut.end < high).then_some((cut.end, high));
        match (left, right) {
            (None, None) => self.close(first, after),
            (Some(rest), None) | (None, Some(rest)) => {
                self.starts_ends[first] = rest;
                self.close(first + 1, after);
            }
            (Some(left), Some(right)) if after - first > 1 => {
                self.starts_ends[first] = left;
                self.starts_ends[first + 1] = right;
                self.close(first + 2, after);
            }
            (Some(left), Some(right)) if self.len < N => {
                self.starts_ends.copy_within(after..self.len, after + 1);
                self.len += 1;
                self.starts_ends[first] = left;
                self.starts_ends[first + 1] = right;
            }
            (Some(left), Some(right)) => {
                let bytes = |(start, end): (u64, u64)| end - start;
                let (kept, lost) = if bytes(left) >= bytes(right) { (left, right) } else { (right, left) };
                self.starts_ends[first] = kept;
                return bytes(lost);
            }
        }
        0
    }

    /// Removes the ranges at indices `from..to`.
    fn close(&mut self, from: usize, to: usize) {
        self.starts_ends.copy_within(to..self.len, from);
        self.len -= to - from;
    }
}
