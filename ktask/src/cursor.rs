//! Where the next chunk of a range begins.

use crate::NodeId;
use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// One contiguous range and how far it has been handed out.
///
/// # Every unit exactly once
///
/// `next` starts at `start` and changes only in [`claim`](Self::claim), by an exchange
/// from the value that was read to a larger one that is at most `end`. An exchange
/// succeeds for one worker only, which then owns the units between the two values. So
/// the chunks handed out are the steps of one rising sequence from `start`: they
/// share no unit and leave none out; and as `claim` says "nothing left" only when
/// `next == end`, all are handed out once every worker has been told so.
///
/// The claimed units are therefore always the prefix `start..next`, which is what
/// undoing counts on.
///
/// It has a cache line of its own (two, for the processors that fetch them in pairs), so
/// that workers of different nodes do not share one.
#[repr(align(128))]
pub(crate) struct Cursor {
    next: AtomicU64,
    start: u64,
    end: u64,
    node: Option<NodeId>,
    /// Workers that take their chunks here at present.
    workers: AtomicUsize,
    /// Sums over measured chunks, for the governor. On this line because a worker that
    /// claims its next chunk has it at hand anyway.
    chunks: AtomicU64,
    units: AtomicU64,
    ns: AtomicU64,
}

/// What a range's measured chunks add up to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sampled {
    pub(crate) chunks: u64,
    pub(crate) units: u64,
    /// Their times, added up.
    pub(crate) ns: u64,
}

/// How large the next chunk shall be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// What the worker would like. It gets less near the end of the range.
    pub(crate) want: u64,
    /// Chunks are no smaller than this, but for the last of a range. At least 1.
    pub(crate) min: u64,
    /// Chunk ends are multiples of this, but for the last. At least 1.
    pub(crate) align: u64,
    /// Workers among whom what is left should still be divisible; 1 for a job on its
    /// caller alone, which needs no division.
    pub(crate) workers: u64,
}

/// Into how many chunks per worker what is left is divided at least. As in all posted
/// versions, which applied it once, to the whole; applied anew to what is left, chunks
/// shrink towards the end and workers finish together.
const CHUNKS_PER_WORKER: u64 = 4;

impl Cursor {
    /// A range nothing of which is handed out. `start <= end`.
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
        }
    }

    /// The node of the range.
    pub(crate) fn node(&self) -> Option<NodeId> {
        self.node
    }

    /// Takes the next chunk, never empty. `None` when all is handed out.
    pub(crate) fn claim(&self, cut: Cut) -> Option<(u64, u64)> {
        // Relaxed throughout: the exchange on `next` alone decides who owns which units.
        // What workers did to them is published by the hand-over (`raw`).
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

    /// As [`claim`](Self::claim) for a job that has one worker: plain loads and stores.
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

    /// Whether the range is local to `node`. One without a node is to all.
    pub(crate) fn is_at(&self, node: NodeId) -> bool {
        self.node.is_none_or(|own| own == node)
    }

    /// One more worker takes its chunks here.
    pub(crate) fn join(&self) {
        // Relaxed, here and below: figures to cut and to balance by.
        self.workers.fetch_add(1, Ordering::Relaxed);
    }

    /// One fewer does.
    pub(crate) fn leave(&self) {
        self.workers.fetch_sub(1, Ordering::Relaxed);
    }

    /// Workers that take their chunks here.
    pub(crate) fn workers(&self) -> usize {
        self.workers.load(Ordering::Relaxed)
    }

    /// A chunk of `units` took `ns`.
    pub(crate) fn sample(&self, units: u64, ns: u64) {
        self.chunks.fetch_add(1, Ordering::Relaxed);
        self.units.fetch_add(units, Ordering::Relaxed);
        self.ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// What the samples add up to.
    pub(crate) fn sampled(&self) -> Sampled {
        Sampled {
            chunks: self.chunks.load(Ordering::Relaxed),
            units: self.units.load(Ordering::Relaxed),
            ns: self.ns.load(Ordering::Relaxed),
        }
    }

    /// Units not handed out yet.
    pub(crate) fn left(&self) -> u64 {
        // Relaxed: a hint; `claim` decides.
        self.end - self.next.load(Ordering::Relaxed)
    }

    /// What was handed out: a prefix of the range.
    pub(crate) fn claimed(&self) -> (u64, u64) {
        // Relaxed: exact once no worker is left, which the hand-over has made visible.
        (self.start, self.next.load(Ordering::Relaxed))
    }
}

/// Where a chunk ends that begins at `next`, in a range that ends at `end > next`.
/// Larger than `next`, at most `end`.
fn chunk_end(next: u64, end: u64, cut: Cut) -> u64 {
    let left = end - next;
    let share = match cut.workers {
        0 | 1 => left,
        workers => left / (workers * CHUNKS_PER_WORKER),
    };
    let len = cut.want.min(share).max(cut.min);
    if len >= left {
        return end;
    }
    // Rounded up at an absolute position, so a chunk is never cut below `min` for the
    // alignment's sake, and only the first and the last can be ragged.
    match (next + len).checked_next_multiple_of(cut.align) {
        Some(aligned) => aligned.min(end),
        None => end,
    }
}
