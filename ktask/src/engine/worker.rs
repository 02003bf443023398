//! A worker's part of a job, from its first chunk to its last.

use super::away;
use super::cpu_clock::CpuClock;
use super::plan::{ChunkFn, Ending};
use super::run::{Run, Tally};
use super::sizer::ChunkSizer;
use super::tracing::traced;
use crate::chunk::RawChunk;
use crate::cursor::{Cursor, Cursors};
use crate::platform::Platform;
use crate::record::WorkerRecord;
use crate::{NodeId, TracedChunk, unwind};

/// Called before each chunk with the range it would come from, whether the worker is a resident there (see [`away`]),
/// and the time at which the last chunk ended; returns whether to go on.
type MayContinue<'m> = dyn FnMut(&Cursor<'_>, bool, u64) -> bool + 'm;

/// What a worker did, and what it took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) tally: Tally,
    pub(super) cpu_ns: u64,
    pub(super) ended_ns: u64,
}

/// Works for `run` as the worker of `record`, from `started_ns` on.
pub(super) fn work<P: Platform>(
    run: &Run<'_, P>,
    record: &WorkerRecord,
    started_ns: u64,
    may_continue: &mut MayContinue<'_>,
) -> Part {
    // Outside the closures: each has a frame, and the caller's stack is small.
    let mut worker = Worker {
        run,
        index: record.worker(),
        node: run.platform.current_node(),
        in_progress: (0, 0),
        tally: Tally::default(),
        sizer: ChunkSizer::new(run.plan, run.is_governed, started_ns),
        cpu_clock: CpuClock::start(run.platform, started_ns, false),
    };
    let caught = unwind::catch(|| {
        run.plan.body.work(&mut |run_chunk| worker.all_ranges(run_chunk, may_continue));
    });
    if let Err(payload) = caught {
        run.stop(Ending::Failed);
        run.keep_panic(payload);
    }
    worker.report(record)
}

/// The worker number of a job's caller.
const CALLER: usize = 0;

struct Worker<'r, P: Platform> {
    run: &'r Run<'r, P>,
    index: usize,
    /// The node of the CPU that the worker runs on.
    node: NodeId,
    /// The chunk that is being run; without units between two. After the worker has ended: the chunk that failed
    /// or panicked.
    in_progress: (u64, u64),
    tally: Tally,
    sizer: ChunkSizer,
    cpu_clock: CpuClock,
}

impl<'r, P: Platform> Worker<'r, P> {
    /// Returns what the worker did, and notes in `record` what others ask for.
    fn report(&self, record: &WorkerRecord) -> Part {
        let (start, end) = self.in_progress;
        if start < end {
            record.set_failed(start, end);
        }
        // Where nothing follows the last chunk, the worker ended with it.
        let ended_ns = match self.tally.ran_dry_at_ns {
            Some(at_ns) if !self.run.plan.body.has_tail() => at_ns,
            _ => self.run.platform.now_ns(),
        };
        let cpu_ns = self.cpu_clock.used_ns(self.run.platform, ended_ns);
        if self.tally.chunks > 0 {
            record.set_worked();
        }
        Part { tally: self.tally, cpu_ns, ended_ns }
    }

    /// Runs chunks of one range after the other, the nearest range with work left first.
    fn all_ranges(&mut self, run_chunk: &mut ChunkFn<'_>, may_continue: &mut MayContinue<'_>) {
        while let Some((cursor, spared)) = self.nearest() {
            cursor.join(spared > 0);
            let may_go_on = self.one_range(&cursor, spared, run_chunk, may_continue);
            cursor.leave(spared > 0);
            if !may_go_on {
                return;
            }
        }
        self.tally.ran_dry_at_ns = Some(self.sizer.last_ns());
    }

    /// Runs chunks of one range. Returns true when the range is used up, or the last `spared` units are left
    /// to its residents; false when the worker has to end.
    fn one_range(
        &mut self,
        cursor: &Cursor<'_>,
        spared: u64,
        run_chunk: &mut ChunkFn<'_>,
        may_continue: &mut MayContinue<'_>,
    ) -> bool {
        let run = self.run;
        loop {
            if run.is_stopped(cursor) || !may_continue(cursor, spared == 0, self.sizer.last_ns()) {
                return false;
            }
            if away::leaves(cursor, spared) {
                return true;
            }
            let want = self.want(cursor, spared);
            let (start, end) = cursor.claim(want, &run.plan.cut);
            if start == end {
                return true;
            }
            if !self.one_chunk(start, end, cursor, run_chunk) {
                run.stop(Ending::Failed);
                return false;
            }
            if !self.leaves_one_chunk(cursor) {
                self.chunk_ended(end - start);
            }
        }
    }

    /// Returns whether the first chunk of an ungoverned job over one range left one smallest chunk. Then nothing is
    /// to be decided before this worker takes it or another has: the clock is not read, which takes as long as
    /// four claims.
    fn leaves_one_chunk(&self, cursor: &Cursor<'_>) -> bool {
        let run = self.run;
        self.tally.chunks == 1
            && !run.is_governed
            && run.cursors.len() == 1
            && (1..=run.plan.cut.min).contains(&cursor.left())
    }

    /// Runs the chunk `start..end`. Returns whether it succeeded.
    ///
    /// Never inlined: what is called between two chunks should not have this frame on the stack.
    #[inline(never)]
    fn one_chunk(&mut self, start: u64, end: u64, cursor: &Cursor<'_>, run_chunk: &mut ChunkFn<'_>) -> bool {
        let run = self.run;
        let local = cursor.is_at(self.node);
        self.in_progress = (start, end);
        self.tally.chunks += 1;
        self.tally.local_chunks += u64::from(local);
        let lineage = run.plan.lineage.of_chunks();
        let chunk = RawChunk { start, end, worker: self.index as u32, node: cursor.node(), local, lineage };
        let traced_chunk = TracedChunk { start, end, worker: self.index };
        if !traced(run.platform, run.plan.trace_id, traced_chunk, || run_chunk(&chunk)) {
            return false;
        }
        self.in_progress = (0, 0);
        self.tally.units += end - start;
        true
    }

    /// Returns the length that the next chunk from `cursor` should have, of which the worker leaves the last `spared`
    /// units to others.
    fn want(&self, cursor: &Cursor<'_>, spared: u64) -> u64 {
        let (left, workers) = (cursor.left(), cursor.workers().max(2) as u64);
        let want = self.sizer.want(left, workers, &self.run.lengths);
        if spared > 0 && self.sizer.may_be_long() { want.max(self.share(cursor, spared)) } else { want }
    }

    /// Returns the share of `cursor` that a worker takes which is away. Never inlined: see [`one_chunk`](Self::one_chunk).
    #[inline(never)]
    fn share(&self, cursor: &Cursor<'_>, spared: u64) -> u64 {
        // All workers of other ranges may come.
        let helpers = self.run.running().saturating_sub(cursor.residents());
        away::share(cursor.left(), spared, self.tally.units, helpers)
    }

    /// Sizes the next chunk after one of `units`, and reports the chunk's time to the
    /// governor. Never inlined: see [`one_chunk`](Self::one_chunk).
    #[inline(never)]
    fn chunk_ended(&mut self, units: u64) {
        let run = self.run;
        let now_ns = run.platform.now_ns();
        let began_ns = self.sizer.last_ns();
        self.sizer.chunk_ended(run.plan, &run.lengths, units, now_ns);
        self.cpu_clock.tick(run.platform, now_ns);
        if run.is_governed {
            run.sample(units, began_ns, now_ns);
        }
    }

    /// Returns the nearest range with work for this worker, and the number of units that it leaves to the
    /// residents there: see [`away`]. Workers with several equally near ranges begin at different ones.
    #[inline(never)]
    fn nearest(&self) -> Option<(Cursor<'r>, u64)> {
        let cursors: &'r Cursors<'r> = self.run.cursors;
        let has_home = self.has_home();
        // A loop, and numbers: iterators over pairs took 300 bytes more of the stack.
        let (mut nearest, mut least) = (None, u32::MAX);
        for step in 0..cursors.len() {
            let index = (self.index + step) % cursors.len();
            let cursor = cursors.get(index);
            let (distance, spared) = match cursor.node() {
                Some(node) if node != self.node => (
                    self.run.platform.node_distance(self.node, node),
                    if has_home { away::spared(cursors.claimed(index)) } else { 0 },
                ),
                _ => (0, 0),
            };
            let is_nearer = nearest.is_none() || distance < least;
            if is_nearer && cursor.left() > 0 && !away::leaves(&cursor, spared) {
                (nearest, least) = (Some((index, spared)), distance);
            }
        }
        nearest.map(|(index, spared)| (cursors.get(index), spared))
    }

    /// Returns whether the worker can be away: its node has a range. Helpers that the governor tells to leave are
    /// no residents to rely on, so the caller of a governed job cannot.
    #[inline(never)]
    fn has_home(&self) -> bool {
        (self.index != CALLER || !self.run.is_governed)
            && self.run.cursors.iter().any(|cursor| cursor.node() == Some(self.node))
    }
}
