//! The position of the next chunk in a range.

use crate::NodeId;
use crate::log::{LOG_BITS, log2};
use crate::sync::{AtomicU16, AtomicU64, Ordering, const_fn};

/// The numbers of a range, which stay the same while its job runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) start: u64,
    /// At least `start`.
    pub(crate) end: u64,
    pub(crate) node: MaybeNode,
}

/// A node or none, in one word. An `Option` is written in two halves, and copied as one word: a processor that
/// cannot forward two stores to a load waits for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MaybeNode(u64);

impl MaybeNode {
    pub(crate) const NONE: Self = Self(u64::MAX);

    pub(crate) fn some(node: NodeId) -> Self {
        Self(node.0.into())
    }

    fn get(self) -> Option<NodeId> {
        u32::try_from(self.0).ok().map(NodeId)
    }
}

/// What the workers of a range share. A job may have many slots on its caller's stack, so a slot has no number
/// that its [`Extent`] has.
pub(crate) struct Slot {
    next: AtomicU64,
    /// Workers that claim from this range now.
    workers: AtomicU16,
    /// Those of them that are not away: see [`Cursor::join`].
    residents: AtomicU16,
    /// Workers that the governor wants here; more are surplus if the job has surplus helpers.
    wanted: AtomicU16,
    /// Workers that the caller has placed here: its notes while it starts helpers.
    placed: AtomicU16,
}

const _: () = assert!(crate::MAX_WORKERS <= u16::MAX as usize);

/// A contiguous range and how far it has been handed out.
///
/// # Every unit exactly once
///
/// `next` starts at the range's start and changes only in [`claim`](Self::claim): an exchange replaces the
/// value that was read by a larger one of at most `end`. The exchange succeeds for one worker,
/// which then owns the units between the two values. So the claimed chunks are the steps of one
/// rising sequence from the start: they share no unit and leave none out. `claim` returns no units
/// only if `next == end`. So all units have been claimed once every worker has got none.
///
/// The claimed units are therefore always the prefix up to `next`. The undo relies on this.
#[derive(Clone, Copy)]
pub(crate) struct Cursor<'c> {
    slot: &'c Slot,
    end: u64,
    node: MaybeNode,
}

/// The cursors of a job. If there are few, each slot is on a separate cache line, so that the workers of
/// different nodes share no line. Many lie close: the caller's stack is small.
pub(crate) struct Cursors<'c> {
    slots: &'c [Slot],
    /// Distance of the slots that are used.
    spread: usize,
    extent: &'c ExtentFn<'c>,
}

/// Returns the range of an index, the same at each call.
pub(crate) type ExtentFn<'e> = dyn Fn(usize) -> Extent + Sync + 'e;

impl<'c> Cursors<'c> {
    /// Makes the cursors over the ranges that `extent` returns, one for every slot whose number is a
    /// multiple of `spread`. Nothing is claimed yet.
    pub(crate) fn new(slots: &'c mut [Slot], spread: usize, extent: &'c ExtentFn<'c>) -> Self {
        for (index, slot) in slots.iter_mut().step_by(spread).enumerate() {
            *slot = Slot::new(extent(index).start);
        }
        Self { slots, spread, extent }
    }

    /// Returns the number of cursors.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() / self.spread
    }

    /// Returns cursor number `index`.
    ///
    /// Never inlined: a job should not have this frame on its caller's stack.
    #[inline(never)]
    pub(crate) fn get(&self, index: usize) -> Cursor<'c> {
        Cursor::new(&self.slots[index * self.spread], (self.extent)(index))
    }

    /// Returns the number of units of range number `index` that were claimed.
    pub(crate) fn claimed(&self, index: usize) -> u64 {
        self.get(index).next() - (self.extent)(index).start
    }

    /// Returns all cursors.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Cursor<'c>> {
        (0..self.len()).map(|index| self.get(index))
    }
}

/// Sums over measured chunks, for the governor.
pub(crate) struct Samples {
    chunks: AtomicU64,
    units: AtomicU64,
    ns: AtomicU64,
    squares: AtomicU64,
    whole: AtomicU64,
    near: AtomicU64,
    logs: AtomicU64,
    log_squares: AtomicU64,
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
    /// Chunks that began after the measurement did, and count in the next two sums.
    pub(crate) whole: u64,
    /// Those of them whose cost is near the centre.
    pub(crate) near: u64,
    /// Sum of the logarithms of the chunks' times for a unit: see [`Sampled::log`]. Those far from the
    /// centre count as if they were [`Sampled::NEAR`] away.
    pub(crate) logs: u64,
    /// Sum of the squares of the logarithms.
    pub(crate) log_squares: u64,
}

impl Sampled {
    /// Bits that are left out of times before they are squared.
    pub(crate) const SQUARE_SHIFT: u32 = 6;

    /// Factor on quotients of squares and units, so that they keep their digits.
    pub(crate) const SQUARE_UNITS: u64 = 1 << 16;

    /// The longest time of a chunk that is sampled as it is, in nanoseconds. The squares of longer
    /// ones would fill the sum.
    const LONGEST_NS: u64 = 1 << 33;

    /// Distance from the centre, as a logarithm, up to which a cost counts as it is: a factor of 4. More than
    /// what a step between thread counts changes.
    pub(crate) const NEAR: u64 = 2 << LOG_BITS;

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

    /// Returns the logarithm of `ns` nanoseconds for each of `units`, in the form of [`log2`]. It is made
    /// positive by a constant.
    fn log(units: u64, ns: u64) -> u64 {
        (log2(ns.max(1)) + (64 << LOG_BITS)).saturating_sub(log2(units.max(1)))
    }

    /// Returns what was added since `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            chunks: self.chunks.wrapping_sub(before.chunks),
            units: self.units.wrapping_sub(before.units),
            ns: self.ns.wrapping_sub(before.ns),
            squares: self.squares.wrapping_sub(before.squares),
            whole: self.whole.wrapping_sub(before.whole),
            near: self.near.wrapping_sub(before.near),
            logs: self.logs.wrapping_sub(before.logs),
            log_squares: self.log_squares.wrapping_sub(before.log_squares),
        }
    }
}

/// How a job's ranges may be cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// Smallest length of a chunk; the last chunk of a range may be shorter. At least 1.
    pub(crate) min: u64,
    /// Largest length of a chunk. At least `min`, and a multiple of `align` unless it is the largest number.
    pub(crate) max: u64,
    /// Chunk ends are multiples of this, but for the last chunk's. At least 1.
    pub(crate) align: u64,
}

impl Slot {
    const_fn! {
        /// Makes the slot of a range that begins at `start`, with nothing claimed.
        pub(crate) fn new(start: u64) -> Self {
            Self {
                next: AtomicU64::new(start),
                workers: AtomicU16::new(0),
                residents: AtomicU16::new(0),
                wanted: AtomicU16::new(0),
                placed: AtomicU16::new(0),
            }
        }
    }
}

impl<'c> Cursor<'c> {
    /// Makes a cursor over `extent`, of which `slot` tells how much is claimed.
    pub(crate) fn new(slot: &'c Slot, extent: Extent) -> Self {
        let Extent { start, end, node } = extent;
        debug_assert!(start <= end, "cursor over {start}..{end}");
        Self { slot, end, node }
    }

    /// Returns the node of the range.
    pub(crate) fn node(&self) -> Option<NodeId> {
        self.node.get()
    }

    /// Claims the next chunk. The result is empty if all units were claimed before, and only then.
    ///
    /// It has `want` units, or as many as `cut` allows, and less at the end of the range.
    ///
    /// Never inlined, and two numbers: a job should have little of it on its caller's stack.
    #[inline(never)]
    pub(crate) fn claim(&self, want: u64, cut: &Cut) -> (u64, u64) {
        // Relaxed throughout: the exchange on `next` alone decides which worker owns which units.
        // The hand-over (`raw`) publishes what workers did to the units.
        let mut next = self.slot.next.load(Ordering::Relaxed);
        while next != self.end {
            let end = chunk_end(next, self.end, want, cut);
            match self.slot.next.compare_exchange_weak(next, end, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return (next, end),
                Err(now) => next = now,
            }
        }
        (next, next)
    }

    /// Claims the next chunk of a job that has one worker, by plain loads and stores. The result is
    /// that of [`claim`](Self::claim). Never inlined, as that.
    #[inline(never)]
    pub(crate) fn claim_alone(&self, want: u64, cut: &Cut) -> (u64, u64) {
        // Relaxed: one thread.
        let next = self.slot.next.load(Ordering::Relaxed);
        if next == self.end {
            return (next, next);
        }
        let end = chunk_end(next, self.end, want, cut);
        self.slot.next.store(end, Ordering::Relaxed);
        (next, end)
    }

    /// Returns whether the range has a node.
    pub(crate) fn has_node(&self) -> bool {
        self.node != MaybeNode::NONE
    }

    /// Returns whether the range is local to `node`. A range without a node is local to all.
    pub(crate) fn is_at(&self, node: NodeId) -> bool {
        self.node == MaybeNode::NONE || self.node == MaybeNode::some(node)
    }

    /// Counts a worker that begins to claim from this range. One that is remote may leave before the range is
    /// used up.
    pub(crate) fn join(&self, is_remote: bool) {
        // Relaxed, here and below: the counts only steer chunk lengths and the choice of ranges.
        self.slot.workers.fetch_add(1, Ordering::Relaxed);
        self.slot.residents.fetch_add(u16::from(!is_remote), Ordering::Relaxed);
    }

    /// Uncounts a worker that no longer claims from this range.
    pub(crate) fn leave(&self, is_remote: bool) {
        self.slot.workers.fetch_sub(1, Ordering::Relaxed);
        self.slot.residents.fetch_sub(u16::from(!is_remote), Ordering::Relaxed);
    }

    /// Returns the number of workers that claim from this range and are not remote.
    pub(crate) fn residents(&self) -> usize {
        // Relaxed: a resident ends after its own claim found no units left. So a reader that still sees it
        // counted, or that saw units left before, leaves it nothing that it does not claim.
        self.slot.residents.load(Ordering::Relaxed) as usize
    }

    /// Returns the number of workers that claim from this range.
    pub(crate) fn workers(&self) -> usize {
        self.slot.workers.load(Ordering::Relaxed) as usize
    }

    /// Returns the number of units that are not claimed yet.
    pub(crate) fn left(&self) -> u64 {
        // Relaxed: a hint; `claim` decides.
        self.end - self.slot.next.load(Ordering::Relaxed)
    }

    /// Returns the number of workers that the governor wants here.
    pub(crate) fn wanted(&self) -> usize {
        self.slot.wanted.load(Ordering::Relaxed) as usize
    }

    /// Sets the number of workers that the governor wants here.
    pub(crate) fn set_wanted(&self, workers: usize) {
        self.slot.wanted.store(workers as u16, Ordering::Relaxed);
    }

    /// Caller: returns the number of workers that it has placed here.
    pub(crate) fn placed(&self) -> usize {
        self.slot.placed.load(Ordering::Relaxed) as usize
    }

    /// Caller: sets the number of workers that it has placed here.
    pub(crate) fn set_placed(&self, workers: usize) {
        self.slot.placed.store(workers as u16, Ordering::Relaxed);
    }

    /// Returns the first unit that is not claimed. The units before it, a prefix of the range, are.
    pub(crate) fn next(&self) -> u64 {
        // Relaxed: exact after the join, which makes all claims visible.
        self.slot.next.load(Ordering::Relaxed)
    }
}

impl Samples {
    pub(crate) fn new() -> Self {
        Self {
            chunks: AtomicU64::new(0),
            units: AtomicU64::new(0),
            ns: AtomicU64::new(0),
            squares: AtomicU64::new(0),
            whole: AtomicU64::new(0),
            near: AtomicU64::new(0),
            logs: AtomicU64::new(0),
            log_squares: AtomicU64::new(0),
        }
    }

    /// Adds a chunk that took `ns` nanoseconds to the sums. `units` includes the job's factor.
    pub(crate) fn sample(&self, units: u64, ns: u64) {
        // Relaxed, here and below: the sums only steer the number of helpers.
        self.chunks.fetch_add(1, Ordering::Relaxed);
        self.units.fetch_add(units, Ordering::Relaxed);
        self.ns.fetch_add(ns, Ordering::Relaxed);
        self.squares.fetch_add(Sampled::square(units, ns), Ordering::Relaxed);
    }

    /// Adds a chunk of which all was measured to the sums of logarithms. `centre` is the typical
    /// logarithm, or 0 if that is unknown.
    pub(crate) fn sample_whole(&self, units: u64, ns: u64, centre: u64) {
        let log = Sampled::log(units, ns);
        let counted = match centre {
            0 => log,
            _ => log.clamp(centre.saturating_sub(Sampled::NEAR), centre + Sampled::NEAR),
        };
        self.whole.fetch_add(1, Ordering::Relaxed);
        self.near.fetch_add(u64::from(counted == log), Ordering::Relaxed);
        self.logs.fetch_add(counted, Ordering::Relaxed);
        self.log_squares.fetch_add(counted * counted, Ordering::Relaxed);
    }

    /// Returns the sums over the measured chunks.
    pub(crate) fn sampled(&self) -> Sampled {
        Sampled {
            chunks: self.chunks.load(Ordering::Relaxed),
            units: self.units.load(Ordering::Relaxed),
            ns: self.ns.load(Ordering::Relaxed),
            squares: self.squares.load(Ordering::Relaxed),
            whole: self.whole.load(Ordering::Relaxed),
            near: self.near.load(Ordering::Relaxed),
            logs: self.logs.load(Ordering::Relaxed),
            log_squares: self.log_squares.load(Ordering::Relaxed),
        }
    }
}

/// Returns the end of the chunk that begins at `next`, in a range that ends at `end > next`. It is
/// above `next` and at most `end`.
fn chunk_end(next: u64, end: u64, want: u64, cut: &Cut) -> u64 {
    let left = end - next;
    let len = want.min(cut.max).max(cut.min);
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
