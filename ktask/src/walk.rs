//! Jobs over things that are not numbers: lists, trees, blocks of a bitmap.
//!
//! The seed of this crate had an iterator callback that steps a position on, called under
//! the job's one mutex. Here chunks are claimed by number as ever, and the positions follow in
//! the order of the numbers.

use core::marker::PhantomData;
use core::ops::Range;

use crate::body::FirstError;
use crate::chunk::RawChunk;
use crate::engine::{Body, ChunkLoop};
use crate::raw::Lock;
use crate::sync::spin_loop;
use crate::{Chunk, Platform, Unit};

/// Looks at the sequencer before a worker that waits for its turn sleeps a little.
const LOOKS: u32 = 200;

/// How long it sleeps then, in nanoseconds: the worker before it was preempted.
const NAP_NS: u64 = 20_000;

/// How far the positions have come.
pub(crate) struct Sequencer<Q> {
    /// Step that `position` is at.
    step: u64,
    position: Q,
    /// The client's function has not come back: it unwound.
    is_lost: bool,
}

impl<Q> Sequencer<Q> {
    pub(crate) fn new(step: u64, position: Q) -> Self {
        Self { step, position, is_lost: false }
    }
}

/// A thread function that is told positions.
pub(crate) struct WalkBody<'b, P, Q, A, F, E, U> {
    pub(crate) platform: &'b P,
    pub(crate) sequencer: Lock<Sequencer<Q>>,
    pub(crate) advance: A,
    pub(crate) thread_fn: F,
    pub(crate) first_error: &'b FirstError<E>,
    pub(crate) unit: PhantomData<fn(U)>,
}

impl<P, Q, A, F, E, U> WalkBody<'_, P, Q, A, F, E, U>
where
    P: Platform,
    Q: Copy + Send,
    A: Fn(Q, u64) -> Q + Sync,
{
    /// The positions of a chunk. Chunks of a job with one range are claimed in order, so
    /// each worker waits only for those that have claimed before it and are on their way
    /// here, and the first of them waits for none. `None` if one of them unwound.
    fn positions(&self, start: u64, end: u64) -> Option<Range<Q>> {
        let mut looks = 0;
        loop {
            let turn = self.sequencer.with(|sequencer| {
                if sequencer.is_lost {
                    return Some(None);
                }
                if sequencer.step != start {
                    return None;
                }
                sequencer.is_lost = true;
                let from = sequencer.position;
                sequencer.position = (self.advance)(from, end - start);
                sequencer.step = end;
                sequencer.is_lost = false;
                Some(Some(from..sequencer.position))
            });
            if let Some(positions) = turn {
                return positions;
            }
            looks += 1;
            if looks % LOOKS == 0 {
                self.platform.park(Some(self.platform.now_ns() + NAP_NS));
            }
            spin_loop();
        }
    }
}

impl<P, Q, A, F, E, U> Body for WalkBody<'_, P, Q, A, F, E, U>
where
    P: Platform,
    Q: Copy + Send,
    A: Fn(Q, u64) -> Q + Sync,
    F: Fn(Chunk<U>, Range<Q>) -> Result<(), E> + Sync,
    E: Send,
    U: Unit,
{
    fn work(&self, chunk_loop: &mut ChunkLoop<'_>) {
        chunk_loop(&mut |chunk: RawChunk| {
            let Some(positions) = self.positions(chunk.start, chunk.end) else { return false };
            let result = (self.thread_fn)(Chunk::from_raw(chunk), positions);
            self.first_error.check(result, chunk.start, chunk.end)
        });
    }
}
