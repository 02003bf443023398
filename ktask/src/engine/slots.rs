//! One record per worker, on the caller's stack.

use crate::budget::Permit;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::{HelperId, NodeId};

/// What is known of one worker. WorkerSlot 0 is the caller's.
///
/// `state` is written by the caller (`FREE` to `OUT` and back) and by the one helper that
/// has the slot (`OUT` to `DONE`). `permit` and
/// `helper` are the caller's to write, before and after it hands the task out; the rest is
/// the worker's.
#[derive(Default)]
pub(crate) struct WorkerSlot {
    state: AtomicU32,
    /// The budget's permit, encoded: see [`encode`].
    permit: AtomicU32,
    helper: AtomicU64,
    failed_start: AtomicU64,
    failed_end: AtomicU64,
    /// Whether a worker of this slot ran a chunk.
    worked: AtomicBool,
}

/// No helper has the slot.
const FREE: u32 = 0;
/// A task for it exists that has not ended.
const OUT: u32 = 1;
/// Its helper has ended.
const DONE: u32 = 2;

impl WorkerSlot {
    /// Whether a new helper may have this slot.
    pub(crate) fn is_free(&self) -> bool {
        // The failed chunk of an ended helper must be kept for the undo. Relaxed: only the
        // caller, who asks, makes slots taken; seeing a slot free late is harmless.
        self.state.load(Ordering::Relaxed) != OUT && self.failed().is_none()
    }

    /// Caller: the slot goes to a helper that has `permit` in the budget, if any.
    pub(crate) fn take(&self, permit: Option<Permit>) {
        // Relaxed: the hand-over of the task publishes all of it to the helper.
        self.helper.store(u64::MAX, Ordering::Relaxed);
        self.permit.store(encode(permit), Ordering::Relaxed);
        self.state.store(OUT, Ordering::Relaxed);
    }

    /// Caller: the helper was started and has this name.
    pub(crate) fn set_helper(&self, helper: HelperId) {
        // Relaxed: only the caller reads it.
        self.helper.store(helper.0, Ordering::Relaxed);
    }

    /// Caller: the helper's name while it has not ended.
    pub(crate) fn unfinished(&self) -> Option<HelperId> {
        // SeqCst: with `finish` and `Lending`, see there.
        (self.state.load(Ordering::SeqCst) == OUT).then(|| HelperId(self.helper.load(Ordering::Relaxed)))
    }

    /// Caller: the helper was refused, taken back or lost. The permit that is to be
    /// given back, if it had not ended after all.
    pub(crate) fn vacate(&self) -> Option<Permit> {
        // Relaxed: either no task for the slot exists any more and the join has made
        // everything visible, or none ever left the caller.
        if self.state.load(Ordering::Relaxed) != OUT {
            return None;
        }
        self.state.store(FREE, Ordering::Relaxed);
        self.take_permit()
    }

    /// Helper: the permit in the budget that is to be given back.
    pub(crate) fn take_permit(&self) -> Option<Permit> {
        // Relaxed: one reader at a time, see the type.
        decode(self.permit.swap(0, Ordering::Relaxed))
    }

    /// Helper: at an end.
    pub(crate) fn finish(&self) {
        // SeqCst: the helper then looks whether the caller lends to this slot, and the caller,
        // having said that it does, looks whether the helper has ended: one of the two
        // must see the other.
        self.state.store(DONE, Ordering::SeqCst);
    }

    /// Worker: it has run a chunk.
    pub(crate) fn set_worked(&self) {
        // Relaxed, here and below: read after the join.
        self.worked.store(true, Ordering::Relaxed);
    }

    /// Whether a worker of this slot has run a chunk.
    pub(crate) fn worked(&self) -> bool {
        self.worked.load(Ordering::Relaxed)
    }

    /// Worker: its chunk `start..end` failed. A worker stops at its first failure, so one
    /// record is enough.
    pub(crate) fn set_failed(&self, start: u64, end: u64) {
        // Relaxed: read after the join only, but by `is_free`, where the caller may see
        // it late: then the record must not be lost, which the state (still OUT) prevents.
        self.failed_start.store(start, Ordering::Relaxed);
        self.failed_end.store(end, Ordering::Relaxed);
    }

    /// The failed chunk of this slot's worker.
    pub(crate) fn failed(&self) -> Option<(u64, u64)> {
        // Relaxed: see `set_failed`.
        let end = self.failed_end.load(Ordering::Relaxed);
        // A chunk is not empty, so an end of 0 is no chunk.
        (end != 0).then(|| (self.failed_start.load(Ordering::Relaxed), end))
    }
}

/// 0: no permit; 1: one of the whole; 2 and up: one of node 0 and up.
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
