//! What a worker does from its first chunk to its last.

use core::cell::Cell;

use super::parallel::Run;
use super::{Ending, RawChunk, Step};
use crate::cursor::{Cursor, Cut};
use crate::platform::Platform;
use crate::{NodeId, TracedChunk, traced, unwind};

/// A worker's next chunk is twice as long when the last one took less than this: below
/// it, handing out chunks starts to show; above, a chunk only makes the job slower
/// to end and to stop.
const SHORT_CHUNK_NS: u64 = 250_000;

/// And half as long when the last one took more than this.
const LONG_CHUNK_NS: u64 = 1_000_000;

/// What one worker has done.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) chunks: u64,
    pub(super) local_chunks: u64,
    pub(super) units: u64,
    /// When the last chunk ended, if the worker ended because no work was left.
    pub(super) ran_dry_at_ns: Option<u64>,
}

/// Asked before each chunk, with the range it would come from: whether to go on.
type Between<'b> = dyn FnMut(&Cursor) -> bool + 'b;

/// Works for `run` as worker number `index`; returns the CPU time that took.
pub(super) fn work<P: Platform>(run: &Run<'_, P>, index: usize, between: &mut Between<'_>) -> u64 {
    let cpu_started_ns = run.platform.thread_time_ns();
    let in_hand = Cell::new(None);
    let mut tally = Tally::default();
    let caught = unwind::catch(|| {
        run.body.work(&mut |step| {
            let here = run.platform.current_node();
            Worker { run, index, here, in_hand: &in_hand, tally: &mut tally }.drive(step, between);
        });
    });
    if let Err(payload) = caught {
        run.stop(Ending::Failed);
        run.keep_panic(payload);
    }
    if let Some((start, end)) = in_hand.get() {
        run.slots[index].set_failed(start, end);
    }
    let cpu_ns = run.platform.thread_time_ns().saturating_sub(cpu_started_ns);
    run.add(index, tally, cpu_ns);
    cpu_ns
}

struct Worker<'w, 'r, P: Platform> {
    run: &'w Run<'r, P>,
    index: usize,
    here: NodeId,
    /// The chunk that is being worked on: the failed one, if the step says so or unwinds.
    in_hand: &'w Cell<Option<(u64, u64)>>,
    tally: &'w mut Tally,
}

impl<'w, P: Platform> Worker<'w, '_, P> {
    /// Range after range, the nearest one with work left first.
    fn drive(&mut self, step: &mut Step<'_>, between: &mut Between<'_>) {
        let mut sizer = ChunkSizer::new(self.run);
        while let Some(cursor) = self.nearest() {
            cursor.join();
            let went_on = self.one_range(cursor, &mut sizer, step, between);
            cursor.leave();
            if !went_on {
                return;
            }
        }
        self.tally.ran_dry_at_ns = Some(sizer.last_ns);
    }

    /// Chunk after chunk of one range; false when the worker's part is over.
    fn one_range(
        &mut self,
        cursor: &Cursor,
        sizer: &mut ChunkSizer,
        step: &mut Step<'_>,
        between: &mut Between<'_>,
    ) -> bool {
        let run = self.run;
        let local = cursor.is_at(self.here);
        loop {
            if run.is_stopped(cursor) || !between(cursor) {
                return false;
            }
            let Some((start, end)) = cursor.claim(Cut {
                want: sizer.want,
                min: run.plan.min_chunk,
                align: run.plan.align,
                workers: cursor.workers().max(2) as u64,
            }) else {
                return true;
            };
            self.in_hand.set(Some((start, end)));
            self.tally.chunks += 1;
            self.tally.local_chunks += u64::from(local);
            let lineage = run.plan.lineage.of_chunks(run.family());
            let node = cursor.node();
            let chunk = RawChunk { start, end, worker: self.index, node, local, lineage };
            let told = TracedChunk { start, end, worker: self.index };
            if !traced::chunk(run.platform, run.plan.trace_id, told, || step(chunk)) {
                run.stop(Ending::Failed);
                return false;
            }
            self.in_hand.set(None);
            self.tally.units += end - start;
            sizer.chunk_ended(run, cursor, end - start);
        }
    }

    /// The range with work left that is nearest. Workers that have several equally near
    /// begin at different ones.
    fn nearest(&self) -> Option<&'w Cursor> {
        let cursors: &'w [Cursor] = self.run.cursors;
        (0..cursors.len())
            .map(|step| &cursors[(self.index + step) % cursors.len()])
            .filter(|cursor| cursor.left() > 0)
            .min_by_key(|cursor| match cursor.node() {
                Some(node) if node != self.here => self.run.platform.node_distance(self.here, node),
                _ => 0,
            })
    }
}

/// How long a worker's chunks are.
///
/// They start at the minimum and follow the time they take, so the length fits this
/// worker's speed and this part of the range: a slow thread takes small bites.
struct ChunkSizer {
    want: u64,
    /// When the last chunk ended, or the worker began.
    last_ns: u64,
    epoch: u32,
}

impl ChunkSizer {
    fn new<P: Platform>(run: &Run<'_, P>) -> Self {
        Self { want: run.plan.min_chunk, last_ns: run.platform.now_ns(), epoch: run.epoch() }
    }

    /// A chunk of `units` from `cursor` has ended.
    fn chunk_ended<P: Platform>(&mut self, run: &Run<'_, P>, cursor: &Cursor, units: u64) {
        let now_ns = run.platform.now_ns();
        let took_ns = now_ns.saturating_sub(self.last_ns);
        self.last_ns = now_ns;
        if took_ns < SHORT_CHUNK_NS {
            self.want = units.saturating_mul(2);
        } else if took_ns > LONG_CHUNK_NS {
            self.want = units / 2;
        }
        if run.is_governed {
            let epoch = run.epoch();
            if core::mem::replace(&mut self.epoch, epoch) == epoch {
                cursor.sample(units, took_ns);
            }
        }
    }
}
