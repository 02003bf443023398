//! Taking completed chunks back.
//!
//! What was handed out of a range is a prefix of it ([`Cursor`]); every chunk handed out
//! was run; and each worker fails at most one. So the completed units are the prefixes
//! without the failed chunks, and nothing had to be written down per chunk.

use super::slots::WorkerSlot;
use super::{Body, Drive, Outcome, Plan, RawChunk, Threads, execute_over, storage};
use crate::cursor::Cursor;
use crate::platform::Platform;

/// The chunks that failed, which are not to be undone.
#[derive(Clone, Copy)]
pub(super) enum Failed<'f> {
    /// Of a job on its caller alone: one at most.
    One(Option<(u64, u64)>),
    /// One per slot at most.
    Slots(&'f [WorkerSlot]),
}

/// Undoes what `outcome` completed, if it did not complete everything and `plan` can undo:
/// as a job of its own over the prefixes, on as many threads.
pub(super) fn after<P: Platform>(
    platform: &P,
    plan: &Plan<'_>,
    cursors: &[Cursor],
    failed: Failed<'_>,
    outcome: &mut Outcome,
) {
    let Some(undo) = plan.undo else { return };
    if outcome.is_complete() {
        return;
    }
    let prefix = |index: usize| {
        let cursor: &Cursor = &cursors[index];
        let (start, end) = cursor.claimed();
        Cursor::new(start, end, cursor.node())
    };
    let threads = match failed {
        Failed::One(_) => Threads::Exact(1),
        Failed::Slots(_) => plan.threads,
    };
    let plan = Plan {
        units: cursors.iter().map(|cursor| cursor.claimed()).map(|(start, end)| end - start).sum(),
        threads,
        // An undo that could itself be ended would leave things half done.
        cancel: None,
        deadline_ns: None,
        // Its rate is another one.
        tuning: None,
        undo: None,
        trace_id: 0,
        ..*plan
    };
    let body = UndoBody { failed, undo };
    storage::with_cursors(cursors.len(), &prefix, &mut |prefixes| {
        let undone = execute_over(platform, &plan, prefixes, &body);
        outcome.stats.units_undone = undone.stats.units - failed.units();
        outcome.stats.cpu_ns += undone.stats.cpu_ns;
        outcome.stats.wall_ns += undone.stats.wall_ns;
        // An undo that panics is the client's defect; the first panic is the one to see.
        let first = outcome.panic.take();
        outcome.panic = first.or(undone.panic);
    });
}

/// Undoing, as the body of a job.
struct UndoBody<'u> {
    failed: Failed<'u>,
    undo: &'u (dyn Fn(RawChunk) + Sync + 'u),
}

impl Body for UndoBody<'_> {
    fn work(&self, drive: &mut Drive<'_>) {
        drive(&mut |chunk| {
            self.failed.spare(chunk, self.undo);
            true
        });
    }
}

impl Failed<'_> {
    /// Calls `undo` for the parts of `chunk` that did not fail.
    fn spare(&self, chunk: RawChunk, undo: &dyn Fn(RawChunk)) {
        let mut start = chunk.start;
        while start < chunk.end {
            let (failed_start, failed_end) =
                self.first_overlapping(start, chunk.end).unwrap_or((chunk.end, chunk.end));
            if start < failed_start {
                undo(RawChunk { start, end: failed_start, ..chunk });
            }
            start = failed_end;
        }
    }

    /// The failed chunk that starts first among those that share units with `start..end`.
    /// The chunks of the undo have other bounds, so it may begin before or end after them.
    fn first_overlapping(&self, start: u64, end: u64) -> Option<(u64, u64)> {
        let overlaps = |chunk: &(u64, u64)| chunk.0 < end && start < chunk.1;
        match self {
            Self::One(failed) => failed.filter(overlaps),
            Self::Slots(slots) => slots.iter().filter_map(WorkerSlot::failed).filter(overlaps).min(),
        }
    }

    /// Units of the failed chunks.
    fn units(&self) -> u64 {
        match self {
            Self::One(failed) => failed.map_or(0, |(start, end)| end - start),
            Self::Slots(slots) => {
                slots.iter().filter_map(WorkerSlot::failed).map(|(start, end)| end - start).sum()
            }
        }
    }
}
