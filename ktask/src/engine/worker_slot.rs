//! One record per worker, on the caller's stack.

use crate::budget::Permit;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::{HelperId, NodeId};

/// The record of one worker. Slot 0 belongs to the caller.
///
/// The caller moves `state` from `FREE` or `DONE` to `OUT`, and from `OUT` to `FREE`. Only the helper
/// that has the slot moves it from `OUT` to `DONE`. The caller writes `permit` before it hands out
/// the task, and `helper` after. The worker writes the other fields.
#[derive(Default)]
pub(super) struct WorkerSlot {
    state: AtomicU32,
    /// The helper's permit of the budget: see [`encode`].
    permit: AtomicU32,
    helper: AtomicU64,
    failed_start: AtomicU64,
    failed_end: AtomicU64,
    /// Whether a worker of this slot ran a chunk.
    has_worked: AtomicBool,
}

/// No helper has the slot.
const FREE: u32 = 0;
/// A task for the slot exists and has not ended.
const OUT: u32 = 1;
/// The slot's helper has ended.
const DONE: u32 = 2;

impl WorkerSlot {
    /// Returns whether a new helper may have this slot.
    pub(super) fn is_free(&self) -> bool {
        // A slot with a failed chunk stays in use: the undo needs the record. Relaxed: only the
        // caller, which asks here, assigns slots; a slot that is seen free late does no harm.
        self.state.load(Ordering::Relaxed) != OUT && self.failed().is_none()
    }

    /// Caller: assigns the slot to a helper that has `permit`, if the job is budgeted.
    pub(super) fn assign(&self, permit: Option<Permit>) {
        // Relaxed: the hand-over of the task publishes these stores to the helper.
        self.helper.store(u64::MAX, Ordering::Relaxed);
        self.permit.store(encode(permit), Ordering::Relaxed);
        self.state.store(OUT, Ordering::Relaxed);
    }

    /// Caller: records the number of the helper, which was started.
    pub(super) fn set_helper(&self, helper: HelperId) {
        // Relaxed: only the caller reads it.
        self.helper.store(helper.0, Ordering::Relaxed);
    }

    /// Caller: returns the helper's number, if the slot has a helper that has not ended.
    pub(super) fn unfinished(&self) -> Option<HelperId> {
        // SeqCst: pairs with `set_done`; see `Lending`.
        (self.state.load(Ordering::SeqCst) == OUT).then(|| HelperId(self.helper.load(Ordering::Relaxed)))
    }

    /// Caller: frees the slot of a helper that was refused, taken back or lost. Returns the
    /// permit to release. A helper that has ended has released its permit itself.
    pub(super) fn vacate(&self) -> Option<Permit> {
        // Relaxed: either no task for the slot exists any more and the join has made
        // everything visible, or no task ever left the caller.
        if self.state.load(Ordering::Relaxed) != OUT {
            return None;
        }
        self.state.store(FREE, Ordering::Relaxed);
        self.take_permit()
    }

    /// Helper: takes the permit that it has to release.
    pub(super) fn take_permit(&self) -> Option<Permit> {
        // Relaxed: one thread at a time reads it, see the type.
        decode(self.permit.swap(0, Ordering::Relaxed))
    }

    /// Helper: records its end.
    pub(super) fn set_done(&self) {
        // SeqCst: store then load; see `Lending`.
        self.state.store(DONE, Ordering::SeqCst);
    }

    /// Worker: records that it has run a chunk.
    pub(super) fn set_worked(&self) {
        // Relaxed, here and in `has_worked`: read after the join.
        self.has_worked.store(true, Ordering::Relaxed);
    }

    /// Returns whether a worker of this slot has run a chunk.
    pub(super) fn has_worked(&self) -> bool {
        self.has_worked.load(Ordering::Relaxed)
    }

    /// Worker: records that its chunk `start..end` failed. A worker stops at its first failure,
    /// so one record is enough.
    pub(super) fn set_failed(&self, start: u64, end: u64) {
        // Relaxed: read after the join. Only `is_free` reads earlier and may read old values;
        // the state, which is still OUT, then keeps the slot from being assigned again.
        self.failed_start.store(start, Ordering::Relaxed);
        self.failed_end.store(end, Ordering::Relaxed);
    }

    /// Returns the failed chunk of this slot's worker.
    pub(super) fn failed(&self) -> Option<(u64, u64)> {
        // Relaxed: see `set_failed`.
        let end = self.failed_end.load(Ordering::Relaxed);
        // A chunk is never empty, so an end of 0 means no chunk.
        (end != 0).then(|| (self.failed_start.load(Ordering::Relaxed), end))
    }
}

/// Encodes a permit: 0 for none, 1 for a permit without node, `2 + n` for a permit of node `n`.
fn encode(permit: Option<Permit>) -> u32 {
    match permit {
        None => 0,
        Some(Permit { node: None }) => 1,
        Some(Permit { node: Some(node) }) => node.0 + 2,
    }
}

fn decode(code: u32) -> Option<Permit> {
    match code {
        0 => None,
        1 => Some(Permit { node: None }),
        node => Some(Permit { node: Some(NodeId(node - 2)) }),
    }
}
