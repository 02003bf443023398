//! Helpers that wait, for all suites, and the page count that they compare before and after.

use alloc::string::String;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use params::Param;
use params::registry::{KTASK_ENABLED, KTASK_MAX_THREADS};

use crate::arch::tsc;
use crate::jobs::{evict_cache, leaks};
use crate::sched::snapshot::{self, ThreadReport, ThreadState};
use crate::sched::wait::WaitQueue;
use crate::sched::{self, Thread};

/// How long a test waits for an event that should come at once. Time is counted by looks: each counts for
/// [`LOOK_MOST_NS`](Self::LOOK_MOST_NS) at most, also if the machine was stopped meanwhile.
pub(super) struct Patience {
    left_ns: u64,
    looked_ns: u64,
}

impl Patience {
    const LOOK_MOST_NS: u64 = 1_000_000_000;

    /// Makes a patience of `ns`.
    pub(super) fn new(ns: u64) -> Self {
        Self { left_ns: ns, looked_ns: tsc::now_ns() }
    }

    /// Counts a look, and says whether another one is worth it.
    pub(super) fn lasts(&mut self) -> bool {
        let now_ns = tsc::now_ns();
        let looked_ns = core::mem::replace(&mut self.looked_ns, now_ns);
        self.left_ns = self.left_ns.saturating_sub((now_ns - looked_ns).min(Self::LOOK_MOST_NS));
        self.left_ns > 0
    }
}

/// Sleeps for `ns`, and returns the time counted by looks: less, if the machine was stopped meanwhile.
pub(super) fn sleep_and_see(ns: u64) -> u64 {
    const LOOK_NS: u64 = 5_000_000;
    let (start_ns, mut looked_ns, mut seen_ns) = (tsc::now_ns(), tsc::now_ns(), 0);
    while looked_ns - start_ns < ns {
        sched::sleep_ns(LOOK_NS);
        let before_ns = core::mem::replace(&mut looked_ns, tsc::now_ns());
        seen_ns += (looked_ns - before_ns).min(20 * LOOK_NS);
    }
    seen_ns
}

/// Waits until `condition` holds; false after 20 s of looks.
pub(super) fn within_20_s(condition: impl Fn() -> bool) -> bool {
    within(20_000_000_000, condition)
}

/// The round that ends [`each_round`].
pub(super) const NO_MORE_ROUNDS: u64 = u64::MAX;

/// Waits in `queue` for one number after the other in `round`, which grow from 1 on, and calls `ran` with each.
pub(super) fn each_round(queue: &WaitQueue, round: &AtomicU64, ran: impl Fn(u64)) {
    let mut number = 0;
    loop {
        queue.wait_until(|| round.load(SeqCst) > number);
        number = round.load(SeqCst);
        if number == NO_MORE_ROUNDS {
            return;
        }
        ran(number);
    }
}

/// Waits until `condition` holds; false after `ns` of looks.
pub(super) fn within(ns: u64, condition: impl Fn() -> bool) -> bool {
    let mut patience = Patience::new(ns);
    while !condition() {
        if !patience.lasts() {
            return false;
        }
        sched::sleep_ns(1_000_000);
    }
    true
}

/// Evicts the pages of closed files, then returns the number of free and permanent pages. Work that leaks nothing does not
/// change it, although any job may create a worker, with a stack, when all workers are busy, and may evict pages that an
/// earlier test left in the cache.
pub(super) fn free_or_permanent_pages() -> u64 {
    evict_cache::evict_unused(None);
    leaks::free_or_permanent_pages()
}

/// Returns the report of `thread`; `None` when it is not listed.
pub(super) fn report_of(thread: &Thread) -> Option<ThreadReport> {
    snapshot::threads().find(|report| core::ptr::eq(&**report.thread(), thread))
}

/// Waits until the report of `thread` says `state`; returns false after 20 s.
pub(super) fn reaches_state(thread: &Thread, state: ThreadState) -> bool {
    within_20_s(|| report_of(thread).is_some_and(|report| report.state == state))
}

/// Sets `param` to `value` while `work` runs.
pub(super) fn with_param<R>(param: &dyn Param, value: &str, work: impl FnOnce() -> R) -> R {
    let mut before = String::new();
    param.write_value(&mut before).expect("writing to a string cannot fail");
    assert!(param.set(value).is_ok(), "{value} is refused");
    let result = work();
    assert!(param.set(&before).is_ok(), "{before} is refused");
    result
}

/// Whether jobs may have helpers.
pub(super) fn jobs_have_helpers() -> bool {
    KTASK_ENABLED.get() && KTASK_MAX_THREADS.get() != 1
}
