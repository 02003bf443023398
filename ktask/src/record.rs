//! What a worker reports to the caller of its job.

use crate::budget::{LEVELS, Permit};
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering, const_fn};
use crate::{HelperId, NodeId};

/// The record of one worker: a helper's is in its cell, the caller's on the caller's stack.
///
/// The caller writes `worker` and `permit` before it hands out a task, and `helper` after. The
/// worker writes the other fields. The hand-over publishes each side's stores to the other.
#[derive(Debug)]
pub(crate) struct WorkerRecord {
    /// The worker's number.
    worker: AtomicU32,
    /// The helper's permit of the budget: see [`encode`].
    permit: AtomicU32,
    helper: AtomicU64,
    failed_start: AtomicU64,
    failed_end: AtomicU64,
    /// Whether a worker with this record ran a chunk.
    has_worked: AtomicBool,
}

impl WorkerRecord {
    const_fn! {
        /// Makes the record of worker 0, the caller.
        pub(crate) fn new() -> Self {
            Self {
                worker: AtomicU32::new(0),
                permit: AtomicU32::new(0),
                helper: AtomicU64::new(u64::MAX),
                failed_start: AtomicU64::new(0),
                failed_end: AtomicU64::new(0),
                has_worked: AtomicBool::new(false),
            }
        }
    }

    /// Makes this the record of a worker with number `worker` that has done nothing.
    pub(crate) fn reset(&self, worker: usize) {
        // Relaxed, here and below: the hand-over publishes, see the type.
        self.worker.store(worker as u32, Ordering::Relaxed);
        self.failed_end.store(0, Ordering::Relaxed);
        self.has_worked.store(false, Ordering::Relaxed);
        self.assign(None);
    }

    /// Returns the worker's number.
    pub(crate) fn worker(&self) -> usize {
        self.worker.load(Ordering::Relaxed) as usize
    }

    /// Caller: gives the record to a helper that has `permit`, if the job is budgeted.
    pub(crate) fn assign(&self, permit: Option<Permit>) {
        self.helper.store(u64::MAX, Ordering::Relaxed);
        self.permit.store(encode(permit), Ordering::Relaxed);
    }

    /// Caller: records the number of the helper, which was started.
    pub(crate) fn set_helper(&self, helper: HelperId) {
        self.helper.store(helper.0, Ordering::Relaxed);
    }

    /// Caller: returns the number of the helper that was started last.
    pub(crate) fn helper(&self) -> HelperId {
        HelperId(self.helper.load(Ordering::Relaxed))
    }

    /// Takes the permit, which has to be released: the helper at its end, or the caller if the
    /// helper has not begun.
    pub(crate) fn take_permit(&self) -> Option<Permit> {
        decode(self.permit.swap(0, Ordering::Relaxed))
    }

    /// Helper: keeps `permit`, which it has taken, after all.
    pub(crate) fn put_permit_back(&self, permit: Permit) {
        self.permit.store(encode(Some(permit)), Ordering::Relaxed);
    }

    /// Worker: records that it has run a chunk.
    pub(crate) fn set_worked(&self) {
        self.has_worked.store(true, Ordering::Relaxed);
    }

    /// Returns whether a worker with this record has run a chunk.
    pub(crate) fn has_worked(&self) -> bool {
        self.has_worked.load(Ordering::Relaxed)
    }

    /// Worker: records that its chunk `start..end` failed. A worker stops at its first failure,
    /// so one record is enough.
    pub(crate) fn set_failed(&self, start: u64, end: u64) {
        self.failed_start.store(start, Ordering::Relaxed);
        self.failed_end.store(end, Ordering::Relaxed);
    }

    /// Returns the failed chunk of this record's worker.
    pub(crate) fn failed(&self) -> Option<(u64, u64)> {
        let end = self.failed_end.load(Ordering::Relaxed);
        // A chunk is never empty, so an end of 0 means no chunk.
        (end != 0).then(|| (self.failed_start.load(Ordering::Relaxed), end))
    }
}

/// Encodes a permit: 0 for none, else the level, and above it 1 for a permit without node, `2 + n` for one of node `n`.
fn encode(permit: Option<Permit>) -> u32 {
    permit.map_or(0, |Permit { node, level }| {
        node.map_or(1, |node| node.0 + 2) * LEVELS as u32 + u32::from(level)
    })
}

fn decode(code: u32) -> Option<Permit> {
    let level = (code % LEVELS as u32) as u8;
    match code / LEVELS as u32 {
        0 => None,
        1 => Some(Permit { node: None, level }),
        node => Some(Permit { node: Some(NodeId(node - 2)), level }),
    }
}
