//! Further ways to run a job.

use core::convert::Infallible;
use core::num::NonZero;

use crate::body::{FirstError, PlainBody};
use crate::fixed_cut::FixedCut;
use crate::job::Manner;
use crate::slice::{OrderedBody, SliceBody};
use crate::{Chunk, ChunkResult, Invalid, Job, JobError, ListPart, Platform, Stats, TracedEnding, Unit};

impl<U: Unit> Job<'_, U> {
    /// Runs the job over a mutable slice: each chunk gets the elements of its units.
    ///
    /// `slice` has one element per unit of the range: the first is that of the range's first unit.
    /// Where node ranges leave gaps, it has elements for the gaps too. The rest is as in
    /// [`run`](Self::run). An undo gets unit numbers, not elements.
    ///
    /// ```
    /// # use ktask::{Job, Platform};
    /// /// Halves the samples.
    /// fn halve(platform: &impl Platform, samples: &mut [f32]) {
    ///     let job = Job::new(0..samples.len()).min_chunk(4096);
    ///     let halved = job.for_each_mut(platform, samples, |_chunk, part| {
    ///         part.iter_mut().for_each(|sample| *sample *= 0.5);
    ///     });
    ///     halved.expect("neither cancelled nor invalid");
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run), and [`Invalid::SliceLength`].
    #[inline(never)]
    pub fn for_each_mut<P: Platform, T: Send, R: ChunkResult>(
        &self,
        platform: &P,
        slice: &mut [T],
        thread_fn: impl Fn(Chunk<U>, &mut [T]) -> R + Sync,
    ) -> Result<Stats, JobError<R::Error>> {
        // A range that ends before it starts is another error, found by `execute`.
        if let Some(units) = self.shape.end.checked_sub(self.shape.start) {
            if units != slice.len() as u64 {
                let elements = slice.len();
                return Err(JobError::invalid(Invalid::SliceLength { units, elements }));
            }
        }
        let mut first_error = FirstError::new();
        let body = SliceBody::new(slice, self.shape.start, thread_fn, &first_error);
        let mut stats = Stats::default();
        let ending = self.execute(platform, &body, &mut stats);
        first_error.take_result(ending, &stats)
    }

    /// Runs the job with an accumulator per chunk, so that the result does not depend on the number
    /// of threads or on timing.
    ///
    /// The range is cut into at most as many chunks as `slots` has elements, all of the same length
    /// but the first and the last. The bounds follow from the range, `min_chunk`, `align` and the
    /// number of slots alone. Chunk `n` gets `slots[n]`, with the value that the caller has put there;
    /// slots without a chunk keep it. Combine the slots in order afterwards.
    ///
    /// The caller lends the memory, because a job has none. Four slots per thread balance well; where
    /// the units' costs differ much, use more. The rest is as in [`run`](Self::run).
    ///
    /// ```
    /// # use ktask::{Job, Platform};
    /// /// Adds floating-point numbers, whose sum depends on the order.
    /// fn sum(platform: &impl Platform, numbers: &[f64]) -> f64 {
    ///     let mut sums = [0.0; 64];
    ///     let job = Job::new(0..numbers.len()).min_chunk(1024);
    ///     let added = job.run_ordered(platform, &mut sums, |sum, chunk| {
    ///         *sum = numbers[chunk.range()].iter().sum::<f64>();
    ///     });
    ///     added.expect("neither cancelled nor invalid");
    ///     sums.iter().sum()
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run), [`Invalid::OrderedOverNodes`] if the job has node ranges, and
    /// [`Invalid::TooFewSlots`] if there is no slot, or the chunks would exceed
    /// [`max_chunk`](Self::max_chunk).
    #[inline(never)]
    pub fn run_ordered<P: Platform, A: Send, R: ChunkResult>(
        &self,
        platform: &P,
        slots: &mut [A],
        thread_fn: impl Fn(&mut A, Chunk<U>) -> R + Sync,
    ) -> Result<Stats, JobError<R::Error>> {
        if !self.shape.nodes.is_empty() {
            return Err(JobError::invalid(Invalid::OrderedOverNodes));
        }
        if self.shape.units(platform).map_err(JobError::invalid)? == 0 {
            return Ok(Stats::default());
        }
        let (start, end) = (self.shape.start, self.shape.end);
        let cut = FixedCut::new(start, end, self.shape.min_chunk, self.shape.align, slots.len().max(1));
        let longest = self.shape.longest_chunk();
        if slots.is_empty() || cut.len() > longest {
            let least = cut.count(end, longest);
            return Err(JobError::invalid(Invalid::TooFewSlots { slots: slots.len(), least }));
        }
        let mut first_error = FirstError::new();
        let body = OrderedBody::new(slots, cut, thread_fn, &first_error);
        let mut stats = Stats::default();
        let manner = Manner { chunk_len: NonZero::new(cut.len()), ..Manner::PLAIN };
        let ending = self.execute_in(platform, &body, manner, &mut stats);
        first_error.take_result(ending, &stats)
    }

    /// Runs the job until a call of `thread_fn` returns a value. The other workers stop at their next
    /// chunk. Returns the first value that was found, of any chunk, or `None` if all chunks had none.
    ///
    /// The chunk with the value does not count as completed in [`Stats`]. To end with an error instead,
    /// return `Some(Err(error))`. The rest is as in [`run`](Self::run).
    ///
    /// ```
    /// # use ktask::{Job, Pages, Platform};
    /// /// Returns a page whose checksum is wrong.
    /// fn find_bad(platform: &impl Platform, pages: u64, is_bad: impl Fn(u64) -> bool + Sync) -> Option<u64> {
    ///     let job = Job::new(Pages::new(0)..Pages::new(pages)).max_chunk(Pages::new(1024));
    ///     let (found, _stats) = job
    ///         .find_any(platform, |chunk| chunk.indices().find(|&page| is_bad(page)))
    ///         .expect("neither cancelled nor invalid");
    ///     found
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Cancellation, a passed deadline, or an invalid description; [`Invalid::SearchWithUndo`] if the
    /// job has an undo.
    #[inline(never)]
    pub fn find_any<P: Platform, T: Send>(
        &self,
        platform: &P,
        thread_fn: impl Fn(Chunk<U>) -> Option<T> + Sync,
    ) -> Result<(Option<T>, Stats), JobError<Infallible>> {
        if self.undo.is_some() {
            return Err(JobError::invalid(Invalid::SearchWithUndo));
        }
        // To the engine, the value is the error of its chunk.
        let mut first_found = FirstError::new();
        let search = |chunk| thread_fn(chunk).map_or(Ok(()), Err);
        let body = PlainBody::new(search, &first_found);
        let mut stats = Stats::default();
        let manner = Manner { stopped: TracedEnding::Complete, ..Manner::PLAIN };
        let ending = self.execute_in(platform, &body, manner, &mut stats);
        first_found.take_found(ending, &stats)
    }

    /// Runs the job over a linked list, from `first` on: each chunk gets its nodes.
    ///
    /// `next` returns the node after a node. If the list ends before the range does, the last chunks
    /// get fewer nodes than units, or none. One worker at a time calls `next` to find where chunks
    /// begin; each calls it again for its own nodes. The rest is as in [`run_walk`](Self::run_walk).
    ///
    /// ```
    /// # use ktask::{Items, Job, Platform};
    /// struct Node {
    ///     value: u64,
    ///     next: Option<Box<Node>>,
    /// }
    ///
    /// /// Returns whether a node has the value.
    /// fn contains(platform: &impl Platform, first: Option<&Node>, count: u64, value: u64) -> bool {
    ///     let found = std::sync::atomic::AtomicBool::new(false);
    ///     let job = Job::new(Items::new(0)..Items::new(count)).min_chunk(Items::new(100));
    ///     let walked = job.run_list(platform, first, |node| node.next.as_deref(), |_chunk, mut nodes| {
    ///         if nodes.any(|node| node.value == value) {
    ///             found.store(true, std::sync::atomic::Ordering::Relaxed);
    ///         }
    ///     });
    ///     walked.expect("neither cancelled nor invalid");
    ///     found.into_inner()
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`run_walk`](Self::run_walk).
    pub fn run_list<'n, P: Platform, N: Sync, R: ChunkResult>(
        &self,
        platform: &P,
        first: Option<&'n N>,
        next: impl Fn(&'n N) -> Option<&'n N> + Sync,
        thread_fn: impl Fn(Chunk<U>, ListPart<'_, 'n, N>) -> R + Sync,
    ) -> Result<Stats, JobError<R::Error>> {
        let advance = |mut at: Option<&'n N>, steps: u64| {
            for _ in 0..steps {
                at = next(at?);
            }
            at
        };
        self.run_walk(platform, first, advance, |chunk: Chunk<U>, nodes| {
            thread_fn(chunk, ListPart::new(nodes.start, chunk.len().raw(), &next))
        })
    }

    /// Starts the job on helpers, calls `meanwhile` on the calling thread, and then works and waits as
    /// [`run`](Self::run) does. Returns the result of `meanwhile`.
    ///
    /// Helpers start at once, however small the job is, and have the work to themselves until
    /// `meanwhile` returns. Where no helper is available, the work begins then. No call of `thread_fn`
    /// outlives `run_beside`, so both closures may borrow from the caller. To end the job from
    /// `meanwhile`, cancel its token.
    ///
    /// ```
    /// # use ktask::{Job, Pages, Platform};
    /// # fn zero(_pages: std::ops::Range<u64>) {}
    /// # fn load_program() -> u32 { 7 }
    /// /// Zeroes pages while it loads the program that will use them.
    /// fn prepare(platform: &impl Platform) -> u32 {
    ///     let job = Job::new(Pages::new(0)..Pages::new(4096)).min_chunk(Pages::new(64));
    ///     let (program, _stats) = job
    ///         .run_beside(platform, |chunk| zero(chunk.indices()), load_program)
    ///         .expect("neither cancelled nor invalid");
    ///     program
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`run`](Self::run). `meanwhile` is not called if the description is invalid; otherwise
    /// its result is dropped. A panic of `meanwhile` ends the job as one of `thread_fn` does.
    #[inline(never)]
    pub fn run_beside<P: Platform, R: ChunkResult, T>(
        &self,
        platform: &P,
        thread_fn: impl Fn(Chunk<U>) -> R + Sync,
        meanwhile: impl FnOnce() -> T,
    ) -> Result<(T, Stats), JobError<R::Error>> {
        let mut first_error = FirstError::new();
        let body = PlainBody::new(thread_fn, &first_error);
        let mut meanwhile = Some(meanwhile);
        let mut returned = None;
        let mut call = || {
            if let Some(meanwhile) = meanwhile.take() {
                returned = Some(meanwhile());
            }
        };
        let manner = Manner { meanwhile: Some(&mut call), ..Manner::PLAIN };
        let mut stats = Stats::default();
        let ending = self.execute_in(platform, &body, manner, &mut stats);
        // A job without units has not called it.
        if ending.is_ok() {
            call();
        }
        first_error.take_result_with(ending, &stats, || match returned {
            Some(returned) => returned,
            None => unreachable!("meanwhile was called"),
        })
    }
}
