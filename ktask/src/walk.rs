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
use crate::raw::TurnLock;
use crate::{Chunk, ChunkResult, Platform, Unit};

/// A thread function that gets positions, as the body of a job.
pub(crate) struct WalkBody<'b, P: Platform, Q, A, F, E, U> {
    pub(crate) platform: &'b P,
    /// The position of the unit whose turn it is.
    pub(crate) position: TurnLock<P, Q>,
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
        self.position.in_turn(self.platform, start, end, |position| {
            let from = *position;
            *position = (self.advance)(from, end - start);
            from..*position
        })
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
        chunk_loop(&mut |chunk: &RawChunk| {
            let Some(positions) = self.positions(chunk.start, chunk.end) else { return false };
            let result = (self.thread_fn)(Chunk::from_raw(chunk), positions);
            self.first_error.check(result, chunk.start, chunk.end)
        });
    }
}
