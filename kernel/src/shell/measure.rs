//! `timing`, `test` and `bench`: commands that need the whole machine, one at a time.

use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use super::output::Outcome;
use crate::bench;
use crate::debug::ktest;
use crate::jobs::{huge_pool, timing};

/// Whether such a command runs.
static IS_BUSY: AtomicBool = AtomicBool::new(false);

/// The right to run such a command, until it is dropped.
struct ExclusiveGuard;

impl ExclusiveGuard {
    fn take() -> Result<Self, alloc::string::String> {
        match IS_BUSY.swap(true, SeqCst) {
            false => Ok(Self),
            true => Err("timing, test or bench runs in the background; one can at a time".into()),
        }
    }
}

impl Drop for ExclusiveGuard {
    fn drop(&mut self) {
        IS_BUSY.store(false, SeqCst);
    }
}

/// Times one job, or all jobs. The jobs empty the pools of huge pages; this refills them.
pub fn timing(job: Option<&str>) -> Outcome {
    if let Some(job) = job.filter(|job| !timing::names().contains(job)) {
        return Err(alloc::format!("there is no job `{job}`; there are {}", timing::names().join(", ")));
    }
    let _guard = ExclusiveGuard::take()?;
    let is_correct = timing::run(job);
    huge_pool::apply_parameters();
    if is_correct { Ok(()) } else { Err("the result of a job was wrong".into()) }
}

/// Runs the tests that match `pattern`.
pub fn test(pattern: &str) -> Outcome {
    let _guard = ExclusiveGuard::take()?;
    match ktest::run(pattern) {
        true => Ok(()),
        false => Err(alloc::format!("a test failed, or none has `{pattern}` in its name")),
    }
}

/// Runs the benchmarks that match `pattern`.
pub fn bench(pattern: &str) -> Outcome {
    let _guard = ExclusiveGuard::take()?;
    match bench::run(pattern) {
        true => Ok(()),
        false => Err(alloc::format!("a benchmark failed, or none has `{pattern}` in its name")),
    }
}
