//! The record of a governor's decisions.

// Not the atomics of `sync`: a trail may be a static, and a model checker's atomics cannot.
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The number of steps that a [`Trail`] keeps.
const TRAIL_STEPS: usize = 24;

/// The governor's decisions of a job's last run, in order. Of a long run it keeps the first ones.
///
/// A job writes to the trail that it was given by [`Job::trail`](crate::Job::trail). If jobs that run
/// at the same time share one, their steps are mixed.
///
/// ```
/// # use ktask::{Items, Job, Platform, Trail};
/// # fn explain(platform: &impl Platform) {
/// let trail = Trail::new();
/// Job::new(Items::new(0)..Items::new(1_000_000)).trail(&trail).run(platform, |_chunk| {}).unwrap();
/// for step in trail.steps() {
///     println!("{} -> {} threads", step.threads, step.next_threads);
/// }
/// # }
/// ```
pub struct Trail {
    steps: [AtomicStep; TRAIL_STEPS],
    taken: AtomicUsize,
}

/// One decision of the governor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// Time of the decision, in nanoseconds since the start of the job.
    pub at_ns: u64,
    /// Threads before the decision.
    pub threads: usize,
    /// Measured rate of these threads, in units per second.
    pub units_per_s: u64,
    /// Threads after the decision.
    pub next_threads: usize,
}

/// A [`Step`] that can be written through a shared reference.
struct AtomicStep {
    at_ns: AtomicU64,
    threads: AtomicUsize,
    units_per_s: AtomicU64,
    next_threads: AtomicUsize,
}

impl Trail {
    /// Makes an empty trail.
    #[must_use]
    pub const fn new() -> Self {
        Self { steps: [const { AtomicStep::new() }; TRAIL_STEPS], taken: AtomicUsize::new(0) }
    }

    /// Returns the steps that were kept.
    pub fn steps(&self) -> impl DoubleEndedIterator<Item = Step> + ExactSizeIterator + '_ {
        self.steps[..self.taken().min(TRAIL_STEPS)].iter().map(AtomicStep::load)
    }

    /// Returns the number of steps, kept or not.
    #[must_use]
    pub fn taken(&self) -> usize {
        // Acquire pairs with the Release in `push`: the counted steps are visible.
        self.taken.load(Ordering::Acquire)
    }

    /// Forgets all steps.
    pub(crate) fn clear(&self) {
        // Relaxed: no step is published.
        self.taken.store(0, Ordering::Relaxed);
    }

    /// Adds a step.
    pub(crate) fn push(&self, step: Step) {
        let taken = self.taken();
        if let Some(place) = self.steps.get(taken) {
            place.store(step);
        }
        // Release pairs with the Acquire in `taken`.
        self.taken.store(taken + 1, Ordering::Release);
    }
}

impl AtomicStep {
    const fn new() -> Self {
        Self {
            at_ns: AtomicU64::new(0),
            threads: AtomicUsize::new(0),
            units_per_s: AtomicU64::new(0),
            next_threads: AtomicUsize::new(0),
        }
    }

    // Relaxed, here and in `store`: `Trail::taken` publishes.
    fn load(&self) -> Step {
        Step {
            at_ns: self.at_ns.load(Ordering::Relaxed),
            threads: self.threads.load(Ordering::Relaxed),
            units_per_s: self.units_per_s.load(Ordering::Relaxed),
            next_threads: self.next_threads.load(Ordering::Relaxed),
        }
    }

    fn store(&self, step: Step) {
        self.at_ns.store(step.at_ns, Ordering::Relaxed);
        self.threads.store(step.threads, Ordering::Relaxed);
        self.units_per_s.store(step.units_per_s, Ordering::Relaxed);
        self.next_threads.store(step.next_threads, Ordering::Relaxed);
    }
}

impl Default for Trail {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for Trail {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.steps()).finish()
    }
}
