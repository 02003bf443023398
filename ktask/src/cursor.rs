//! The position of the next chunk in a range.

use crate::NodeId;
use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// A contiguous range and how far it has been handed out.
///
/// # Every unit exactly once
///
/// `next` starts at `start` and changes only in [`claim`](Self::claim): an exchange replaces the
/// value that was read by a larger one of at most `end`. The exchange succeeds for one worker,
/// which then owns the units between the two values. So the claimed chunks are the steps of one
/// rising sequence from `start`: they share no unit and leave none out. `claim` returns `None`
/// only if `next == end`. So all units have been claimed once every worker has got `None`.
///
/// The claimed units are therefore always the prefix `start..next`. The undo relies on this.
///
/// A cursor fills a pair of cache lines, because some processors fetch lines in pairs. So the
/// workers of different nodes share no line.
#[repr(align(128))]
pub(crate) struct Cursor {
    next: AtomicU64,
    start: u64,
    end: u64,
    node: Option<NodeId>,
    /// Workers that claim from this range now.
    workers: AtomicUsize,
    /// Sums over measured chunks, for the governor. They lie on this line because a worker that
    /// claims its next chunk needs the line anyway.
    chunks: AtomicU64,
    units: AtomicU64,
    ns: AtomicU64,
    squares: AtomicU64,
    /// Workers that the governor wants here; more are surplus if the job has surplus helpers.
    wanted: AtomicUsize,
    /// Workers that the caller has placed here: its notes while it starts helpers.
    placed: AtomicUsize,
}

/// Sums over measured chunks. They wrap around; differences of two are right.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sampled {
    pub(crate) chunks: u64,
    /// Sum of the chunks' units, each times the job's factor: see [`Sampled::factor`].
    pub(crate) units: u64,
    /// Sum of the chunks' times.
    pub(crate) ns: u64,
    /// Sum of the chunks' times squared and divided by their units: see [`Sampled::square`].
    pub(crate) squares: u64,
}

impl Sampled {
    /// Bits that are left out of times before they are squared.
    pub(crate) const SQUARE_SHIFT: u32 = 6;

    /// Factor on quotients of squares and units, so that they keep their digits.
    pub(crate) const SQUARE_UNITS: u64 = 1 << 16;

    /// The longest time of a chunk that is sampled as it is, in nanoseconds. The squares of longer
    /// ones would fill the sum.
    const LONGEST_NS: u64 = 1 << 33;

    /// Returns the factor on the units of a job of `units` in smallest chunks of `smallest`. It leaves
    /// room for parts of units, and for the sum of all.
    pub(crate) fn factor(units: u64, smallest: u64) -> u64 {
        // The quotients of squares and units keep their digits if a chunk has about `SQUARE_UNITS`.
        (Self::SQUARE_UNITS / smallest).clamp(1, (u64::MAX / units.max(1)).max(1))
    }

    /// Returns the square of `ns`, divided by `units`, in the form of the sum.
    fn square(units: u64, ns: u64) -> u64 {
        let time = u128::from(ns.min(Self::LONGEST_NS) >> Self::SQUARE_SHIFT);
        let square = time * time * u128::from(Self::SQUARE_UNITS) / u128::from(units.max(1));
        u64::try_from(square).unwrap_or(u64::MAX)
    }

    /// Returns what was added since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            chunks: self.chunks.wrapping_sub(before.chunks),
            units: self.units.wrapping_sub(before.units),
            ns: self.ns.wrapping_sub(before.ns),
            squares: self.squares.wrapping_sub(before.squares),
        }
    }

    /// Returns the sums of both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            chunks: self.chunks.wrapping_add(other.chunks),
            units: self.units.wrapping_add(other.units),
            ns: self.ns.wrapping_add(other.ns),
            squares: self.squares.wrapping_add(other.squares),
        }
    }
}

/// The wanted length of the next chunk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// Length that the worker wants. It gets less at the end of the range, and never less than `min`.
    pub(crate) want: u64,
    /// Smallest length of a chunk; the last chunk of a range may be shorter. At least 1.
    pub(crate) min: u64,
    /// Chunk ends are multiples of this, but for the last chunk's. At least 1.
    pub(crate) align: u64,
}

impl Cursor {
    /// Makes a cursor over `start..end` with nothing claimed. `start <= end`.
    pub(crate) fn new(start: u64, end: u64, node: Option<NodeId>) -> Self {
        debug_assert!(start <= end, "cursor over {start}..{end}");
        Self {
            next: AtomicU64::new(start),
            start,
            end,
            node,
            workers: AtomicUsize::new(0),
            chunks: AtomicU64::new(0),
            units: AtomicU64::new(0),
            ns: AtomicU64::new(0),
            squares: AtomicU64::new(0),
            wanted: AtomicUsize::new(0),
            placed: AtomicUsize::new(0),
        }
    }

    /// Returns the node of the range.
    pub(crate) fn node(&self) -> Option<NodeId> {
        self.node
    }

    /// Claims the next chunk, which is never empty. Returns `None` if all units are claimed.
    pub(crate) fn claim(&self, cut: Cut) -> Option<(u64, u64)> {
        // Relaxed throughout: the exchange on `next` alone decides which worker owns which units.
        // The hand-over (`raw`) publishes what workers did to the units.
        let mut next = self.next.load(Ordering::Relaxed);
        loop {
            if next == self.end {
                return None;
            }
            let end = chunk_end(next, self.end, cut);
            match self.next.compare_exchange_weak(next, end, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some((next, end)),
                Err(now) => next = now,
            }
        }
    }

    /// Claims the next chunk of a job that has one worker, by plain loads and stores. The result is
    /// that of [`claim`](Self::claim).
    pub(crate) fn claim_alone(&self, cut: Cut) -> Option<(u64, u64)> {
        // Relaxed: one thread.
        let next = self.next.load(Ordering::Relaxed);
        if next == self.end {
            return None;
        }
        let end = chunk_end(next, self.end, cut);
        self.next.store(end, Ordering::Relaxed);
        Some((next, end))
    }

    /// Returns whether the range is local to `node`. A range without a node is local to all.
    pub(crate) fn is_at(&self, node: NodeId) -> bool {
        self.node.is_none_or(|own| own == node)
    }

    /// Counts a worker that begins to claim from this range.
    pub(crate) fn join(&self) {
        // Relaxed, here and below: the counts only steer chunk lengths and the choice of ranges.
        self.workers.fetch_add(1, Ordering::Relaxed);
    }

    /// Uncounts a worker that no longer claims from this range.
    pub(crate) fn leave(&self) {
        self.workers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns the number of workers that claim from this range.
    pub(crate) fn workers(&self) -> usize {
        self.workers.load(Ordering::Relaxed)
    }

    /// Returns the number of workers that the governor wants here.
    pub(crate) fn wanted(&self) -> usize {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Sets the number of workers that the governor wants here.
    pub(crate) fn set_wanted(&self, workers: usize) {
        self.wanted.store(workers, Ordering::Relaxed);
    }

    /// Caller: returns the number of workers that it has placed here.
    pub(crate) fn placed(&self) -> usize {
        self.placed.load(Ordering::Relaxed)
    }

    /// Caller: sets the number of workers that it has placed here.
    pub(crate) fn set_placed(&self, workers: usize) {
        self.placed.store(workers, Ordering::Relaxed);
    }

    /// Adds a chunk that took `ns` nanoseconds to the sums. `units` includes the job's factor.
    pub(crate) fn sample(&self, units: u64, ns: u64) {
        self.chunks.fetch_add(1, Ordering::Relaxed);
        self.units.fetch_add(units, Ordering::Relaxed);
        self.ns.fetch_add(ns, Ordering::Relaxed);
        self.squares.fetch_add(Sampled::square(units, ns), Ordering::Relaxed);
    }

    /// Returns the sums over the measured chunks.
    pub(crate) fn sampled(&self) -> Sampled {
        Sampled {
            chunks: self.chunks.load(Ordering::Relaxed),
            units: self.units.load(Ordering::Relaxed),
            ns: self.ns.load(Ordering::Relaxed),
            squares: self.squares.load(Ordering::Relaxed),
        }
    }

    /// Returns the number of units that are not claimed yet.
    pub(crate) fn left(&self) -> u64 {
        // Relaxed: a hint; `claim` decides.
        self.end - self.next.load(Ordering::Relaxed)
    }

    /// Returns the claimed units, a prefix of the range.
    pub(crate) fn claimed(&self) -> (u64, u64) {
        // Relaxed: exact after the join, which makes all claims visible.
        (self.start, self.next.load(Ordering::Relaxed))
    }
}

/// Returns the end of the chunk that begins at `next`, in a range that ends at `end > next`. It is
/// above `next` and at most `end`.
fn chunk_end(next: u64, end: u64, cut: Cut) -> u64 {
    let left = end - next;
    let len = cut.want.max(cut.min);
    if len >= left {
        return end;
    }
    // Rounded up to an absolute position: alignment never makes a chunk shorter than `min`, and only
    // the first and the last chunk can be unaligned.
    match (next + len).checked_next_multiple_of(cut.align) {
        Some(aligned) => aligned.min(end),
        None => end,
    }
}
