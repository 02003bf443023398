//! The test of a timed job: small runs, each verified, and a verification that tells a run from none.

use super::job::{Budget, Failure, TimedJob, unit_bytes};
use super::registry::Registered;
use super::report::OnThreads;
use super::runner::limit;
use crate::check;
use crate::debug::ktest::{Stopped, TestResult};
use crate::mm::huge::HugeSize;
use crate::mm::huge_pool::pool;

/// Memory of a test.
const BYTES: u64 = 8 << 20;

/// Runs `job` on one and two threads and on as many as help, and checks each result.
pub fn check<J: TimedJob>(job: &'static Registered) -> TestResult {
    let bytes = BYTES.max(unit_bytes(job.unit));
    let budget = Budget::new(job.name, job.unit, bytes, bytes);
    if !budget.is_available() {
        return Err(Stopped::Skipped(alloc::format!("needs {} MiB of free memory", bytes >> 20)));
    }
    match J::prepare(&budget) {
        Ok(mut timed) => check_runs(&mut timed),
        Err(Failure(why)) if pool(HugeSize::Size2M).total() > 0 => Err(Stopped::Skipped(why)),
        Err(Failure(why)) => Err(Stopped::Failed(why)),
    }
}

fn check_runs(timed: &mut dyn TimedJob) -> TestResult {
    let counts = [Some(1), Some(2), None];
    for threads in counts.into_iter().filter(|threads| threads.is_none_or(|count| count <= limit())) {
        let on = OnThreads(threads);
        let failed = |Failure(why)| Stopped::Failed(alloc::format!("{on}: {why}"));
        timed.reset().map_err(failed)?;
        let stats = timed.run(threads).map_err(failed)?;
        let units = timed.units(&stats);
        check!(timed.verify(&stats), "on {on} the result is wrong: {stats:?}");
        check!(units > 0, "on {on}: no unit was processed, {stats:?}");
        let most = threads.unwrap_or(limit()) as u32;
        check!((1..=most).contains(&stats.threads_used), "on {on}: {stats:?}");
        check!(stats.chunks >= u64::from(stats.threads_used), "on {on}: {stats:?}");
        timed.reset().map_err(failed)?;
        check!(!timed.verify(&stats), "the verification does not notice that no run was made");
        if let Some((threads, reference)) = threads.zip(timed.reference()) {
            let run = reference.run(threads).map_err(failed)?;
            check!(
                run.ok && run.units == units,
                "{} on {on}: {} units, {:?}",
                reference.name(),
                run.units,
                run.stats
            );
        }
    }
    Ok(())
}
