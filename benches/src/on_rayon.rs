//! The contestant rayon.

use rayon::ThreadPool;
use rayon::prelude::*;

/// Calls `each` with every number below `items`.
pub fn for_each(pool: &ThreadPool, items: u64, each: impl Fn(u64) + Sync + Send) {
    pool.install(|| (0..items).into_par_iter().for_each(each));
}

/// Calls `each` with every number below `items`, of which each may be stolen alone.
pub fn for_each_alone(pool: &ThreadPool, items: u64, each: impl Fn(u64) + Sync + Send) {
    pool.install(|| (0..items as usize).into_par_iter().with_max_len(1).for_each(|item| each(item as u64)));
}

/// Returns the wrapping sum of `of` over every number below `items`.
pub fn sum(pool: &ThreadPool, items: u64, of: impl Fn(u64) -> u64 + Sync + Send) -> u64 {
    pool.install(|| (0..items).into_par_iter().map(of).reduce(|| 0, u64::wrapping_add))
}

/// Calls `change` with every word.
pub fn for_each_mut(pool: &ThreadPool, words: &mut [u64], change: impl Fn(&mut u64) + Sync + Send) {
    pool.install(|| words.par_iter_mut().for_each(change));
}
