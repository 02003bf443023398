//! The contestant paralight.

use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use paralight::prelude::*;

/// A pool with its work-stealing strategy. paralight wants its pool mutable, and contestants share it.
pub struct Pool {
    pool: Mutex<ThreadPool>,
}

impl Pool {
    /// Starts a pool of `threads` threads, at least 1.
    pub fn new(threads: usize) -> Self {
        let builder = ThreadPoolBuilder {
            num_threads: ThreadCount::Count(NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN)),
            range_strategy: RangeStrategy::WorkStealing,
            cpu_pinning: CpuPinningPolicy::No,
        };
        Self { pool: Mutex::new(builder.build()) }
    }

    /// Calls `each` with every number below `items`.
    pub fn for_each(&self, items: u64, each: impl Fn(u64) + Sync) {
        let mut pool = self.lock();
        (0..items as usize).into_par_iter().with_thread_pool(&mut *pool).for_each(|item| each(item as u64));
    }

    /// Returns the wrapping sum of `of` over every number below `items`.
    pub fn sum(&self, items: u64, of: impl Fn(u64) -> u64 + Sync) -> u64 {
        let mut pool = self.lock();
        let items = (0..items as usize).into_par_iter().with_thread_pool(&mut *pool);
        items.map(|item| of(item as u64)).reduce(|| 0, u64::wrapping_add)
    }

    /// Calls `change` with every word.
    pub fn for_each_mut(&self, words: &mut [u64], change: impl Fn(&mut u64) + Sync) {
        words.par_iter_mut().with_thread_pool(&mut *self.lock()).for_each(change);
    }

    fn lock(&self) -> MutexGuard<'_, ThreadPool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
