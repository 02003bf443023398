//! Checks of a [`Platform`], for the authors of platforms.
//!
//! Each check is a function that takes the platform, allocates nothing and needs no test harness. So it
//! runs in a booted kernel as well as in `cargo test`. [`run_all`] runs all checks in the order of
//! [`checks`], in which each relies on those before it:
//!
//! ```
//! # use ktask::{Platform, conformance};
//! # fn check(platform: &impl Platform) {
//! conformance::run_all(platform).unwrap();
//! # }
//! ```
//!
//! # How to port ktask
//!
//! 1. Implement [`Platform`] as `examples/own_platform.rs` does: six methods and a thread type.
//! 2. Run the checks in the kernel, with two CPUs and with one, on an idle machine and on a busy one.
//!    Print [`Check::name`] before each: a platform that loses a thread, or waits where it must not,
//!    hangs in the check that finds it.
//! 3. Add what the scheduler can do, a method at a time: nodes, CPU time, taking back, lending, locks.
//!    Run the checks again.
//!
//! # What a check needs
//!
//! The calling thread runs jobs and parks, so it must be allowed to block. Other jobs may run, but not
//! use up the pool of helpers. A check that needs a helper passes if the platform never has one: fewer
//! threads are slower, not wrong. A check takes milliseconds on a platform that passes, and gives up
//! after ten seconds of [`now_ns`](Platform::now_ns).

mod broken;
mod jobs;
mod machine;
mod pair;
mod parking;
mod patience;

use crate::Platform;

pub use broken::ConformanceError;
pub use jobs::{
    completed_units_are_undone, contexts_nest, every_unit_once, helpers_run_beside_the_caller,
    jobs_under_a_lock_end, late_helpers_are_harmless, nested_jobs_end,
};
pub use machine::{clocks_advance, cpus_are_counted, nodes_are_counted};
pub use parking::{park_ends_at_its_deadline, unpark_is_remembered, unpark_wakes};

/// One check.
#[derive(Debug)]
pub struct Check<P> {
    /// Name of the check's function.
    pub name: &'static str,
    /// The function.
    pub run: fn(&P) -> Result<(), ConformanceError>,
}

/// Returns all checks, in the order in which they are to be run.
#[must_use]
pub fn checks<P: Platform>() -> [Check<P>; 13] {
    [
        Check { name: machine::CLOCKS, run: clocks_advance },
        Check { name: machine::CPUS, run: cpus_are_counted },
        Check { name: machine::NODES, run: nodes_are_counted },
        Check { name: parking::DEADLINE, run: park_ends_at_its_deadline },
        Check { name: parking::REMEMBERED, run: unpark_is_remembered },
        Check { name: jobs::BESIDE, run: helpers_run_beside_the_caller },
        Check { name: parking::WAKES, run: unpark_wakes },
        Check { name: jobs::ONCE, run: every_unit_once },
        Check { name: jobs::UNDONE, run: completed_units_are_undone },
        Check { name: jobs::LATE, run: late_helpers_are_harmless },
        Check { name: jobs::NESTED, run: nested_jobs_end },
        Check { name: jobs::LOCKED, run: jobs_under_a_lock_end },
        Check { name: jobs::CONTEXTS, run: contexts_nest },
    ]
}

/// Runs all checks.
///
/// # Errors
///
/// The first rule that the platform breaks. The checks after it are not run.
pub fn run_all<P: Platform>(platform: &P) -> Result<(), ConformanceError> {
    checks().iter().try_for_each(|check| (check.run)(platform))
}
