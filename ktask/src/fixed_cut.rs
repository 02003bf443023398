//! Chunk bounds that depend on the job's description alone.

/// Bounds of the chunks of an ordered job: `start`, then every `len` units after `aligned_start`.
///
/// They are those that a cursor makes when its smallest and its largest length are both `len`, a
/// multiple of `align`. It rounds the end of the first chunk up, and the others fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FixedCut {
    start: u64,
    /// `start`, rounded up to a multiple of `align`.
    aligned_start: u64,
    /// Length of each chunk but the first, which may be longer, and the last, which may be shorter.
    len: u64,
}

impl FixedCut {
    /// Cuts `start..end`, which is not empty, into at most `slots` chunks, at least 1, of at least
    /// `min_chunk` units.
    pub(crate) fn new(start: u64, end: u64, min_chunk: u64, align: u64, slots: usize) -> Self {
        let share = (end - start).div_ceil(slots as u64).max(min_chunk);
        // Where rounding up overflows, there is one chunk, and both numbers are beyond its end.
        let round_up = |count: u64| count.checked_next_multiple_of(align).unwrap_or(u64::MAX);
        Self { start, aligned_start: round_up(start), len: round_up(share) }
    }

    /// Returns the length of a chunk.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Returns how many chunks a range that ends at `end` has if they are `len` units long.
    pub(crate) fn count(&self, end: u64, len: u64) -> u64 {
        end.saturating_sub(self.aligned_start).div_ceil(len).max(1)
    }

    /// Returns the index of the chunk that begins at `start`. Different starts have different
    /// indices; a number at which no chunk begins has none.
    pub(crate) fn index(&self, start: u64) -> Option<usize> {
        if start == self.start {
            return Some(0);
        }
        let offset = start.checked_sub(self.aligned_start)?;
        if offset == 0 || offset % self.len != 0 {
            return None;
        }
        usize::try_from(offset / self.len).ok()
    }
}
