//! Mutable slices whose elements are shared out among the workers of a job.
//!
//! # Why no two workers have the same element
//!
//! Each chunk gets the elements whose indices follow from its units alone. So two chunks that share
//! no unit share no element, and the exactly-once contract of the crate keeps references apart:
//!
//! 1. Only the engine calls `Body::work`. A body of this module is made, passed to one run of the
//!    engine and dropped, in one function.
//! 2. In one run, each chunk is the result of one successful claim of a [`Cursor`], and no two
//!    claims share a unit: see [`Cursor`] for one range. The ranges of a job are disjoint, because
//!    `Shape` has checked the same plain numbers from which the cursors are made. No code of the
//!    client or the platform is asked for them again ([`NodeRange`]).
//! 3. The engine calls the body once for each chunk. The undo has a separate body, which has no
//!    slice.
//! 4. No call of the body outlives the run, and the slice is borrowed for longer than the run.
//!
//! A platform can run tasks late, twice at a time, on its caller or never. It has no part in the
//! four steps.
//!
//! [`Cursor`]: crate::cursor::Cursor
//! [`NodeRange`]: crate::NodeRange
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::body::FirstError;
use crate::chunk::RawChunk;
use crate::engine::{Body, ChunkLoop};
use crate::fixed_cut::FixedCut;
use crate::{Chunk, ChunkResult, Unit};

/// A mutable slice, to be lent in parts.
struct Parts<'s, T> {
    first: NonNull<T>,
    count: usize,
    slice: PhantomData<&'s mut [T]>,
}

// SAFETY: a shared `Parts` only lends disjoint parts (precondition of `lend`), so it sends each
// element to one thread at a time, and `T: Send`.
unsafe impl<T: Send> Sync for Parts<'_, T> {}

impl<'s, T> Parts<'s, T> {
    fn new(slice: &'s mut [T]) -> Self {
        Self { count: slice.len(), first: NonNull::from(slice).cast(), slice: PhantomData }
    }

    /// Returns the `count` elements from index `start`.
    ///
    /// # Panics
    ///
    /// If the slice has not that many.
    ///
    /// # Safety
    ///
    /// While the result is used, no other result that shares an element with it is used.
    #[expect(clippy::mut_from_ref, reason = "the caller keeps the results disjoint")]
    unsafe fn lend(&self, start: u64, count: u64) -> &mut [T] {
        let end = start.checked_add(count).and_then(|end| usize::try_from(end).ok());
        let Some(end) = end.filter(|&end| end <= self.count) else {
            panic!("ktask: {count} elements from {start} of a slice of {}", self.count);
        };
        let start = end - count as usize;
        // SAFETY: `start <= end <= self.count`, so pointer and elements lie in the slice (or one
        // past it, with no element), which is borrowed mutably for 's. It outlives `self` and so the
        // result. No other reference to these elements is used: the slice's owner has lent it to
        // `self`, and the caller keeps the results apart.
        unsafe { core::slice::from_raw_parts_mut(self.first.as_ptr().add(start), end - start) }
    }
}

/// A thread function that gets its chunk's part of a slice.
pub(crate) struct SliceBody<'b, T, F, E, U> {
    parts: Parts<'b, T>,
    /// The unit of the slice's first element.
    start: u64,
    thread_fn: F,
    first_error: &'b FirstError<E>,
    unit: PhantomData<fn(U)>,
}

impl<'b, T, F, E, U> SliceBody<'b, T, F, E, U> {
    pub(crate) fn new(slice: &'b mut [T], start: u64, thread_fn: F, first_error: &'b FirstError<E>) -> Self {
        Self { parts: Parts::new(slice), start, thread_fn, first_error, unit: PhantomData }
    }
}

impl<T, F, R, U> Body for SliceBody<'_, T, F, R::Error, U>
where
    T: Send,
    U: Unit,
    R: ChunkResult,
    F: Fn(Chunk<U>, &mut [T]) -> R + Sync,
{
    fn work(&self, chunk_loop: &mut ChunkLoop<'_>) {
        chunk_loop(&mut |chunk: &RawChunk| {
            // SAFETY: the elements are those of the chunk's units, and no other chunk of this run has
            // these units (module proof, 1 to 3). The part is not used after this call.
            let part = unsafe { self.parts.lend(chunk.start - self.start, chunk.end - chunk.start) };
            let result = (self.thread_fn)(Chunk::from_raw(chunk), part);
            self.first_error.check(result, chunk.start, chunk.end)
        });
    }
}

/// A thread function with an accumulator per chunk.
pub(crate) struct OrderedBody<'b, A, F, E, U> {
    slots: Parts<'b, A>,
    cut: FixedCut,
    thread_fn: F,
    first_error: &'b FirstError<E>,
    unit: PhantomData<fn(U)>,
}

impl<'b, A, F, E, U> OrderedBody<'b, A, F, E, U> {
    /// Makes a body whose chunk number `n` of `cut` has element `n` of `slots`.
    pub(crate) fn new(
        slots: &'b mut [A],
        cut: FixedCut,
        thread_fn: F,
        first_error: &'b FirstError<E>,
    ) -> Self {
        Self { slots: Parts::new(slots), cut, thread_fn, first_error, unit: PhantomData }
    }
}

impl<A, F, R, U> Body for OrderedBody<'_, A, F, R::Error, U>
where
    A: Send,
    U: Unit,
    R: ChunkResult,
    F: Fn(&mut A, Chunk<U>) -> R + Sync,
{
    fn work(&self, chunk_loop: &mut ChunkLoop<'_>) {
        chunk_loop(&mut |chunk: &RawChunk| {
            let Some(index) = self.cut.index(chunk.start) else {
                panic!(
                    "ktask: chunk {}..{} of an ordered job is not one of its chunks",
                    chunk.start, chunk.end
                );
            };
            // SAFETY: no other chunk of this run begins at the same unit (module proof, 1 to 3), and
            // different starts have different indices. The slot is not used after this call.
            let slot = unsafe { self.slots.lend(index as u64, 1) };
            let result = (self.thread_fn)(&mut slot[0], Chunk::from_raw(chunk));
            self.first_error.check(result, chunk.start, chunk.end)
        });
    }
}
