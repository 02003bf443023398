//! The client's closures as bodies for the engine.

use core::convert::Infallible;
use core::marker::PhantomData;

use crate::chunk::RawChunk;
use crate::engine::{Body, ChunkLoop, Ending};
use crate::raw::{FirstOf, TurnLock};
use crate::{Cause, Chunk, ChunkResult, Invalid, JobError, Platform, Stats, Unit};

/// The first error of all workers, with its chunk.
pub(crate) struct FirstError<E> {
    kept: FirstOf<Failure<E>>,
}

struct Failure<E> {
    error: E,
    start: u64,
    end: u64,
}

impl<E> FirstError<E> {
    pub(crate) fn new() -> Self {
        Self { kept: FirstOf::new() }
    }

    /// Keeps the error of the chunk `start..end`, if `result` is the job's first error. Returns
    /// whether `result` is `Ok`.
    pub(crate) fn check(&self, result: impl ChunkResult<Error = E>, start: u64, end: u64) -> bool {
        match result.into_result() {
            Ok(()) => true,
            Err(error) => {
                self.kept.offer(Failure { error, start, end });
                false
            }
        }
    }

    /// Takes the error out, and returns the result of the job for the client.
    ///
    /// Never inlined: a job should not have this frame on its caller's stack.
    #[inline(never)]
    pub(crate) fn take_result(
        &mut self,
        ending: Result<Ending, Invalid>,
        stats: &Stats,
    ) -> Result<Stats, JobError<E>> {
        let stats = *stats;
        let ending = ending.map_err(JobError::invalid)?;
        let cause = match (self.kept.take(), ending) {
            // An error that came after a cancellation is still the more useful cause.
            (Some(Failure { error, start, end }), _) => Cause::Failed { error, start, end },
            (None, Ending::Complete) => return Ok(stats),
            (None, Ending::Cancelled) => Cause::Cancelled,
            (None, Ending::DeadlinePassed) => Cause::DeadlinePassed,
            (None, Ending::Failed) => unreachable!("a failure without error is a panic"),
        };
        Err(JobError { cause, stats })
    }

    /// Returns the result of the job with a value.
    ///
    /// Never inlined: see [`take_result`](Self::take_result).
    #[inline(never)]
    pub(crate) fn take_result_with<T>(
        &mut self,
        ending: Result<Ending, Invalid>,
        stats: &Stats,
        value: impl FnOnce() -> T,
    ) -> Result<(T, Stats), JobError<E>> {
        self.take_result(ending, stats).map(|stats| (value(), stats))
    }
}

impl<T> FirstError<T> {
    /// Returns the result of a search, whose errors are what was found.
    ///
    /// Never inlined: see [`take_result`](Self::take_result).
    #[inline(never)]
    pub(crate) fn take_found(
        &mut self,
        ending: Result<Ending, Invalid>,
        stats: &Stats,
    ) -> Result<(Option<T>, Stats), JobError<Infallible>> {
        let stopped = match self.take_result(ending, stats) {
            Ok(stats) => return Ok((None, stats)),
            Err(stopped) => stopped,
        };
        let cause = match stopped.cause {
            Cause::Failed { error: found, .. } => return Ok((Some(found), stopped.stats)),
            Cause::Cancelled => Cause::Cancelled,
            Cause::DeadlinePassed => Cause::DeadlinePassed,
            Cause::Invalid(invalid) => Cause::Invalid(invalid),
        };
        Err(JobError { cause, stats: stopped.stats })
    }
}

/// A thread function without accumulator.
pub(crate) struct PlainBody<'b, F, E, U> {
    thread_fn: F,
    first_error: &'b FirstError<E>,
    unit: PhantomData<fn(U)>,
}

impl<'b, F, E, U> PlainBody<'b, F, E, U> {
    pub(crate) fn new(thread_fn: F, first_error: &'b FirstError<E>) -> Self {
        Self { thread_fn, first_error, unit: PhantomData }
    }
}

impl<U, F, R> Body for PlainBody<'_, F, R::Error, U>
where
    U: Unit,
    R: ChunkResult,
    F: Fn(Chunk<U>) -> R + Sync,
{
    fn work(&self, chunk_loop: &mut ChunkLoop<'_>) {
        chunk_loop(&mut |chunk: &RawChunk| {
            let result = (self.thread_fn)(Chunk::from_raw(chunk));
            self.first_error.check(result, chunk.start, chunk.end)
        });
    }
}

/// A thread function with an accumulator per worker.
pub(crate) struct ReduceBody<'b, P: Platform, I, F, M, A, E, U> {
    pub(crate) platform: &'b P,
    pub(crate) init: I,
    pub(crate) thread_fn: F,
    pub(crate) merge: M,
    pub(crate) merged: &'b TurnLock<P, Option<A>>,
    pub(crate) first_error: &'b FirstError<E>,
    pub(crate) unit: PhantomData<fn(U)>,
}

impl<P, U, I, F, M, A, R> Body for ReduceBody<'_, P, I, F, M, A, R::Error, U>
where
    P: Platform,
    U: Unit,
    A: Send,
    R: ChunkResult,
    I: Fn() -> A + Sync,
    F: Fn(&mut A, Chunk<U>) -> R + Sync,
    M: Fn(A, A) -> A + Sync,
{
    fn has_tail(&self) -> bool {
        true
    }

    fn work(&self, chunk_loop: &mut ChunkLoop<'_>) {
        let mut accumulator = (self.init)();
        chunk_loop(&mut |chunk: &RawChunk| {
            let result = (self.thread_fn)(&mut accumulator, Chunk::from_raw(chunk));
            self.first_error.check(result, chunk.start, chunk.end)
        });
        // The client's merge runs outside the lock. If no other accumulator is in `merged`, store
        // this one there; else take the other out, merge the two, and try again.
        let mut accumulator = Some(accumulator);
        while let Some(own) = accumulator.take() {
            let both = self.merged.with(self.platform, |merged| match merged.take() {
                None => {
                    *merged = Some(own);
                    None
                }
                Some(other) => Some((other, own)),
            });
            accumulator = both.map(|(other, own)| (self.merge)(other, own));
        }
    }
}
