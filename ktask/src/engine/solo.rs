//! A job on its caller alone: a plain loop without shared state or read-modify-write.

use super::cpu_clock::CpuClock;
use super::failed::{AfterRun, Failed};
use super::plan::{ChunkFn, Ending, Request};
use super::sizer::SoloSizer;
use super::tracing::traced;
use crate::chunk::{Lineage, RawChunk};
use crate::cursor::{Cursor, Cursors};
use crate::platform::Platform;
use crate::{TracedChunk, unwind};

/// Smallest chunks from which a job counts as long enough for two reads of a slow CPU clock: a chunk
/// should take a microsecond at least.
const CHUNKS_OF_LONG_JOB: u64 = 1000;

/// Runs the whole plan of `request` on the calling thread, then calls `after`.
///
/// Never inlined: a job on several threads should not have this frame on its caller's stack.
#[inline(never)]
pub(super) fn run<P: Platform>(request: &mut Request<'_, P>, cursors: &Cursors<'_>, after: AfterRun<P>) {
    let (platform, plan) = (request.platform, request.plan);
    let started_ns = platform.now_ns();
    let mut work_started_ns = started_ns;
    if plan.starts_at_once {
        run_meanwhile(request);
        work_started_ns = platform.now_ns();
    }
    let cpu_clock = CpuClock::start(platform, work_started_ns, plan.smallest_chunks() >= CHUNKS_OF_LONG_JOB);
    // Outside the closures: each has a frame, and the caller's stack is small.
    let mut solo = Solo { request, chunk: no_chunk() };
    if solo.request.outcome.panic.is_none() {
        let work = || plan.body.work(&mut |run_chunk| solo.all_ranges(cursors, run_chunk));
        if let Err(payload) = unwind::catch(work) {
            solo.request.outcome.panic = Some(payload);
        }
    }
    let Solo { request, chunk } = &mut solo;
    if request.outcome.panic.is_some() {
        request.outcome.ending = Ending::Failed;
    }
    let stats = &mut *request.stats;
    stats.threads_used = u32::from(stats.chunks > 0);
    stats.threads_at_end = stats.threads_used;
    let ended_ns = platform.now_ns();
    stats.wall_ns = ended_ns.saturating_sub(started_ns);
    stats.cpu_ns = cpu_clock.used_ns(platform, ended_ns);
    after(request, cursors, Failed::One(chunk));
}

/// Never inlined: other jobs should not have this frame on their caller's stack.
#[inline(never)]
fn run_meanwhile<P: Platform>(request: &mut Request<'_, P>) {
    request.outcome.panic = unwind::catch(&mut *request.meanwhile).err();
}

struct Solo<'s, 'q, P: Platform> {
    request: &'s mut Request<'q, P>,
    /// The chunk that is being run; without units between two. At the end: the chunk that failed or panicked.
    chunk: RawChunk,
}

/// Returns a chunk without units.
fn no_chunk() -> RawChunk {
    RawChunk { start: 0, end: 0, worker: 0, node: None, local: true, lineage: Lineage::default() }
}

impl<P: Platform> Solo<'_, '_, P> {
    /// Runs the chunks of each range in turn, the ranges of the caller's node first.
    fn all_ranges(&mut self, cursors: &Cursors<'_>, run_chunk: &mut ChunkFn<'_>) {
        if self.request.plan.is_stoppable() {
            self.all_ranges_in_time(cursors, run_chunk);
        } else {
            self.all_ranges_at_leisure(cursors, run_chunk);
        }
    }

    /// Does that for a job that nothing stops: each range is one chunk, or as few as the longest chunk
    /// permits.
    ///
    /// Never inlined: another job should not have this frame on its caller's stack. So is the next method.
    #[inline(never)]
    fn all_ranges_at_leisure(&mut self, cursors: &Cursors<'_>, run_chunk: &mut ChunkFn<'_>) {
        self.each_range(cursors, |solo, cursor| {
            while cursor.left() > 0 {
                solo.claim(cursor, u64::MAX);
                if !solo.one_chunk(run_chunk) {
                    return Ending::Failed;
                }
            }
            Ending::Complete
        });
    }

    /// Does that for a job that may have to stop soon: chunks are short enough.
    #[inline(never)]
    fn all_ranges_in_time(&mut self, cursors: &Cursors<'_>, run_chunk: &mut ChunkFn<'_>) {
        let mut sizer = SoloSizer::new(self.request.plan, self.request.platform.now_ns());
        self.each_range(cursors, |solo, cursor| {
            while cursor.left() > 0 {
                let Request { platform, plan, .. } = *solo.request;
                if let Some(ending) = plan.stop_requested(platform) {
                    return ending;
                }
                let units = solo.claim(cursor, sizer.want());
                if !solo.one_chunk(run_chunk) {
                    return Ending::Failed;
                }
                sizer.chunk_ended(units, platform.now_ns());
            }
            Ending::Complete
        });
    }

    /// Claims a chunk of `want` units or as many as there may be. Returns how many.
    fn claim(&mut self, cursor: &Cursor<'_>, want: u64) -> u64 {
        (self.chunk.start, self.chunk.end) = cursor.claim_alone(want, &self.request.plan.cut);
        self.chunk.end - self.chunk.start
    }

    /// Calls `run_range` for each range until one does not complete.
    fn each_range(
        &mut self,
        cursors: &Cursors<'_>,
        mut run_range: impl FnMut(&mut Self, &Cursor<'_>) -> Ending,
    ) {
        let own_node = self.request.platform.current_node();
        let ranges = cursors.len();
        // One loop takes less of the stack than two.
        for turn in 0..2 * ranges {
            let local = turn < ranges;
            let cursor = cursors.get(if local { turn } else { turn - ranges });
            if cursor.is_at(own_node) == local {
                let lineage = self.request.plan.lineage.of_chunks();
                self.chunk = RawChunk { node: cursor.node(), local, lineage, ..no_chunk() };
                let ending = run_range(self, &cursor);
                if ending != Ending::Complete {
                    self.request.outcome.ending = ending;
                    return;
                }
            }
        }
    }

    /// Runs the chunk that was claimed. Returns false if it failed.
    fn one_chunk(&mut self, run_chunk: &mut ChunkFn<'_>) -> bool {
        self.request.stats.chunks += 1;
        let is_done = match self.request.plan.trace_id {
            0 => run_chunk(&self.chunk),
            _ => self.one_traced_chunk(run_chunk),
        };
        if self.chunk.node.is_some() {
            *self.request.stats.local_chunks.get_or_insert(0) += u64::from(self.chunk.local);
        }
        if is_done {
            self.request.stats.units += self.chunk.end - self.chunk.start;
            self.chunk.end = self.chunk.start;
        }
        is_done
    }

    /// Never inlined: a job that is not traced should not have this frame on its caller's stack.
    #[inline(never)]
    fn one_traced_chunk(&self, run_chunk: &mut ChunkFn<'_>) -> bool {
        let RawChunk { start, end, .. } = self.chunk;
        let traced_chunk = TracedChunk { start, end, worker: 0 };
        traced(self.request.platform, self.request.plan.trace_id, traced_chunk, || run_chunk(&self.chunk))
    }
}
