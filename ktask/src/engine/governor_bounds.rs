//! The numbers of the governor's policy.

/// More threads are worthwhile only if they have more than this many thousandths of the rate of
/// fewer.
pub(super) const WORTHWHILE: u64 = 1020;

/// Ratio of rates from which on more threads win an unsure trial, however many more they are.
pub(super) const LIKELY_MOST: u64 = 1200;

/// Standard deviations from the bound that make the result of an unsure trial final.
pub(super) const FINAL: u64 = 2;

/// Standard deviations from the bound that make the result of a trial final that was sure before it had to end.
pub(super) const CONCLUSIVE: u64 = 4;

/// Part of the units left that repeated trials of fewer threads may cost: one in this many.
pub(super) const DEAR_SHARE: u64 = 32;

/// Part of the chunks seen that comes between two looks at a measurement: one in this many.
pub(super) const LOOK_SHARE: u64 = 4;

/// How often a trial that was not sure is repeated, while its count is held.
pub(super) const MAX_DOUBTS: u32 = 8;

/// The same where the rate drifts: it will drift again.
pub(super) const MAX_DRIFT_DOUBTS: u32 = 3;

/// Part of the units left for which a count is held before such a trial: one in this many.
pub(super) const DOUBT_SHARE: u64 = 16;

/// Deviation of a ratio, in thousandths, up to which neighbouring counts can be told apart.
pub(super) const FINE: u64 = 50;

/// Deviation of a ratio, in thousandths, up to which drift shows.
pub(super) const CALM: u64 = 100;

/// A ratio above this is no work of drift.
pub(super) const CLEAR: u64 = 1500;

/// A rate that changes by less than this between two measurements, in thousandths, does not drift.
pub(super) const STEADY: u64 = 40;

/// A rate that changes by more than this between two measurements of one count, in thousandths, tells
/// nothing about other counts.
pub(super) const WILD: u64 = 250;

/// Part of the units for which a search is postponed then: one in this many.
pub(super) const POSTPONED_SHARE: u64 = 16;

/// Part of the units for which a search is postponed if the first helpers did not come in time.
pub(super) const LATE_SHARE: u64 = 64;

/// How often a search is postponed.
pub(super) const MAX_POSTPONEMENTS: u32 = 2;

/// Variance, in millionths, with which the first measurement is good enough.
pub(super) const FIRST_VARIANCE: u64 = 30_000;

/// Chunks per worker that must be left for another measurement to pay.
pub(super) const CHUNKS_TO_MEASURE: u64 = 6;

/// Chunks per allowed thread that a job must have to be measured at all.
pub(super) const CHUNKS_TO_GOVERN: u64 = 12;

/// Chunks per allowed thread that a job must have to begin with a quarter of the threads. A shorter
/// job begins with half.
pub(super) const CHUNKS_TO_HALVE: u64 = 128;

/// Half of the threads that is enough to begin with half of it.
pub(super) const MIDDLE_TO_HALVE: usize = 8;

/// With fewer threads than this, there is no count worth looking for.
pub(super) const MIN_THREADS_TO_GOVERN: usize = 4;

/// Part of the time left that a trial of more threads may take: one in this many.
pub(super) const MORE_SHARE: u64 = 16;

/// Part of the time left that a trial of fewer threads may take: one in this many.
pub(super) const FEWER_SHARE: u64 = 24;

/// Part of the job's time that the first measurement may take: one in this many.
pub(super) const FIRST_SHARE: u64 = 24;

/// Chunks that the first measurement needs: with fewer, rare costs have not been seen.
pub(super) const FIRST_CHUNKS: u64 = 24;

/// Time for which helpers are waited for before those that work are measured.
pub(super) const PATIENCE_NS: u64 = 500_000;

/// The shortest measurement. Shorter ones measure how workers start.
pub(super) const MIN_WINDOW_NS: u64 = 200_000;

/// Variance, in millionths, with which the rate of a held count is compared with the rate before.
pub(super) const HELD_VARIANCE: u64 = 2_500;

/// Part of the units left that such a comparison may take: one in this many.
pub(super) const HELD_SHARE: u64 = 64;

/// Windows for which a count is held before the governor may search again, at first.
pub(super) const HOLD_WINDOWS: u32 = 16;

/// The same after many searches that ended with the count that they began with.
pub(super) const MAX_HOLD_WINDOWS: u32 = 4096;

/// Spread of costs, in millionths, from which on that is done.
pub(super) const VARYING: u64 = 250_000;

/// Mean time of chunks from which on their length is a useful one for comparisons.
pub(super) const USEFUL_CHUNK_NS: u64 = 100_000;

/// Chunks that tell whether typical costs are far from where they were expected.
pub(super) const CHUNKS_TO_CENTRE: u64 = 16;
