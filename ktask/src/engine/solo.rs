//! A job on its caller alone: a plain loop without shared state or read-modify-write.

use core::cell::Cell;

use super::failed::{AfterRun, Failed};
use super::plan::{Body, ChunkFn, Ending, Outcome, Plan};
use super::tracing::traced;
use crate::chunk::RawChunk;
use crate::cursor::{Cursor, Cut};
use crate::platform::Platform;
use crate::{Stats, TracedChunk, unwind};

/// Chunks that each range is cut into when the job may be cancelled or has a deadline.
const CHUNKS_PER_STOPPABLE_RANGE: u64 = 64;

/// Runs the whole of `plan` on the calling thread, then calls `after`.
///
/// Never inlined: a job on several threads should not have this frame on its caller's stack.
#[inline(never)]
pub(super) fn run<P: Platform>(
    platform: &P,
    plan: &Plan<'_>,
    cursors: &[Cursor],
    body: &dyn Body,
    mut stats: Stats,
    after: &mut AfterRun<'_>,
) -> Outcome {
    let started_ns = platform.now_ns();
    let cpu_started_ns = platform.thread_time_ns();
    // The chunk that is being run. At the end: the chunk that failed or panicked.
    let in_progress = Cell::new(None);
    let mut ending = Ending::Complete;
    let panic = unwind::catch(|| {
        body.work(&mut |run_chunk| {
            ending = all_ranges(platform, plan, cursors, run_chunk, &in_progress, &mut stats);
        });
    })
    .err();
    if panic.is_some() {
        ending = Ending::Failed;
    }
    stats.threads_used = usize::from(stats.chunks > 0);
    stats.wall_ns = platform.now_ns().saturating_sub(started_ns);
    stats.cpu_ns = platform.thread_time_ns().saturating_sub(cpu_started_ns);
    let mut outcome = Outcome { ending, stats, panic };
    after(Failed::One(in_progress.get()), &mut outcome);
    outcome
}

/// Runs the chunks of each range in turn, the ranges of the caller's node first.
fn all_ranges<P: Platform>(
    platform: &P,
    plan: &Plan<'_>,
    cursors: &[Cursor],
    run_chunk: &mut ChunkFn<'_>,
    in_progress: &Cell<Option<(u64, u64)>>,
    stats: &mut Stats,
) -> Ending {
    let own_node = platform.current_node();
    let is_stoppable = plan.cancel.is_some() || plan.deadline_ns.is_some();
    for local in [true, false] {
        for cursor in cursors.iter().filter(|cursor| cursor.is_at(own_node) == local) {
            let want = if is_stoppable { cursor.left() / CHUNKS_PER_STOPPABLE_RANGE } else { cursor.left() };
            let want = want.min(plan.max_chunk);
            let cut = Cut { want, min: plan.min_chunk, align: plan.align, workers: 1 };
            while cursor.left() > 0 {
                if let Some(ending) = plan.stop_requested(platform) {
                    return ending;
                }
                let Some((start, end)) = cursor.claim_alone(cut) else { break };
                in_progress.set(Some((start, end)));
                let lineage = plan.lineage.of_chunks(plan.lineage.family);
                let chunk = RawChunk { start, end, worker: 0, node: cursor.node(), local, lineage };
                stats.chunks += 1;
                stats.local_chunks += u64::from(local);
                let traced_chunk = TracedChunk { start, end, worker: 0 };
                if !traced(platform, plan.trace_id, traced_chunk, || run_chunk(chunk)) {
                    return Ending::Failed;
                }
                in_progress.set(None);
                stats.units += end - start;
            }
        }
    }
    Ending::Complete
}
