//! Jobs over sequences that can only be stepped through: lists, trees, blocks of a bitmap.
//!
//! The kernel patches that this crate is named after had an iterator callback that advanced a
//! position, called under the job's only mutex. Here chunks are claimed by number, as in every
//! job, and their positions are determined in the order of the numbers.

use core::marker::PhantomData;
use core::ops::Range;

use crate::body::FirstError;
use crate::chunk::RawChunk;
use crate::engine::{Body, ChunkLoop};
use crate::raw::Lock;
use crate::sync::spin_loop;
use crate::{Chunk, ChunkResult, Platform, Unit};

/// Polls of the sequencer after which a waiting worker sleeps.
const POLLS: u32 = 200;

/// Length of that sleep, in nanoseconds. The previous worker was probably preempted.
const SLEEP_NS: u64 = 20_000;

/// The progress of the positions.
pub(crate) struct Sequencer<Q> {
    /// Number of the unit at `position`.
    step: u64,
    position: Q,
    /// Whether the client's function unwound, so that `position` is unknown.
    is_lost: bool,
}

impl<Q> Sequencer<Q> {
    pub(crate) fn new(step: u64, position: Q) -> Self {
        Self { step, position, is_lost: false }
    }
}

/// A thread function that gets positions, as the body of a job.
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
    /// Returns the positions of the chunk `start..end`, or `None` if a worker unwound in `advance`.
    ///
    /// A job with one range claims its chunks in order. So each worker waits only for workers that
    /// have claimed earlier chunks and are about to call this. The first of them waits for none.
    fn positions(&self, start: u64, end: u64) -> Option<Range<Q>> {
        let mut polls = 0;
        loop {
            let result = self.sequencer.with(|sequencer| {
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
            if let Some(positions) = result {
                return positions;
            }
            polls += 1;
            if polls % POLLS == 0 {
                self.platform.park(Some(self.platform.now_ns() + SLEEP_NS));
            }
            spin_loop();
        }
    }
}

impl<P, Q, A, F, R, U> Body for WalkBody<'_, P, Q, A, F, R::Error, U>
where
    P: Platform,
    Q: Copy + Send,
    A: Fn(Q, u64) -> Q + Sync,
    F: Fn(Chunk<U>, Range<Q>) -> R + Sync,
    R: ChunkResult,
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
