//! Charges and weights of the items that pools run.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use ktask::{Items, Job, Profile};
use runqueue::{CpuMask, Nice};

use super::pools::{must, unbound};
use super::sched_share::a_quota;
use super::spinners::Spinners;
use super::wait::jobs_have_helpers;
use crate::arch::tsc;
use crate::debug::ktest::Stopped;
use crate::jobs::platform::Kernel;
use crate::sched::group::Group;
use crate::sched::pool::{self, WorkAttrs};
use crate::sched::wait::Completion;
use crate::sched::{self, Spawn};
use crate::{check, kernel_tests, skip_if};

/// CPU time that [`spin`] uses at least.
const SPIN_NS: u64 = 10_000_000;

/// Uses CPU time, and adds the amount to `used_ns`.
fn spin(used_ns: &AtomicU64) {
    let start_ns = sched::current().cpu_time_ns();
    let ran_ns = || sched::current().cpu_time_ns() - start_ns;
    while ran_ns() < SPIN_NS {
        super::spinners::work();
    }
    used_ns.fetch_add(ran_ns(), SeqCst);
}

/// Makes a worker call `call`, and waits for the end.
fn run_in_pool(call: impl Fn() + Send + Sync + 'static) {
    if let Some(pool) = pool::unbound()
        && let Ok((item, generation)) = pool::submit_fn(pool, WorkAttrs::new(), call)
    {
        pool::wait(&item, generation);
    }
}

kernel_tests! { "pools":
    /// A heavy item runs soon on a busy CPU: its worker has the weight of the item from the wake-up on.
    fn weight_counts_from_the_wake_up_on() needs(CountedTime) {
        let last = CpuMask::single(sched::online_cpus().iter().last().unwrap_or(0));
        let mut spinners = Spinners::new();
        for _ in 0..3 {
            spinners.start(Spawn::new("test/load").on(last))?;
        }
        spinners.measure(20_000_000);
        let pool = unbound()?;
        let mut used_ns = Vec::new();
        for level in [Nice::MAX, Nice::MIN] {
            let used = Arc::new(AtomicU64::new(0));
            let slot = used.clone();
            let is_done = Arc::new(Completion::new());
            let done = is_done.clone();
            let (item, generation) = must(pool::submit_fn(pool, WorkAttrs::new().nice(level).on(last), move || {
                let start_ns = tsc::now_ns();
                let before_ns = sched::current().cpu_time_ns();
                while tsc::now_ns() - start_ns < 200_000_000 {
                    super::spinners::work();
                }
                slot.store(sched::current().cpu_time_ns() - before_ns, SeqCst);
                done.complete();
            }))?;
            // Not for the item itself: that would give it the weight of this thread.
            is_done.wait();
            pool::wait(&item, generation);
            used_ns.push(used.load(SeqCst));
        }
        // Beside three of default weight: 0.5 % and 97 %.
        check!(used_ns[0] <= 20_000_000, "the lightest used {} of 200 ms", used_ns[0]);
        check!(used_ns[1] >= 150_000_000, "the heaviest used {} of 200 ms", used_ns[1]);
    }

    /// The submitting group is charged for the item, and for the items that the item submits.
    fn the_submitting_group_is_charged_for_nested_items() {
        let group = Group::new("test", None);
        let used_ns = Arc::new(AtomicU64::new(0));
        let inner = used_ns.clone();
        let nested = move || {
            spin(&inner);
            let innermost = inner.clone();
            run_in_pool(move || spin(&innermost));
        };
        let submitter = Spawn::new("test/submitter").group(&group).start(move || run_in_pool(nested));
        submitter.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?.join();
        let (usage, used_ns) = (group.usage(), used_ns.load(SeqCst));
        check!(used_ns >= 2 * SPIN_NS, "not both ran");
        check!(usage.helped_ns >= used_ns, "{usage:?}, {used_ns} ns of work");
    }

    /// The time of a group is that of its threads and that of workers charged to it, to the nanosecond. Helpers are charged
    /// little more than their work.
    fn accounts_add_up() needs(CountedTime) {
        let group = Group::new("test", None);
        let used_ns = Arc::new(AtomicU64::new(0));
        let (by_item, by_helper) = (used_ns.clone(), used_ns.clone());
        let submitter = Spawn::new("test/submitter").group(&group).start(move || {
            run_in_pool(move || spin(&by_item));
            let caller = sched::current_arc();
            let has_begun = AtomicBool::new(false);
            let job = Job::new(Items::new(0)..Items::new(2)).threads_exact(2);
            let _ = job.run(&Kernel, |_| {
                if sched::current().tid() != caller.tid() {
                    has_begun.store(true, SeqCst);
                    sched::unpark(&caller);
                    spin(&by_helper);
                }
                // The helper takes the other chunk. (If parameters exclude helpers, none would come.)
                while jobs_have_helpers() && !has_begun.load(SeqCst) {
                    sched::park(None);
                }
                Ok::<(), ()>(())
            });
        });
        let submitter = submitter.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        let thread = submitter.thread().clone();
        submitter.join();
        // The last time of the thread is charged when it leaves its CPU.
        sched::reap_all_exited();
        let (usage, used_ns) = (group.usage(), used_ns.load(SeqCst));
        let own_ns = thread.cpu_time_ns();
        check!(usage.cpu_time_ns == own_ns + usage.helped_ns, "{usage:?}, the thread itself used {own_ns} ns");
        check!(usage.helped_ns >= used_ns, "{usage:?}, {used_ns} ns of work");
        check!(used_ns >= SPIN_NS * if jobs_have_helpers() { 2 } else { 1 }, "not both ran");
        check!(usage.helped_ns <= used_ns + 100_000, "{usage:?}, {used_ns} ns of work");
    }

    /// In the end, the time of helpers counts against the quota of the caller's group.
    fn a_quota_holds_with_helpers() needs(CountedTime, Cpus(2)) {
        skip_if!(!jobs_have_helpers(), "no helpers here");
        let quota = a_quota(30_000_000, 20_000_000);
        let group = Group::new("test", Some(quota));
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let start_ns = tsc::now_ns();
        let submitter = Spawn::new("test/submitter").group(&group).start(move || {
            while !stopping.load(SeqCst) {
                let job = Job::new(Items::new(0)..Items::new(40)).profile(Profile::Boot);
                let _ = job.run(&Kernel, |chunk| {
                    for _ in chunk.indices() {
                        let start_ns = sched::current().cpu_time_ns();
                        while sched::current().cpu_time_ns() - start_ns < 200_000 {
                            super::spinners::work();
                        }
                    }
                    Ok::<(), ()>(())
                });
            }
        });
        let submitter = submitter.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        sched::sleep_ns(600_000_000);
        stop.store(true, SeqCst);
        submitter.join();
        sched::reap_all_exited();
        let (usage, elapsed_ns) = (group.usage(), tsc::now_ns() - start_ns);
        // All periods and one more, and what the last job used beyond: at most all its work.
        let allowed_ns = (elapsed_ns / quota.period_ns() + 2) * quota.quota_ns() + 40 * 200_000;
        check!(usage.cpu_time_ns <= allowed_ns, "{usage:?} in {elapsed_ns} ns, {allowed_ns} ns allowed");
        check!(usage.helped_ns > 0, "{usage:?}: no helper ran");
    }
}
