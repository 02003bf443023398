//! The time of one measurement.

use super::governor_bounds::LOOK_SHARE;
use super::governor_view::View;
use crate::cursor::Sampled;

/// A measurement that goes on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) from_ns: u64,
    before: Sampled,
    /// Chunks at which it is looked at next.
    next_look: u64,
}

impl Window {
    /// Begins a measurement.
    pub(super) fn new(view: &View) -> Self {
        Self { from_ns: view.now_ns, before: view.sampled, next_look: 0 }
    }

    /// Returns the sums since its begin.
    pub(super) fn sum(&self, view: &View) -> Sampled {
        view.sampled.since(&self.before)
    }

    /// Returns whether it is time for a look. A result that is looked at after each chunk is sure by chance some
    /// time.
    pub(super) fn is_due(&self, sum: &Sampled) -> bool {
        sum.chunks >= self.next_look
    }

    /// Notes a look at `sum`.
    pub(super) fn looked_at(&mut self, sum: &Sampled) {
        self.next_look = sum.chunks + sum.chunks / LOOK_SHARE;
    }
}

/// Returns whether the chunks that were seen are enough and make up most of the workers' time. If
/// not, expensive chunks are in progress, of which nothing is known.
pub(super) fn is_representative(sum: &Sampled, view: &View, elapsed_ns: u64) -> bool {
    let all_ns = u128::from(elapsed_ns) * view.running as u128;
    sum.chunks >= view.running as u64 && u128::from(sum.ns) * 4 >= all_ns * 3
}
