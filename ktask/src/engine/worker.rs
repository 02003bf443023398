//! A worker's part of a job, from its first chunk to its last.

use core::cell::Cell;

use super::cpu_clock::CpuClock;
use super::plan::{ChunkFn, Ending};
use super::run::{Run, Tally};
use super::sizer::ChunkSizer;
use super::tracing::traced;
use crate::chunk::RawChunk;
use crate::cursor::{Cursor, Cursors, Cut};
use crate::platform::Platform;
use crate::record::WorkerRecord;
use crate::{NodeId, TracedChunk, unwind};

/// Called before each chunk with the range it would come from, and with the time at which the last chunk
/// ended; returns whether to go on.
type MayContinue<'m> = dyn FnMut(&Cursor, u64) -> bool + 'm;

/// What a worker's part took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
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
    let index = record.worker();
    let mut cpu_clock = CpuClock::start(run.platform, started_ns, false);
    let in_progress = Cell::new(None);
    let mut tally = Tally::default();
    let caught = unwind::catch(|| {
        run.body.work(&mut |run_chunk| {
            let node = run.platform.current_node();
            let mut worker = Worker {
                run,
                index,
                node,
                in_progress: &in_progress,
                tally: &mut tally,
                sizer: ChunkSizer::new(run.plan, run.is_governed, started_ns),
                cpu_clock: &mut cpu_clock,
            };
            worker.all_ranges(run_chunk, may_continue);
        });
    });
    if let Err(payload) = caught {
        run.stop(Ending::Failed);
        run.keep_panic(payload);
    }
    if let Some((start, end)) = in_progress.get() {
        record.set_failed(start, end);
    }
    let ended_ns = run.platform.now_ns();
    let cpu_ns = cpu_clock.used_ns(run.platform, ended_ns);
    if tally.chunks > 0 {
        record.set_worked();
    }
    run.add(tally, cpu_ns);
    Part { cpu_ns, ended_ns }
}

struct Worker<'w, 'r, P: Platform> {
    run: &'w Run<'r, P>,
    index: usize,
    /// The node of the CPU that the worker runs on.
    node: NodeId,
    /// The chunk that is being run. After the worker has ended: the chunk that failed or panicked.
    in_progress: &'w Cell<Option<(u64, u64)>>,
    tally: &'w mut Tally,
    sizer: ChunkSizer,
    cpu_clock: &'w mut CpuClock,
}

impl<'w, P: Platform> Worker<'w, '_, P> {
    /// Runs chunks of one range after the other, the nearest range with work left first.
    fn all_ranges(&mut self, run_chunk: &mut ChunkFn<'_>, may_continue: &mut MayContinue<'_>) {
        while let Some(cursor) = self.nearest() {
            cursor.join();
            let is_used_up = self.one_range(cursor, run_chunk, may_continue);
            cursor.leave();
            if !is_used_up {
                return;
            }
        }
        self.tally.ran_dry_at_ns = Some(self.sizer.last_ns());
    }

    /// Runs chunks of one range. Returns true when the range is used up, false when the worker
    /// has to end before that.
    fn one_range(
        &mut self,
        cursor: &Cursor,
        run_chunk: &mut ChunkFn<'_>,
        may_continue: &mut MayContinue<'_>,
    ) -> bool {
        let run = self.run;
        let local = cursor.is_at(self.node);
        loop {
            if run.is_stopped(cursor) || !may_continue(cursor, self.sizer.last_ns()) {
                return false;
            }
            let Some((start, end)) = cursor.claim(Cut {
                want: self.want(cursor).min(run.plan.max_chunk),
                min: run.plan.min_chunk,
                align: run.plan.align,
            }) else {
                return true;
            };
            self.in_progress.set(Some((start, end)));
            self.tally.chunks += 1;
            self.tally.local_chunks += u64::from(local);
            let lineage = run.plan.lineage.of_chunks();
            let node = cursor.node();
            let chunk = RawChunk { start, end, worker: self.index as u32, node, local, lineage };
            let traced_chunk = TracedChunk { start, end, worker: self.index };
            if !traced(run.platform, run.plan.trace_id, traced_chunk, || run_chunk(chunk)) {
                run.stop(Ending::Failed);
                return false;
            }
            self.in_progress.set(None);
            self.tally.units += end - start;
            self.chunk_ended(end - start);
        }
    }

    /// Returns the length that the next chunk from `cursor` should have.
    fn want(&self, cursor: &Cursor) -> u64 {
        let (left, workers) = (cursor.left(), cursor.workers().max(2) as u64);
        self.run.compared_units(|| self.sizer.want(left, workers))
    }

    /// Sizes the next chunk after one of `units`, and reports the chunk's time to the
    /// governor.
    fn chunk_ended(&mut self, units: u64) {
        let run = self.run;
        let now_ns = run.platform.now_ns();
        let began_ns = self.sizer.last_ns();
        self.sizer.chunk_ended(run.plan, units, now_ns);
        self.cpu_clock.tick(run.platform, now_ns);
        if run.is_governed {
            run.sample(units, began_ns, now_ns);
        }
    }

    /// Returns the nearest range with work left. Workers with several equally near ranges begin
    /// at different ones.
    fn nearest(&self) -> Option<&'w Cursor> {
        let cursors: Cursors<'w> = self.run.cursors;
        (0..cursors.len())
            .map(|step| cursors.get((self.index + step) % cursors.len()))
            .filter(|cursor| cursor.left() > 0)
            .min_by_key(|cursor| match cursor.node() {
                Some(node) if node != self.node => self.run.platform.node_distance(self.node, node),
                _ => 0,
            })
    }
}
