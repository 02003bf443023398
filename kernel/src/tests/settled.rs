//! What suites wait for, and what they compare before and after.

use frames::PAGE_SIZE;

use crate::arch::tsc;
use crate::debug::ktest::{Stopped, TestResult};
use crate::mm::{descriptors, kept};
use crate::sched;

/// Skips the test on a machine with less memory than `mib`: by what the machine has, not by what is free, so that
/// memory that was lost makes no test skip.
pub(super) fn needs_mib(mib: u64) -> TestResult {
    let has_mib = (descriptors::layout().described_pages() * PAGE_SIZE).div_ceil(1 << 20);
    if has_mib < mib { Err(Stopped::Skipped("needs a machine with more memory")) } else { Ok(()) }
}

/// Waits until `condition` holds; false after 20 s.
pub(super) fn within_20_s(condition: impl Fn() -> bool) -> bool {
    let start_ns = tsc::now_ns();
    while !condition() {
        if tsc::now_ns() - start_ns > 20_000_000_000 {
            return false;
        }
        sched::sleep_ns(1_000_000);
    }
    true
}

/// Page frames that nobody holds or that the kernel keeps for good: the same after whatever gives back what it takes,
/// though a job has a worker made, with a stack, where the ones that there are happen to be busy.
pub(super) fn pages_free_or_kept() -> u64 {
    loop {
        match kept::pages_free_or_kept() {
            Some(sum) => return sum,
            None => sched::yield_now(),
        }
    }
}
