//! How much CPU time a group of threads may use, and what it has used of it.
//!
//! A CPU that is about to run a thread of the group [takes](Bandwidth::take) a runtime slice: a part of what is left. Its
//! timer fires when the slice is used up or the period over. Then, or when it goes on to another group, the CPU
//! [returns](Bandwidth::return_runtime) what it did not use. So all CPUs together stay within the quota in every period, up
//! to the time that an interrupt takes to come; and an overrun is deducted from the next period. (Linux's CFS bandwidth
//! control hands out slices in the same way, of one length.)
//!
//! As a slice is only a part of what is left, the next CPU finds some too. A CPU that finds nothing waits for the next period
//! only when no CPU has a slice of which a part may be returned.

use core::fmt;
use core::ops::RangeInclusive;

use crate::MAX_CPUS;
use crate::entity::SLICE_NS;

/// Periods that a quota may have. Shorter ones would be all interrupts; a group that has used up a longer one seems to have
/// ended.
const PERIODS_NS: RangeInclusive<u64> = 1_000_000..=3_600_000_000_000;
/// The smallest quota.
const LEAST_QUOTA_NS: u64 = MIN_RUNTIME_SLICE_NS;
/// The shortest time for which a CPU runs a group's threads before it looks at the quota again, while some is left.
pub const MIN_RUNTIME_SLICE_NS: u64 = 100_000;

/// The longest run of a helper that is charged in full, if the period is shorter. Helpers flush their charges after every
/// chunk of a job; a chunk that seems to take longer was interrupted by the host, which stopped the machine.
pub const LONGEST_HELP_NS: u64 = 1_000_000_000;

/// How much CPU time a group may use in every period, over all CPUs together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    quota_ns: u64,
    period_ns: u64,
}

/// Why a group cannot have a quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaError {
    /// The period, in nanoseconds, is too short or too long.
    Period(u64),
    /// The CPU time in each period, in nanoseconds, is too short to do anything, or more than all CPUs have.
    Time(u64),
}

impl fmt::Display for QuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Period(ns) => {
                let (least, most) = (PERIODS_NS.start(), PERIODS_NS.end());
                write!(f, "a quota's period of {ns} ns is not between {least} and {most}")
            }
            Self::Time(ns) => {
                let least = LEAST_QUOTA_NS;
                write!(
                    f,
                    "a quota of {ns} ns is not between {least} and what {MAX_CPUS} cpus have in its period"
                )
            }
        }
    }
}

impl core::error::Error for QuotaError {}

impl Quota {
    /// A quota of `quota_ns` of CPU time in every `period_ns`.
    pub fn new(quota_ns: u64, period_ns: u64) -> Result<Self, QuotaError> {
        if !PERIODS_NS.contains(&period_ns) {
            return Err(QuotaError::Period(period_ns));
        }
        if !(LEAST_QUOTA_NS..=period_ns * MAX_CPUS as u64).contains(&quota_ns) {
            return Err(QuotaError::Time(quota_ns));
        }
        Ok(Self { quota_ns, period_ns })
    }

    /// Returns the CPU time in each period.
    #[must_use]
    pub const fn quota_ns(self) -> u64 {
        self.quota_ns
    }

    /// Returns the length of a period.
    #[must_use]
    pub const fn period_ns(self) -> u64 {
        self.period_ns
    }

    /// Returns the number of CPUs that the quota keeps busy, rounded up.
    #[must_use]
    pub const fn cpus(self) -> usize {
        self.quota_ns.div_ceil(self.period_ns) as usize
    }

    /// Returns when the period after the one of `now_ns` begins.
    #[must_use]
    pub const fn next_period_ns(self, now_ns: u64) -> u64 {
        (now_ns / self.period_ns + 1).saturating_mul(self.period_ns)
    }
}

/// CPU time that a CPU has taken out of a group's [`Bandwidth`], and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeSlice {
    /// Its length; 0 when nothing was left.
    pub len_ns: u64,
    /// When it was taken.
    pub taken_at_ns: u64,
}

impl RuntimeSlice {
    /// Returns when the CPU has to look again: at once, where nothing was left.
    #[must_use]
    pub const fn end_ns(self) -> u64 {
        let len_ns = if self.len_ns > 0 && self.len_ns < MIN_RUNTIME_SLICE_NS {
            MIN_RUNTIME_SLICE_NS
        } else {
            self.len_ns
        };
        self.taken_at_ns.saturating_add(len_ns)
    }
}

/// What a group has used of its quota in the current period.
#[derive(Debug)]
pub struct Bandwidth {
    quota: Quota,
    /// Number of the period that `used_ns` is about.
    period: u64,
    /// What was used, and the slices that CPUs have taken. May exceed the quota: that counts in the next period.
    used_ns: u64,
    /// Length of the slices of this period that CPUs have taken and not returned.
    taken_ns: u64,
    /// Number of CPUs that have taken a slice, of any period and length, and not returned it.
    sharing: u64,
}

impl Bandwidth {
    /// A bandwidth of which nothing is used.
    #[must_use]
    pub const fn new(quota: Quota) -> Self {
        Self { quota, period: 0, used_ns: 0, taken_ns: 0, sharing: 0 }
    }

    /// Takes a slice of what is left at `now_ns`, to be [returned](Self::return_runtime): a part, the smaller the more CPUs
    /// have one.
    pub fn take(&mut self, now_ns: u64) -> RuntimeSlice {
        let left_ns = self.left_ns(now_ns);
        self.sharing += 1;
        // One part more than there are CPUs, for the next CPU.
        let part_ns = (left_ns / (self.sharing + 1)).clamp(MIN_RUNTIME_SLICE_NS, SLICE_NS);
        let until_next_ns = self.quota.next_period_ns(now_ns).saturating_sub(now_ns);
        let len_ns = left_ns.min(part_ns).min(until_next_ns.max(MIN_RUNTIME_SLICE_NS));
        self.used_ns += len_ns;
        self.taken_ns += len_ns;
        RuntimeSlice { len_ns, taken_at_ns: now_ns }
    }

    /// Returns what is left of `slice`: its CPU has run threads of the group since it took it, until `now_ns`.
    pub fn return_runtime(&mut self, slice: RuntimeSlice, now_ns: u64) {
        self.enter_period(now_ns);
        self.sharing -= 1;
        // A timer ends each run about when its slice ends. If a run seems to last a period more, the machine was stopped
        // meanwhile, and nothing ran.
        let most_ns = slice.len_ns.saturating_add(self.quota.period_ns);
        let ran_ns = now_ns.saturating_sub(slice.taken_at_ns).min(most_ns);
        let is_of_this_period = slice.taken_at_ns / self.quota.period_ns == self.period;
        // What is left of a slice of an earlier period cannot be returned to this one.
        let paid_ns = if is_of_this_period { slice.len_ns } else { slice.len_ns.min(ran_ns) };
        self.used_ns = self.used_ns.saturating_add(ran_ns).saturating_sub(paid_ns);
        if is_of_this_period {
            self.taken_ns = self.taken_ns.saturating_sub(slice.len_ns);
        }
    }

    /// Returns when a thread for which nothing is left at `now_ns` should look again: in the next period, or sooner, if a slice
    /// that a CPU has may be returned by then.
    pub fn next_look_ns(&mut self, now_ns: u64) -> u64 {
        self.enter_period(now_ns);
        let next_period_ns = self.quota.next_period_ns(now_ns);
        if self.taken_ns > 0 { next_period_ns.min(now_ns.saturating_add(SLICE_NS)) } else { next_period_ns }
    }

    /// Charges `ns` of CPU time that threads of other groups used for this one, but at most [`LONGEST_HELP_NS`] or a period.
    pub fn charge(&mut self, ns: u64, now_ns: u64) {
        self.enter_period(now_ns);
        let most_ns = LONGEST_HELP_NS.max(self.quota.period_ns);
        self.used_ns = self.used_ns.saturating_add(ns.min(most_ns));
    }

    /// Returns what may still be taken in this period.
    pub fn left_ns(&mut self, now_ns: u64) -> u64 {
        self.enter_period(now_ns);
        self.quota.quota_ns.saturating_sub(self.used_ns)
    }

    /// Enters the period of `now_ns`: what was used beyond the quota counts in it.
    fn enter_period(&mut self, now_ns: u64) {
        let number = now_ns / self.quota.period_ns;
        // Clocks of different CPUs may be apart: the first caller enters the period.
        if number > self.period {
            let granted_ns = self.quota.quota_ns.saturating_mul(number - self.period);
            self.used_ns = self.used_ns.saturating_sub(granted_ns);
            self.taken_ns = 0;
            self.period = number;
        }
    }
}
