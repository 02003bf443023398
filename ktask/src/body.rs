//! The client's closures as the engine sees them.

use core::marker::PhantomData;

use crate::chunk::RawChunk;
use crate::engine::{Body, ChunkLoop, Ending};
use crate::raw::Lock;
use crate::{Cause, Chunk, JobError, Stats, Unit};

/// The first error of all workers and the chunk it came from.
pub(crate) struct FirstError<E> {
    kept: Lock<Option<Failure<E>>>,
}

struct Failure<E> {
    error: E,
    start: u64,
    end: u64,
}

impl<E> FirstError<E> {
    pub(crate) fn new() -> Self {
        Self { kept: Lock::new(None) }
    }

    /// Keeps an error of the chunk `start..end`, unless there is one already; true if
    /// there was no error to keep.
    pub(crate) fn check(&self, result: Result<(), E>, start: u64, end: u64) -> bool {
        match result {
            Ok(()) => true,
            Err(error) => {
                let failure = Failure { error, start, end };
                self.kept.with(|kept| _ = kept.get_or_insert(failure));
                false
            }
        }
    }

    /// What the client is told.
    pub(crate) fn into_result(self, ending: Ending, stats: Stats) -> Result<Stats, JobError<E>> {
        let cause = match (self.kept.into_inner(), ending) {
            // An error that came after a cancellation is still the more telling one.
            (Some(Failure { error, start, end }), _) => Cause::Failed { error, start, end },
            (None, Ending::Complete) => return Ok(stats),
            (None, Ending::Cancelled) => Cause::Cancelled,
            (None, Ending::DeadlinePassed) => Cause::DeadlinePassed,
            (None, Ending::Failed) => unreachable!("a failure without error is a panic"),
        };
        Err(JobError { cause, stats })
    }
}

/// A thread function alone.
pub(crate) struct PlainBody<'b, F, E, U> {
    pub(crate) thread_fn: F,
    pub(crate) first_error: &'b FirstError<E>,
    pub(crate) unit: PhantomData<fn(U)>,
}

impl<U, F, E> Body for PlainBody<'_, F, E, U>
where
    U: Unit,
    E: Send,
    F: Fn(Chunk<U>) -> Result<(), E> + Sync,
{
    fn work(&self, chunk_loop: &mut ChunkLoop<'_>) {
        chunk_loop(&mut |chunk: RawChunk| {
            let result = (self.thread_fn)(Chunk::from_raw(chunk));
            self.first_error.check(result, chunk.start, chunk.end)
        });
    }
}

/// A thread function with an accumulator per worker.
pub(crate) struct ReduceBody<'b, I, F, M, A, E, U> {
    pub(crate) init: I,
    pub(crate) thread_fn: F,
    pub(crate) merge: M,
    pub(crate) merged: &'b Lock<Option<A>>,
    pub(crate) first_error: &'b FirstError<E>,
    pub(crate) unit: PhantomData<fn(U)>,
}

impl<U, I, F, M, A, E> Body for ReduceBody<'_, I, F, M, A, E, U>
where
    U: Unit,
    A: Send,
    E: Send,
    I: Fn() -> A + Sync,
    F: Fn(&mut A, Chunk<U>) -> Result<(), E> + Sync,
    M: Fn(A, A) -> A + Sync,
{
    fn work(&self, chunk_loop: &mut ChunkLoop<'_>) {
        let mut own = (self.init)();
        chunk_loop(&mut |chunk: RawChunk| {
            let result = (self.thread_fn)(&mut own, Chunk::from_raw(chunk));
            self.first_error.check(result, chunk.start, chunk.end)
        });
        // The client's merge runs outside the lock: leave mine if there is none to merge
        // with, else take the other one away, merge the two, and try again.
        let mut own = Some(own);
        while let Some(mine) = own.take() {
            let both = self.merged.with(|kept| match kept.take() {
                None => {
                    *kept = Some(mine);
                    None
                }
                Some(other) => Some((other, mine)),
            });
            own = both.map(|(other, mine)| (self.merge)(other, mine));
        }
    }
}
