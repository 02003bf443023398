//! A job on its caller alone: a plain loop without shared state or read-modify-write.

use core::cell::Cell;

use super::cpu_clock::CpuClock;
use super::failed::{AfterRun, Failed};
use super::plan::{ChunkFn, Ending, Meanwhile, Outcome, Plan};
use super::sizer::ChunkSizer;
use super::tracing::traced;
use crate::chunk::RawChunk;
use crate::cursor::{Cursor, Cursors, Cut};
use crate::platform::Platform;
use crate::{Stats, TracedChunk, unwind};

/// Smallest chunks from which a job counts as long enough for two reads of a slow CPU clock: a chunk
/// should take a microsecond at least.
const CHUNKS_OF_LONG_JOB: u64 = 1000;

/// Runs the whole of `plan` on the calling thread, then calls `after`.
///
/// Never inlined: a job on several threads should not have this frame on its caller's stack.
#[inline(never)]
pub(super) fn run<P: Platform>(
    platform: &P,
    plan: &Plan<'_>,
    cursors: &Cursors<'_>,
    meanwhile: &mut Meanwhile<'_>,
    stats: &mut Stats,
    after: &mut AfterRun<'_>,
) -> Outcome {
    let started_ns = platform.now_ns();
    let mut panic = unwind::catch(meanwhile).err();
    let work_started_ns = if plan.starts_at_once { platform.now_ns() } else { started_ns };
    let cpu_clock = CpuClock::start(platform, work_started_ns, plan.smallest_chunks() >= CHUNKS_OF_LONG_JOB);
    let in_progress = Cell::new(None);
    let mut ending = Ending::Complete;
    if panic.is_none() {
        panic = unwind::catch(|| {
            plan.body.work(&mut |run_chunk| {
                ending = Solo { platform, plan, in_progress: &in_progress, stats: &mut *stats }
                    .all_ranges(cursors, run_chunk);
            });
        })
        .err();
    }
    if panic.is_some() {
        ending = Ending::Failed;
    }
    stats.threads_used = u32::from(stats.chunks > 0);
    stats.threads_at_end = stats.threads_used;
    let ended_ns = platform.now_ns();
    stats.wall_ns = ended_ns.saturating_sub(started_ns);
    stats.cpu_ns = cpu_clock.used_ns(platform, ended_ns);
    let mut outcome = Outcome { ending, panic };
    after(Failed::One(in_progress.get()), &mut outcome, stats);
    outcome
}

struct Solo<'s, P: Platform> {
    platform: &'s P,
    plan: &'s Plan<'s>,
    /// The chunk that is being run. At the end: the chunk that failed or panicked.
    in_progress: &'s Cell<Option<(u64, u64)>>,
    stats: &'s mut Stats,
}

impl<P: Platform> Solo<'_, P> {
    /// Runs the chunks of each range in turn, the ranges of the caller's node first.
    fn all_ranges(&mut self, cursors: &Cursors<'_>, run_chunk: &mut ChunkFn<'_>) -> Ending {
        let own_node = self.platform.current_node();
        for local in [true, false] {
            for index in 0..cursors.len() {
                let cursor = cursors.get(index);
                if cursor.is_at(own_node) != local {
                    continue;
                }
                let ending = self.one_range(cursor, local, run_chunk);
                if ending != Ending::Complete {
                    return ending;
                }
            }
        }
        Ending::Complete
    }

    /// Runs one range: as one chunk, or as few as the longest chunk permits; in chunks that are short
    /// enough if the job may have to stop soon.
    fn one_range(&mut self, cursor: Cursor<'_>, local: bool, run_chunk: &mut ChunkFn<'_>) -> Ending {
        let is_stoppable = self.plan.is_stoppable();
        let mut sizer = is_stoppable.then(|| ChunkSizer::new(self.plan, false, self.platform.now_ns()));
        while cursor.left() > 0 {
            if let Some(ending) = self.plan.stop_requested(self.platform) {
                return ending;
            }
            let left = cursor.left();
            let want = sizer.as_ref().map_or(left, |sizer| sizer.want(left, 1));
            let Some(chunk) = self.claim(cursor, want) else { break };
            if !self.one_chunk(chunk, cursor, local, run_chunk) {
                return Ending::Failed;
            }
            if let Some(sizer) = &mut sizer {
                sizer.chunk_ended(self.plan, chunk.1 - chunk.0, self.platform.now_ns());
            }
        }
        Ending::Complete
    }

    fn claim(&self, cursor: Cursor<'_>, want: u64) -> Option<(u64, u64)> {
        let Plan { min_chunk, max_chunk, align, .. } = *self.plan;
        cursor.claim_alone(Cut { want: want.min(max_chunk), min: min_chunk, align })
    }

    /// Runs the chunk `start..end`. Returns false if it failed.
    fn one_chunk(
        &mut self,
        (start, end): (u64, u64),
        cursor: Cursor<'_>,
        local: bool,
        run_chunk: &mut ChunkFn<'_>,
    ) -> bool {
        let plan = self.plan;
        self.in_progress.set(Some((start, end)));
        let lineage = plan.lineage.of_chunks();
        let chunk = RawChunk { start, end, worker: 0, node: cursor.node(), local, lineage };
        self.stats.chunks += 1;
        self.stats.local_chunks += u64::from(local);
        let is_done = match plan.trace_id {
            0 => run_chunk(chunk),
            _ => self.one_traced_chunk(chunk, run_chunk),
        };
        if !is_done {
            return false;
        }
        self.in_progress.set(None);
        self.stats.units += end - start;
        true
    }

    /// Never inlined: a job that is not traced should not have this frame on its caller's stack.
    #[inline(never)]
    fn one_traced_chunk(&self, chunk: RawChunk, run_chunk: &mut ChunkFn<'_>) -> bool {
        let traced_chunk = TracedChunk { start: chunk.start, end: chunk.end, worker: 0 };
        traced(self.platform, self.plan.trace_id, traced_chunk, || run_chunk(chunk))
    }
}
