//! What it costs to wake a helper, as measured.

// Not the atomics of `sync`: a cost may be a static, and a model checker's atomics cannot.
use core::sync::atomic::{AtomicU64, Ordering};

/// The cost of waking a helper, which each job that wakes some measures.
///
/// A job begins on its caller alone. It wakes helpers when the work left is worth more than waking
/// them. What that is differs between platforms, and with the load of the machine.
///
/// ```
/// static COST: ktask::WakeCost = ktask::WakeCost::new();
/// assert!(COST.start_ns() + COST.begin_ns() < 100_000);
/// ```
#[derive(Debug)]
pub struct WakeCost {
    start_ns: AtomicU64,
    begin_ns: AtomicU64,
}

/// What a wake-up is taken to cost before one was measured: a futex, or an interrupt to an idle CPU.
const START_NS: u64 = 4_000;
const BEGIN_NS: u64 = 16_000;

/// The most that one measurement counts for. On a busy machine a helper can begin seconds late; a job
/// that is worth a few of these must not be kept from trying again.
const LONGEST_NS: u64 = 100_000;

/// A measurement moves the average by this part of the difference.
const WEIGHT: u64 = 8;

impl WakeCost {
    /// Makes a cost that is a guess until the first measurement.
    #[must_use]
    pub const fn new() -> Self {
        Self { start_ns: AtomicU64::new(START_NS), begin_ns: AtomicU64::new(BEGIN_NS) }
    }

    /// Returns the cost of all platforms that keep the default.
    #[must_use]
    pub fn shared() -> &'static Self {
        static SHARED: WakeCost = WakeCost::new();
        &SHARED
    }

    /// Returns the mean time that a caller spends in
    /// [`Platform::start_helper`](crate::Platform::start_helper), in nanoseconds.
    #[must_use]
    pub fn start_ns(&self) -> u64 {
        // Relaxed, in all functions: each number stands alone.
        self.start_ns.load(Ordering::Relaxed)
    }

    /// Returns the mean time from the start of helpers to the first of them that begins, in nanoseconds.
    #[must_use]
    pub fn begin_ns(&self) -> u64 {
        self.begin_ns.load(Ordering::Relaxed)
    }

    /// Returns the time on one thread from which work is worth a helper, in nanoseconds.
    ///
    /// With a helper, the work takes its start, then goes at single speed until it begins, and at double
    /// speed from then on. Both ways take the same time for twice the start and once the beginning. The
    /// helper's CPU time is not free either: it takes twice as much.
    pub(crate) fn worth_ns(&self) -> u64 {
        2 * (2 * self.start_ns() + self.begin_ns())
    }

    pub(crate) fn note_start(&self, ns: u64) {
        average(&self.start_ns, ns);
    }

    pub(crate) fn note_begin(&self, ns: u64) {
        average(&self.begin_ns, ns);
    }
}

impl Default for WakeCost {
    fn default() -> Self {
        Self::new()
    }
}

fn average(mean_ns: &AtomicU64, ns: u64) {
    let old_ns = mean_ns.load(Ordering::Relaxed);
    let new_ns = (old_ns * (WEIGHT - 1) + ns.min(LONGEST_NS)) / WEIGHT;
    mean_ns.store(new_ns, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_follows_what_is_measured_and_forgets_an_outlier() {
        let cost = WakeCost::new();
        for _ in 0..100 {
            cost.note_start(1_000);
            cost.note_begin(9_000);
        }
        assert!((900..=1_100).contains(&cost.start_ns()), "{cost:?}");
        let steady_ns = cost.worth_ns();
        assert!((21_000..=23_000).contains(&steady_ns), "{cost:?}");
        cost.note_begin(u64::MAX);
        assert!(cost.worth_ns() <= steady_ns + 2 * LONGEST_NS / WEIGHT, "{cost:?}");
    }
}
