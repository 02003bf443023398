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

mod jobs;
mod machine;
mod pair;
mod parking;

use core::fmt;

use crate::Platform;

pub use jobs::{
    completed_units_are_undone, contexts_nest, every_unit_once, helpers_run_beside_the_caller,
    jobs_under_a_lock_end, late_helpers_are_harmless, nested_jobs_end,
};
pub use machine::{clocks_advance, cpus_are_counted, nodes_are_counted};
pub use parking::{park_ends_at_its_deadline, unpark_is_remembered, unpark_wakes};

/// Time after which a check gives up, in nanoseconds of the platform's clock.
const PATIENCE_NS: u64 = 10_000_000_000;

/// Time between two looks at what a check waits for.
const POLL_NS: u64 = 20_000;

/// The rule of [`Platform`] that an implementation breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConformanceError {
    /// Name of the check that failed.
    pub check: &'static str,
    /// The rule that is broken.
    pub rule: &'static str,
    /// The number that was found.
    pub found: u64,
    /// The number that would be right, or the bound that was missed.
    pub right: u64,
}

impl fmt::Display for ConformanceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { check, rule, found, right } = self;
        write!(f, "{check}: {rule}: found {found}, right would be {right}")
    }
}

impl core::error::Error for ConformanceError {}

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

/// Returns an error unless `found == right`.
fn equal(check: &'static str, rule: &'static str, found: u64, right: u64) -> Result<(), ConformanceError> {
    if found == right { Ok(()) } else { Err(ConformanceError { check, rule, found, right }) }
}

/// Returns an error unless `found >= least`.
fn at_least(check: &'static str, rule: &'static str, found: u64, least: u64) -> Result<(), ConformanceError> {
    if found >= least { Ok(()) } else { Err(ConformanceError { check, rule, found, right: least }) }
}

/// Returns an error unless `found <= most`.
fn at_most(check: &'static str, rule: &'static str, found: u64, most: u64) -> Result<(), ConformanceError> {
    if found <= most { Ok(()) } else { Err(ConformanceError { check, rule, found, right: most }) }
}

/// Waits until `is_so`, and returns whether it came to that before the check gives up.
fn wait_until<P: Platform>(platform: &P, is_so: impl Fn() -> bool) -> bool {
    wait_at_most(platform, PATIENCE_NS, is_so)
}

/// Waits until `is_so` for at most `patience_ns`, and returns whether it came to that.
fn wait_at_most<P: Platform>(platform: &P, patience_ns: u64, is_so: impl Fn() -> bool) -> bool {
    let until_ns = platform.now_ns().saturating_add(patience_ns);
    while !is_so() {
        let now_ns = platform.now_ns();
        if now_ns >= until_ns {
            return false;
        }
        platform.park(Some(now_ns + POLL_NS));
    }
    true
}
