//! How many threads a job may have.

use crate::platform::Platform;
use crate::{MAX_WORKERS, Stats};

/// The limit that the job's description sets, at most [`MAX_WORKERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThreadLimit {
    /// Exactly this many threads, without budget and governor.
    Exact(u16),
    /// Any number of threads up to `limit`.
    UpTo {
        /// At least 1.
        limit: u16,
        /// Whether helpers count against the system's [`Budget`](crate::Budget).
        budgeted: bool,
    },
}

impl ThreadLimit {
    /// Returns the most threads that a job of `chunks` minimal chunks may have, and notes in
    /// `stats` how many were asked for and allowed.
    pub(super) fn count<P: Platform>(self, platform: &P, chunks: u64, stats: &mut Stats) -> usize {
        let limit = match self {
            Self::Exact(threads) => threads as usize,
            Self::UpTo { limit, .. } => limit as usize,
        };
        let chunks = usize::try_from(chunks).unwrap_or(usize::MAX);
        let asked = chunks.min(limit).min(MAX_WORKERS);
        stats.threads_asked = asked as u32;
        // Checked first: a job that is too small for two threads asks the platform nothing.
        if asked <= 1 || !platform.enabled() {
            stats.threads_allowed = asked.min(1) as u32;
            return asked.min(1);
        }
        let mut allowed = asked.min(platform.max_threads().max(1));
        if let Self::UpTo { .. } = self {
            allowed = allowed.min(platform.online_cpus().max(1));
        }
        stats.threads_allowed = allowed as u32;
        allowed
    }

    pub(super) fn is_exact(self) -> bool {
        matches!(self, Self::Exact(_))
    }

    /// Returns whether helpers need a permit of the budget.
    pub(super) fn is_budgeted(self) -> bool {
        matches!(self, Self::UpTo { budgeted: true, .. })
    }
}
