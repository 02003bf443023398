//! When a CPU counts as hung.

/// Looks in the time allowed: one that is lost in a slow emulator must not end a run.
pub const ROUNDS: u64 = 4;

/// What one look at a CPU found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was taken.
    pub now_ns: u64,
    /// The CPU takes interrupts: it has answered one, or could have taken one.
    pub answered: bool,
    /// A slice has ended since the last look.
    pub progressed: bool,
    /// Threads wait for the CPU.
    pub queued: bool,
}

/// How a CPU hangs, and for how long it was seen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockup {
    /// A hard lockup: it takes no interrupt.
    Hard {
        /// Time in which looks found it so.
        ns: u64,
    },
    /// A soft lockup: threads wait, and no slice ends.
    Soft {
        /// As for [`Hard`](Self::Hard).
        ns: u64,
    },
}

/// Watches one CPU by looks that its owner takes, [`ROUNDS`] in the time allowed.
///
/// A look counts for the time since the look before it, but for no more than a round: a virtual machine that is stopped
/// for a while, or a host that does not run it, makes time pass in which nothing could happen and nobody looked.
/// So a CPU hangs only if it was found hanging in [`ROUNDS`] looks in a row, that long.
#[derive(Clone, Copy, Debug)]
pub struct LockupDetector {
    timeout_ns: u64,
    looked_ns: u64,
    silent_ns: u64,
    starved_ns: u64,
}

impl LockupDetector {
    /// A detector that has not looked yet, for a CPU that is fine at `now_ns`.
    #[must_use]
    pub const fn new(timeout_ns: u64, now_ns: u64) -> Self {
        Self { timeout_ns, looked_ns: now_ns, silent_ns: 0, starved_ns: 0 }
    }

    /// Time between two looks.
    #[must_use]
    pub const fn round_ns(&self) -> u64 {
        self.timeout_ns.div_ceil(ROUNDS)
    }

    /// Takes note of a look; what is wrong with the CPU, if anything is.
    pub fn sample(&mut self, sample: Sample) -> Option<Lockup> {
        let looked_ns = core::mem::replace(&mut self.looked_ns, sample.now_ns);
        let round_ns = sample.now_ns.saturating_sub(looked_ns).min(self.round_ns());
        let count = |is_good, bad_ns: u64| if is_good { 0 } else { bad_ns + round_ns };
        self.silent_ns = count(sample.answered, self.silent_ns);
        self.starved_ns = count(sample.progressed || !sample.queued, self.starved_ns);
        match (self.silent_ns, self.starved_ns) {
            (ns, _) if ns >= self.timeout_ns => Some(Lockup::Hard { ns }),
            (_, ns) if ns >= self.timeout_ns => Some(Lockup::Soft { ns }),
            _ => None,
        }
    }
}
