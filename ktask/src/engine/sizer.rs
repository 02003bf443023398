//! The length of a worker's chunks.

use super::plan::Plan;
use crate::sync::{AtomicU64, Ordering};

/// Chooses the length of a worker's chunks.
///
/// The length begins at the minimum and follows the time that chunks take. So it fits the speed of
/// this worker and the cost of this part of the range. A slow thread gets short chunks.
#[derive(Clone, Debug)]
pub(super) struct ChunkSizer {
    /// Length of the next chunk, in units.
    want: u64,
    /// When the last chunk ended; before the first chunk, when the worker began.
    last_ns: u64,
    times: &'static ChunkTimes,
    /// Length and rate of the longest chunk whose time was long enough to tell a rate.
    rated: Rated,
    /// Units that took about [`SHORTEST_NS`] at the rate of the last chunk, which were no more than its own.
    shortest: u64,
}

/// What the workers of a job agree on about the length of its chunks. One number, because a job has it on its
/// caller's stack.
///
/// In a governed job it is the length of all chunks while the governor compares thread counts; 0 at other times.
/// In other jobs it is a length that was clearly faster per unit than shorter ones, 0 if none is known; and from
/// the last round of such chunks on, their length and the bit [`LAST_ROUND`].
pub(super) struct Lengths(AtomicU64);

/// Marks the length of the last round. Half of all numbers is more than a chunk has.
const LAST_ROUND: u64 = 1 << 63;

impl Lengths {
    /// Makes the lengths of a job of which nothing is known.
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Sets the length of all chunks of a governed job; 0 leaves it to the workers.
    pub(super) fn set_compared(&self, units: u64) {
        // Relaxed, here and below: a worker that sees a length late cuts a chunk of another length.
        self.0.store(units, Ordering::Relaxed);
    }

    /// Returns the length of all chunks of a governed job; 0 if it is left to the workers.
    pub(super) fn compared(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Returns a length that was clearly faster per unit than shorter ones; 0 if none is known.
    fn efficient(&self) -> u64 {
        self.0.load(Ordering::Relaxed) & !LAST_ROUND
    }

    /// Notes that chunks of `units` are faster per unit than shorter ones.
    fn note_efficient(&self, units: u64) {
        self.0.fetch_max(units & !LAST_ROUND, Ordering::Relaxed);
    }

    /// Returns the length of the chunks of the last round: `share` if it begins now. The first worker that gets
    /// there sets it for all: a share of what is left then would be half of that for the next.
    fn last_round(&self, share: u64) -> u64 {
        let known = self.0.load(Ordering::Relaxed);
        let begun = if known & LAST_ROUND == 0 {
            self.0.fetch_max(share | LAST_ROUND, Ordering::Relaxed)
        } else {
            known
        };
        if begun & LAST_ROUND == 0 { share } else { begun & !LAST_ROUND }
    }
}

/// A length, and the rate of a chunk of that length in units per microsecond.
#[derive(Clone, Copy, Debug, Default)]
struct Rated {
    units: u64,
    rate: u64,
}

/// Chunks at the end of a range do not become shorter than this: workers that finish so close together
/// gain less from more chunks than these cost.
const SHORTEST_NS: u64 = 2_000;

/// Time below which a chunk's rate tells little.
const RATEABLE_NS: u64 = 50_000;

/// Factor on the times of chunks if longer chunks are faster per unit.
const EFFICIENT_SCALE: u64 = 4;

/// The share of the rest that the last round of long chunks leaves, for the worker that is done first.
const TAIL_DIVISOR: u64 = 32;

/// Smallest chunks that make up a chunk whose rate is compared: the costs of so many units even out.
const RATEABLE_CHUNKS: u64 = 64;

/// The time that chunks should take.
#[derive(Clone, Copy, Debug)]
struct ChunkTimes {
    /// A chunk that takes less is followed by a longer one.
    short_ns: u64,
    /// A chunk that takes more is followed by a shorter one.
    long_ns: u64,
    /// The largest factor between the lengths of a chunk and the next.
    step: u64,
    /// The rest of a range is cut into at least this many chunks per worker, rounds left aside.
    chunks_per_worker: u64,
    /// Whether chunks are handed out in rounds: those of one round are equally long. A round begins where the rest
    /// is a power of two, so that workers need not agree on it.
    has_rounds: bool,
}

/// Chunks of a job that may end early, or is measured while it runs. Below this time the cost of
/// claiming begins to show; longer chunks only delay the job's stop and the next measurement.
///
/// All posted versions of ktask cut into four chunks per worker, once, for the whole range. Here the
/// number is applied to the rest at each claim: chunks shrink towards the end, and workers finish
/// together.
static BRIEF: ChunkTimes =
    ChunkTimes { short_ns: 250_000, long_ns: 500_000, step: 2, chunks_per_worker: 4, has_rounds: false };

/// Chunks of other jobs. Some processors write memory faster in extents of 32 MiB and more, up to twice as
/// fast in such of 128 MiB. So the length grows in few steps, and chunks may take [`EFFICIENT_SCALE`] times as
/// long where longer ones were found to be faster. The rounds are those of factoring (Hummel, Schonberg and
/// Flynn, 1992): each hands out half of the rest, one chunk per worker.
static AMPLE: ChunkTimes = ChunkTimes {
    short_ns: 1_000_000,
    long_ns: 4_000_000,
    step: 1024,
    chunks_per_worker: 2,
    has_rounds: true,
};

impl ChunkTimes {
    /// Returns the length of the next chunk, if `want` was wanted and a chunk of `units` took `took_ns`. Chunks
    /// should take `scale` times as long as these times say.
    fn next_want(&self, want: u64, units: u64, took_ns: u64, scale: u64) -> u64 {
        let (short_ns, long_ns, step) = (self.short_ns * scale, self.long_ns * scale, self.step);
        // The next chunk takes about twice `short_ns`, if units cost the same there.
        if took_ns < short_ns {
            let factor = if took_ns * step <= 2 * short_ns { step } else { (2 * short_ns / took_ns).max(2) };
            units.saturating_mul(factor)
        } else if took_ns > long_ns {
            units / (took_ns / (2 * short_ns)).clamp(2, step)
        } else {
            want
        }
    }
}

/// Chooses the length of the chunks of a job that has one worker and may have to stop soon. It takes less
/// of the stack than a [`ChunkSizer`].
pub(super) struct SoloSizer {
    want: u64,
    last_ns: u64,
}

impl SoloSizer {
    /// Makes the sizer of a worker that begins at `now_ns`.
    pub(super) fn new(plan: &Plan<'_>, now_ns: u64) -> Self {
        Self { want: plan.cut.min, last_ns: now_ns }
    }

    /// Returns the length that the next chunk should have.
    pub(super) fn want(&self) -> u64 {
        self.want
    }

    /// Adjusts the length after a chunk of `units` that ended at `now_ns`.
    pub(super) fn chunk_ended(&mut self, units: u64, now_ns: u64) {
        self.want = BRIEF.next_want(self.want, units, now_ns.saturating_sub(self.last_ns), 1);
        self.last_ns = now_ns;
    }
}

impl ChunkSizer {
    /// Makes the sizer of a worker that begins at `now_ns`. `is_measured` tells whether a governor
    /// measures the worker's chunks.
    pub(super) fn new(plan: &Plan<'_>, is_measured: bool, now_ns: u64) -> Self {
        let times = if plan.is_stoppable() || is_measured { &BRIEF } else { &AMPLE };
        Self { want: plan.cut.min, last_ns: now_ns, times, rated: Rated::default(), shortest: 0 }
    }

    /// Returns the length that the next chunk should have, in units, if `workers` share the `left`
    /// units of a range.
    pub(super) fn want(&self, left: u64, workers: u64, lengths: &Lengths) -> u64 {
        if !self.times.has_rounds && lengths.compared() > 0 {
            return lengths.compared();
        }
        let round =
            if self.times.has_rounds { left.checked_next_power_of_two().unwrap_or(left) } else { left };
        let share = round / (workers * self.times.chunks_per_worker);
        if self.want <= share {
            return self.want;
        }
        let mut least = share.max(self.shortest);
        if self.times.has_rounds && lengths.efficient() > 0 {
            // One chunk per worker is all that a rest can bear, whatever the rate.
            let even = (left - left / TAIL_DIVISOR).div_ceil(workers);
            let round = if even <= self.want { lengths.last_round(even) } else { u64::MAX };
            least = least.max(if round <= left { round } else { lengths.efficient().min(even) });
        }
        self.want.min(least)
    }

    /// Returns whether a chunk may be long where that serves: the job does not have to stop soon, and is not measured.
    pub(super) fn may_be_long(&self) -> bool {
        self.times.has_rounds
    }

    /// Returns when the last chunk ended, or when the worker began.
    pub(super) fn last_ns(&self) -> u64 {
        self.last_ns
    }

    /// Adjusts the length after a chunk of `units` that ended at `now_ns`.
    pub(super) fn chunk_ended(&mut self, plan: &Plan<'_>, lengths: &Lengths, units: u64, now_ns: u64) {
        let took_ns = now_ns.saturating_sub(self.last_ns);
        self.last_ns = now_ns;
        if self.times.has_rounds {
            self.note_rate(plan, lengths, units, took_ns);
        }
        let scale = if self.times.has_rounds && lengths.efficient() > 0 { EFFICIENT_SCALE } else { 1 };
        self.want = self.times.next_want(self.want, units, took_ns, scale);
        self.shortest =
            if took_ns < SHORTEST_NS { units } else { units.saturating_mul(SHORTEST_NS) / took_ns };
    }

    /// Notes whether a chunk of `units` was faster per unit than shorter chunks.
    fn note_rate(&mut self, plan: &Plan<'_>, lengths: &Lengths, units: u64, took_ns: u64) {
        let is_telling = took_ns >= RATEABLE_NS && units / RATEABLE_CHUNKS >= plan.cut.min;
        if !is_telling || units / 2 < self.rated.units {
            return;
        }
        let rate = units / (took_ns / 1000);
        if self.rated.units > 0 && rate / 5 > self.rated.rate / 4 {
            lengths.note_efficient(units);
        }
        self.rated = Rated { units, rate };
    }
}
