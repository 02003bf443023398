//! A job on its caller alone: a plain loop, nothing shared, no read-modify-write.

use core::cell::Cell;

use super::undo::{self, Failed};
use super::{Body, Ending, Outcome, Plan, RawChunk, Step};
use crate::Stats;
use crate::cursor::{Cursor, Cut};
use crate::platform::Platform;
use crate::{TracedChunk, traced, unwind};

/// Chunks that each range is cut into when the job may be cancelled or has a deadline.
const CHUNKS_PER_STOPPABLE_RANGE: u64 = 64;

/// Runs the whole of `plan` on the calling thread.
pub(super) fn run<P: Platform>(
    platform: &P,
    plan: &Plan<'_>,
    cursors: &[Cursor],
    body: &dyn Body,
    mut stats: Stats,
) -> Outcome {
    let started_ns = platform.now_ns();
    let cpu_started_ns = platform.thread_time_ns();
    // The chunk that is being worked on: the failed one, if the step says so or unwinds.
    let in_hand = Cell::new(None);
    let mut ending = Ending::Complete;
    let panic = unwind::catch(|| {
        body.work(&mut |step| {
            ending = all_ranges(platform, plan, cursors, step, &in_hand, &mut stats);
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
    undo::after(platform, plan, cursors, Failed::One(in_hand.get()), &mut outcome);
    outcome
}

/// Each range in turn, those of the caller's node first.
fn all_ranges<P: Platform>(
    platform: &P,
    plan: &Plan<'_>,
    cursors: &[Cursor],
    step: &mut Step<'_>,
    in_hand: &Cell<Option<(u64, u64)>>,
    stats: &mut Stats,
) -> Ending {
    let here = platform.current_node();
    let stoppable = plan.cancel.is_some() || plan.deadline_ns.is_some();
    for at_home in [true, false] {
        for cursor in cursors.iter().filter(|cursor| cursor.is_at(here) == at_home) {
            let want = if stoppable { cursor.left() / CHUNKS_PER_STOPPABLE_RANGE } else { cursor.left() };
            let cut = Cut { want, min: plan.min_chunk, align: plan.align, workers: 1 };
            while cursor.left() > 0 {
                if let Some(ending) = plan.ended_from_outside(platform) {
                    return ending;
                }
                let Some((start, end)) = cursor.claim_alone(cut) else { break };
                in_hand.set(Some((start, end)));
                let chunk = RawChunk {
                    start,
                    end,
                    worker: 0,
                    node: cursor.node(),
                    local: at_home,
                    lineage: plan.lineage.of_chunks(plan.lineage.family),
                };
                stats.chunks += 1;
                stats.local_chunks += u64::from(at_home);
                let told = TracedChunk { start, end, worker: 0 };
                if !traced::chunk(platform, plan.trace_id, told, || step(chunk)) {
                    return Ending::Failed;
                }
                in_hand.set(None);
                stats.units += end - start;
            }
        }
    }
    Ending::Complete
}
