//! The contestant chili, which only joins two calls: loops are cut in halves.

use std::num::NonZero;
use std::ops::Range;

use chili::{Config, Scope, ThreadPool};

/// Starts a pool for `threads` threads, the caller included. One more thread only measures time.
pub fn pool(threads: usize) -> ThreadPool {
    ThreadPool::with_config(Config { thread_count: NonZero::new(threads), ..Config::default() })
}

/// Calls `each` on parts of `items` with at most `grain` items.
pub fn for_each(scope: &mut Scope<'_>, items: Range<u64>, grain: u64, each: &(impl Fn(Range<u64>) + Sync)) {
    let sum_of_none = |part| {
        each(part);
        0
    };
    sum(scope, items, grain, &sum_of_none);
}

/// Returns the wrapping sum of `of` over parts of `items` with at most `grain` items.
pub fn sum(
    scope: &mut Scope<'_>,
    items: Range<u64>,
    grain: u64,
    of: &(impl Fn(Range<u64>) -> u64 + Sync),
) -> u64 {
    if items.end - items.start <= grain {
        return of(items);
    }
    let middle = items.start.midpoint(items.end);
    let (left, right) = scope.join(
        |scope| sum(scope, items.start..middle, grain, of),
        |scope| sum(scope, middle..items.end, grain, of),
    );
    left.wrapping_add(right)
}
