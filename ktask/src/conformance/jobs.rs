//! Checks of jobs: that helpers come, and what must hold whether they come, come late or never.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use super::broken::{ConformanceError, at_most, equal};
use super::pair::{Meeting, on_two_threads};
use super::patience::{POLL_NS, wait_until};
use crate::{CancelToken, Chunk, HelperContext, Items, Job, LockSet, Platform};

pub(super) const BESIDE: &str = "helpers_run_beside_the_caller";
pub(super) const ONCE: &str = "every_unit_once";
pub(super) const UNDONE: &str = "completed_units_are_undone";
pub(super) const LATE: &str = "late_helpers_are_harmless";
pub(super) const NESTED: &str = "nested_jobs_end";
pub(super) const LOCKED: &str = "jobs_under_a_lock_end";
pub(super) const CONTEXTS: &str = "contexts_nest";

/// Units whose calls are counted one by one.
const UNITS: usize = 256;

/// How often each unit was passed to a thread function.
struct Counts {
    units: [AtomicU64; UNITS],
}

impl Counts {
    fn new() -> Self {
        Self { units: core::array::from_fn(|_| AtomicU64::new(0)) }
    }

    fn add(&self, chunk: &Chunk<Items>) {
        for unit in chunk.indices() {
            self.units[unit as usize].fetch_add(1, SeqCst);
        }
    }

    fn subtract(&self, chunk: &Chunk<Items>) {
        for unit in chunk.indices() {
            self.units[unit as usize].fetch_sub(1, SeqCst);
        }
    }

    /// Checks that the first `units` units have `each` calls and the others none.
    fn check(
        &self,
        check: &'static str,
        rule: &'static str,
        units: u64,
        each: u64,
    ) -> Result<(), ConformanceError> {
        (0..).zip(&self.units).try_for_each(|(unit, count)| {
            equal(check, rule, count.load(SeqCst), if unit < units { each } else { 0 })
        })
    }
}

/// Checks that a helper which [`Platform::start_helper`] accepted runs at the same time as the caller.
///
/// # Errors
///
/// A helper that is accepted and does not begin, or begins on the calling thread.
pub fn helpers_run_beside_the_caller<P: Platform>(platform: &P) -> Result<(), ConformanceError> {
    let meeting = on_two_threads(platform, || {}, || {});
    equal(BESIDE, "helpers that were accepted and did not begin", u64::from(meeting == Meeting::Missed), 0)
}

/// Checks that each unit of a job is passed to the thread function once, on any number of threads.
///
/// # Errors
///
/// A unit that was passed never or twice.
pub fn every_unit_once<P: Platform>(platform: &P) -> Result<(), ConformanceError> {
    for (units, min_chunk, align) in
        [(1, 1, 1), (2, 1, 1), (7, 2, 1), (100, 1, 1), (256, 3, 8), (251, 16, 64)]
    {
        for threads in [1, 2, 3, 8, 64] {
            let counts = Counts::new();
            let job = Job::new(Items::new(0)..Items::new(units))
                .min_chunk(Items::new(min_chunk))
                .align(Items::new(align))
                .threads_exact(threads);
            let run = job.run(platform, |chunk| {
                counts.add(&chunk);
                Ok::<(), ()>(())
            });
            let done = run.map_or(0, |stats| stats.units);
            equal(ONCE, "units that the job reports as done", done, units)?;
            counts.check(ONCE, "calls for a unit", units, 1)?;
        }
    }
    Ok(())
}

/// Checks that a job which fails or is cancelled undoes the units that it completed, and no others.
///
/// # Errors
///
/// A unit that was undone twice or not at all.
pub fn completed_units_are_undone<P: Platform>(platform: &P) -> Result<(), ConformanceError> {
    const LEN: u64 = UNITS as u64;
    for threads in [1, 2, 8] {
        for failing in [0, 100, LEN - 1] {
            let counts = Counts::new();
            let token = CancelToken::new();
            let undo = |chunk: Chunk<Items>| counts.subtract(&chunk);
            let job = Job::new(Items::new(0)..Items::new(LEN)).threads_exact(threads).undo(&undo);
            let failed = job.run(platform, |chunk| {
                if chunk.indices().contains(&failing) {
                    return Err(());
                }
                counts.add(&chunk);
                Ok(())
            });
            equal(UNDONE, "jobs that failed", u64::from(failed.is_err()), 1)?;
            counts.check(UNDONE, "calls less undone calls for a unit of a failed job", 0, 0)?;
            let cancelled = job.cancel(&token).run(platform, |chunk| {
                counts.add(&chunk);
                if chunk.indices().contains(&failing) {
                    token.cancel();
                }
                Ok::<(), ()>(())
            });
            // A request that comes when all units are handed out is too late.
            let done = if cancelled.is_ok() { LEN } else { 0 };
            counts.check(UNDONE, "calls less undone calls for a unit of a cancelled job", done, 1)?;
        }
    }
    Ok(())
}

/// Checks that jobs which end before their helpers begin leave nothing behind: no call after the end of
/// the job, and no helper that counts in the budget for ever.
///
/// # Errors
///
/// A call after the end, or a budget that stays in use. Other jobs must not run during this check.
pub fn late_helpers_are_harmless<P: Platform>(platform: &P) -> Result<(), ConformanceError> {
    let late = AtomicU64::new(0);
    for round in 0..500 {
        let has_ended = AtomicBool::new(false);
        let job = Job::new(Items::new(0)..Items::new(4)).max_threads(4);
        let run = job.run(platform, |_| {
            // Some jobs last until their helpers come.
            if round % 16 == 0 {
                platform.park(Some(platform.now_ns() + POLL_NS));
            }
            late.fetch_add(u64::from(has_ended.load(SeqCst)), SeqCst);
            Ok::<(), ()>(())
        });
        has_ended.store(true, SeqCst);
        equal(LATE, "units that the job reports as done", run.map_or(0, |stats| stats.units), 4)?;
    }
    equal(LATE, "calls of the thread function after the end of a job", late.load(SeqCst), 0)?;
    wait_until(platform, || platform.budget().in_use() == 0);
    equal(LATE, "helpers in the budget after the last job", platform.budget().in_use() as u64, 0)
}

/// Checks that jobs inside jobs end, with more of them at a time than the platform has threads.
///
/// # Errors
///
/// A unit that is missing. A platform that lets a task wait for another one hangs.
pub fn nested_jobs_end<P: Platform>(platform: &P) -> Result<(), ConformanceError> {
    const ROUNDS: u64 = 20;
    let leaves = AtomicU64::new(0);
    for _ in 0..ROUNDS {
        let outer = Job::new(Items::new(0)..Items::new(8)).threads_exact(8);
        _ = outer.run(platform, |chunk| {
            let middle = Job::new(Items::new(0)..Items::new(4)).threads_exact(3).within(&chunk);
            let each = |chunk: Chunk<Items>| {
                let inner = Job::new(Items::new(0)..Items::new(2)).threads_exact(2).within(&chunk);
                let run = inner.run(platform, |leaf| {
                    leaves.fetch_add(leaf.len().get() * chunk.len().get(), SeqCst);
                    Ok::<(), ()>(())
                });
                run.map(|_| ()).map_err(|_| ())
            };
            chunk.indices().try_for_each(|_| middle.run(platform, each).map(|_| ()).map_err(|_| ()))
        });
    }
    equal(NESTED, "units of all inner jobs", leaves.load(SeqCst), ROUNDS * 8 * 4 * 2)
}

/// Checks that a thread which holds a lock can run a job, while other threads of an outer job wait for
/// the lock.
///
/// # Errors
///
/// A lock that is never released: its holder waits for a thread that waits for the lock.
pub fn jobs_under_a_lock_end<P: Platform>(platform: &P) -> Result<(), ConformanceError> {
    const ROUNDS: u64 = 20;
    let is_locked = AtomicBool::new(false);
    let (done, in_vain, holders) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    for _ in 0..ROUNDS {
        let outer = Job::new(Items::new(0)..Items::new(8)).threads_exact(4);
        _ = outer.run(platform, |chunk| {
            if !wait_until(platform, || !is_locked.swap(true, SeqCst)) {
                in_vain.fetch_add(1, SeqCst);
                return Err(());
            }
            let most = holders.fetch_add(1, SeqCst);
            let inner = Job::new(Items::new(0)..Items::new(4)).threads_exact(3).within(&chunk);
            let run = inner.run(platform, |leaf| {
                done.fetch_add(leaf.len().get() * chunk.len().get(), SeqCst);
                Ok::<(), ()>(())
            });
            holders.fetch_sub(1, SeqCst);
            is_locked.store(false, SeqCst);
            if run.is_ok() && most == 0 { Ok(()) } else { Err(()) }
        });
    }
    equal(LOCKED, "threads that waited in vain for a lock", in_vain.load(SeqCst), 0)?;
    equal(LOCKED, "units of all inner jobs", done.load(SeqCst), ROUNDS * 8 * 4)
}

/// Checks that [`Platform::begin_help`] returns the context that was set before, and that
/// [`Platform::end_help`] restores it, so that [`Platform::held_locks`] is what it was.
///
/// # Errors
///
/// A context that is lost or stays.
pub fn contexts_nest<P: Platform>(platform: &P) -> Result<(), ConformanceError> {
    let context = |class, depth| HelperContext { caller_locks: LockSet::EMPTY.with(class), depth };
    let held = platform.held_locks();
    let before = platform.begin_help(context(62, 1));
    let outer = platform.begin_help(context(63, 2));
    platform.end_help(outer);
    let again = platform.begin_help(context(63, 2));
    platform.end_help(again);
    platform.end_help(before);
    // A platform that keeps no contexts returns the empty one.
    let kept = if outer == HelperContext::NONE { outer } else { context(62, 1) };
    equal(
        CONTEXTS,
        "locks in the context that begin_help returns",
        outer.caller_locks.0,
        kept.caller_locks.0,
    )?;
    equal(CONTEXTS, "locks in the context after end_help", again.caller_locks.0, outer.caller_locks.0)?;
    equal(CONTEXTS, "locks that are held after the outermost end_help", platform.held_locks().0, held.0)?;
    at_most(CONTEXTS, "jobs in the context after end_help", u64::from(again.depth), u64::from(outer.depth))
}
