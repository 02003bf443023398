//! How many threads a job may have.

use super::Plan;
use crate::platform::Platform;
use crate::{MAX_WORKERS, Stats};

/// The job's own wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Threads {
    /// Exactly so many; no budget, no governor.
    Exact(usize),
    /// At most so many; `budgeted` if within the system's helper budget.
    UpTo {
        /// At least 1.
        limit: usize,
        budgeted: bool,
    },
}

impl Threads {
    /// Threads to run with at most, noted in `stats` as asked and allowed.
    pub(crate) fn count<P: Platform>(self, platform: &P, plan: &Plan<'_>, stats: &mut Stats) -> usize {
        let limit = match self {
            Self::Exact(threads) => threads,
            Self::UpTo { limit, .. } => limit,
        };
        // Rounded up, as ktask did and padata does not: a rest is work too.
        let smallest = plan.min_chunk.max(plan.align);
        let chunks = usize::try_from(plan.units.div_ceil(smallest)).unwrap_or(usize::MAX);
        stats.threads_asked = chunks.min(limit).min(MAX_WORKERS);
        // The first question, so that a job that is too small for two asks nothing else.
        if stats.threads_asked <= 1 || !platform.enabled() {
            stats.threads_allowed = stats.threads_asked.min(1);
            return stats.threads_allowed;
        }
        let mut allowed = stats.threads_asked.min(platform.max_threads().max(1));
        if let Self::UpTo { .. } = self {
            allowed = allowed.min(platform.online_cpus().max(1));
        }
        stats.threads_allowed = allowed;
        allowed
    }

    pub(crate) fn is_exact(self) -> bool {
        matches!(self, Self::Exact(_))
    }

    /// Whether helpers need a permit in the budget.
    pub(crate) fn is_budgeted(self) -> bool {
        matches!(self, Self::UpTo { budgeted: true, .. })
    }
}
