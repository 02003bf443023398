//! What suites wait for, and what they compare before and after.

use frames::PAGE_SIZE;

use crate::arch::tsc;
use crate::debug::ktest::{Stopped, TestResult};
use crate::mm::{descriptors, permanent};
use crate::sched;

/// Skips the test on a machine with less memory than `mib`: by what the machine has, not by what is free, so that
/// memory that was lost makes no test skip.
pub(super) fn needs_mib(mib: u64) -> TestResult {
    let has_mib = (descriptors::layout().described_pages() * PAGE_SIZE).div_ceil(1 << 20);
    if has_mib < mib { Err(Stopped::Skipped("needs a machine with more memory")) } else { Ok(()) }
}

/// What a test waits at most for what should come at once. Time is counted by looks: a machine that was stopped for a while
/// has looked once in that time, which counts for [`LOOK_MOST_NS`](Self::LOOK_MOST_NS) at most.
pub(super) struct Patience {
    left_ns: u64,
    looked_ns: u64,
}

impl Patience {
    const LOOK_MOST_NS: u64 = 1_000_000_000;

    /// Lasts for `ns`.
    pub(super) fn new(ns: u64) -> Self {
        Self { left_ns: ns, looked_ns: tsc::now_ns() }
    }

    /// To be asked at each look: whether it is worth another one.
    pub(super) fn lasts(&mut self) -> bool {
        let now_ns = tsc::now_ns();
        let looked_ns = core::mem::replace(&mut self.looked_ns, now_ns);
        self.left_ns = self.left_ns.saturating_sub((now_ns - looked_ns).min(Self::LOOK_MOST_NS));
        self.left_ns > 0
    }
}

/// Sleeps for `ns`; returns how much of that was seen to pass: a machine that was stopped meanwhile has not run as long.
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

/// Page frames that nobody holds or that the kernel keeps for good: the same after whatever gives back what it takes,
/// though a job has a worker made, with a stack, where the ones that there are happen to be busy.
pub(super) fn free_or_permanent_pages() -> u64 {
    loop {
        match permanent::free_or_permanent_pages() {
            Some(sum) => return sum,
            None => sched::yield_now(),
        }
    }
}
