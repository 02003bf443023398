//! Undoes the completed chunks of a job that failed.
//!
//! No record per chunk is needed. The units claimed from a range are a prefix of it
//! ([`Cursor`](crate::cursor::Cursor)); every claimed chunk was run; each worker fails at most one chunk. So the
//! completed units are the claimed prefixes without the failed chunks.

use super::failed::Failed;
use super::launch::launch;
use super::plan::{Body, ChunkLoop, Plan, Request};
use super::storage;
use super::thread_limit::ThreadLimit;
use crate::Stats;
use crate::chunk::RawChunk;
use crate::cursor::{Cursors, Extent};
use crate::platform::Platform;
use crate::sync::{AtomicU64, Ordering};

/// Undoes what `request` completed, if the job did not complete and has an undo. The undo is a
/// job over the claimed prefixes, on as many threads as the failed job could have.
pub(super) fn undo_completed<P: Platform>(
    request: &mut Request<'_, P>,
    cursors: &Cursors<'_>,
    failed: Failed<'_>,
) {
    let plan = request.plan;
    let Some(undo) = plan.undo else { return };
    if request.outcome.is_complete() {
        return;
    }
    let prefix = |index: usize| Extent { end: cursors.get(index).next(), ..(plan.extent)(index) };
    let threads = match failed {
        Failed::One(_) => ThreadLimit::Exact(1),
        Failed::Team(..) => plan.threads,
    };
    let body = UndoBody { failed, undo, units: AtomicU64::new(0) };
    let plan = Plan {
        body: &body,
        extent: &prefix,
        units: plan.units - cursors.iter().map(|cursor| cursor.left()).sum::<u64>(),
        threads,
        // Nothing may end an undo early: it would leave a part of the job done.
        cancel: None,
        deadline_ns: Plan::NO_DEADLINE_NS,
        // The rate of an undo says nothing about the rate of the job.
        tuning: None,
        trail: None,
        starts_at_once: false,
        undo: None,
        trace_id: 0,
        ..*plan
    };
    storage::with_cursors(plan.ranges.into(), plan.extent, |prefixes| {
        let mut stats = Stats::default();
        let mut nothing = || {};
        let mut of_undo = Request::new(request.platform, &plan, &mut nothing, &mut stats);
        launch(&mut of_undo, prefixes, |_, _, _| {});
        // Relaxed: the join has made all sums visible.
        request.stats.units_undone = body.units.load(Ordering::Relaxed);
        request.stats.cpu_ns += of_undo.stats.cpu_ns;
        request.stats.wall_ns += of_undo.stats.wall_ns;
        // A panic of the undo is a bug of the client; the caller gets the first panic.
        let first = request.outcome.panic.take();
        request.outcome.panic = first.or(of_undo.outcome.panic);
    });
}

/// The undo as the body of a job.
struct UndoBody<'u> {
    failed: Failed<'u>,
    undo: &'u (dyn Fn(RawChunk) + Sync + 'u),
    /// Units that were undone.
    units: AtomicU64,
}

impl Body for UndoBody<'_> {
    fn work(&self, chunk_loop: &mut ChunkLoop<'_>) {
        chunk_loop(&mut |chunk| {
            self.failed.undo_others(chunk, &|part| {
                (self.undo)(part);
                // Relaxed: read after the join.
                self.units.fetch_add(part.end - part.start, Ordering::Relaxed);
            });
            true
        });
    }
}
