//! When a CPU counts as locked up.

/// Samples in one timeout. One sample that a slow emulator loses must not end a run.
pub const SAMPLES_PER_TIMEOUT: u64 = 4;

/// One sample of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was taken.
    pub now_ns: u64,
    /// The CPU takes interrupts: it has answered one, or could have taken one.
    pub answered: bool,
    /// A slice has ended since the last sample.
    pub progressed: bool,
    /// Threads wait for the CPU.
    pub queued: bool,
}

/// A lockup, and the time for which it was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockup {
    /// Hard: the CPU takes no interrupt.
    Hard {
        /// Time that samples have charged to it.
        ns: u64,
    },
    /// Soft: threads wait, and no slice ends.
    Soft {
        /// As for [`Hard`](Self::Hard).
        ns: u64,
    },
}

/// Detects lockups of one CPU from samples, of which the caller takes [`SAMPLES_PER_TIMEOUT`] in one timeout.
///
/// A sample counts for the time since the sample before it, but for at most one period. A virtual machine that is
/// stopped, or that its host does not run, lets time pass in which nothing could happen and no sample was taken.
/// So a lockup takes [`SAMPLES_PER_TIMEOUT`] bad samples in a row that cover the timeout.
#[derive(Clone, Copy, Debug)]
pub struct LockupDetector {
    timeout_ns: u64,
    /// Time of the last sample.
    sampled_ns: u64,
    /// Time without an interrupt.
    hard_ns: u64,
    /// Time in which threads waited and no slice ended.
    soft_ns: u64,
}

impl LockupDetector {
    /// Returns a detector for a CPU that works at `now_ns`.
    #[must_use]
    pub const fn new(timeout_ns: u64, now_ns: u64) -> Self {
        Self { timeout_ns, sampled_ns: now_ns, hard_ns: 0, soft_ns: 0 }
    }

    /// Returns the time between two samples.
    #[must_use]
    pub const fn period_ns(&self) -> u64 {
        self.timeout_ns.div_ceil(SAMPLES_PER_TIMEOUT)
    }

    /// Counts `sample`; returns the lockup that it completes, if any.
    pub fn sample(&mut self, sample: Sample) -> Option<Lockup> {
        let last_ns = core::mem::replace(&mut self.sampled_ns, sample.now_ns);
        let sample_ns = sample.now_ns.saturating_sub(last_ns).min(self.period_ns());
        let count = |is_good, bad_ns: u64| if is_good { 0 } else { bad_ns + sample_ns };
        self.hard_ns = count(sample.answered, self.hard_ns);
        self.soft_ns = count(sample.progressed || !sample.queued, self.soft_ns);
        match (self.hard_ns, self.soft_ns) {
            (ns, _) if ns >= self.timeout_ns => Some(Lockup::Hard { ns }),
            (_, ns) if ns >= self.timeout_ns => Some(Lockup::Soft { ns }),
            _ => None,
        }
    }
}
