//! Who pays for what pools do, and how heavy it is.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use ktask::{Items, Job, Profile};
use params::registry::{KTASK_ENABLED, KTASK_MAX_THREADS};
use runqueue::{CpuMask, Nice};

use super::counted;
use super::pools::{must, unbound};
use super::sched_share::a_quota;
use super::spinners::{MOST_STOLEN_PERCENT, Spinners, Watch};
use crate::arch::{percpu, tsc};
use crate::debug::ktest::Stopped;
use crate::jobs::platform::Kernel;
use crate::sched::group::Group;
use crate::sched::pool::{self, WorkAttrs};
use crate::sched::{self, Spawn};
use crate::{check, kernel_tests, skip_if};

/// CPU time that [`spin`] takes, and more.
const SPIN_NS: u64 = 10_000_000;

/// Uses CPU time, and adds how much to `used_ns`.
fn spin(used_ns: &AtomicU64) {
    let start_ns = sched::current().cpu_time_ns();
    let ran_ns = || sched::current().cpu_time_ns() - start_ns;
    while ran_ns() < SPIN_NS {
        core::hint::spin_loop();
    }
    used_ns.fetch_add(ran_ns(), SeqCst);
}

/// Has a worker call `call`, and waits for it.
fn ask(call: impl Fn() + Send + Sync + 'static) {
    if let Some(pool) = pool::unbound()
        && let Ok((item, generation)) = pool::submit_fn(pool, WorkAttrs::new(), call)
    {
        pool::wait(&*item, generation);
    }
}

fn jobs_have_helpers() -> bool {
    KTASK_ENABLED.get() && KTASK_MAX_THREADS.get() != 1
}

kernel_tests! { "pools":
    /// A heavy item is done soon although the CPU is busy, for its worker has its weight from the wake-up on.
    fn weight_counts_from_the_wake_up_on() {
        let last = CpuMask::single(sched::online_cpus().iter().last().unwrap_or(0));
        let mut spinners = Spinners::new();
        for _ in 0..3 {
            spinners.start(Spawn::new("test/load").on(last))?;
        }
        spinners.measure(20_000_000)?;
        let pool = unbound()?;
        let (mut used_ns, stolen_ns) = (Vec::new(), Arc::new(AtomicU64::new(0)));
        for level in [Nice::MAX, Nice::MIN] {
            let used = Arc::new(AtomicU64::new(0));
            let slot = used.clone();
            let stolen = stolen_ns.clone();
            let (item, generation) = must(pool::submit_fn(pool, WorkAttrs::new().nice(level).on(last), move || {
                let start_ns = tsc::now_ns();
                let before_ns = sched::current().cpu_time_ns();
                let mut watch = Watch::start();
                let mut look = || stolen.fetch_add(watch.stolen_ns(), SeqCst);
                while tsc::now_ns() - start_ns < 200_000_000 {
                    look();
                    core::hint::spin_loop();
                }
                slot.store(sched::current().cpu_time_ns() - before_ns, SeqCst);
                look();
            }))?;
            pool::wait(&*item, generation);
            used_ns.push(used.load(SeqCst));
        }
        spinners.skip_if_stolen(400_000_000)?;
        skip_if!(stolen_ns.load(SeqCst) > 4_000_000, "the host took the cpus away");
        // Beside three of default weight: 0.5 % and 97 %.
        check!(used_ns[0] <= 20_000_000, "the lightest used {} of 200 ms", used_ns[0]);
        check!(used_ns[1] >= 150_000_000, "the heaviest used {} of 200 ms", used_ns[1]);
    }

    /// The group that asked pays for the whole item, and for what that asks for in turn.
    fn who_asks_pays_for_what_that_asks_for() {
        let group = Group::new("test", None);
        let used_ns = Arc::new(AtomicU64::new(0));
        let inner = used_ns.clone();
        let nested = move || {
            spin(&inner);
            let innermost = inner.clone();
            ask(move || spin(&innermost));
        };
        let asker = Spawn::new("test/asker").group(&group).start(move || ask(nested));
        asker.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?.join();
        let (usage, used_ns) = (group.usage(), used_ns.load(SeqCst));
        check!(used_ns >= 2 * SPIN_NS, "not both were done");
        check!(usage.helped_ns >= used_ns, "{usage:?}, {used_ns} ns of work");
    }

    /// What a group has had is what its threads used and what others used for it, to the nanosecond; and for helpers not
    /// much more than their work.
    fn accounts_add_up() {
        let group = Group::new("test", None);
        let used_ns = Arc::new(AtomicU64::new(0));
        let (by_item, by_helper) = (used_ns.clone(), used_ns.clone());
        let asker = Spawn::new("test/asker").group(&group).start(move || {
            ask(move || spin(&by_item));
            let caller = sched::current_arc();
            let has_begun = AtomicBool::new(false);
            let job = Job::new(Items::new(0)..Items::new(2)).threads_exact(2);
            let _ = job.run(&Kernel, |_| {
                if sched::current().tid() != caller.tid() {
                    has_begun.store(true, SeqCst);
                    sched::unpark(&caller);
                    spin(&by_helper);
                }
                // The other chunk is for the helper. (Without helpers, by parameter, this would be for ever.)
                while jobs_have_helpers() && !has_begun.load(SeqCst) {
                    sched::park(None);
                }
                Ok::<(), ()>(())
            });
        });
        let asker = asker.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        let thread = asker.thread().clone();
        asker.join();
        // Its last steps are charged when it leaves its CPU.
        sched::reap_all_exited();
        let (usage, used_ns) = (group.usage(), used_ns.load(SeqCst));
        let own_ns = thread.cpu_time_ns();
        check!(usage.cpu_time_ns == own_ns + usage.helped_ns, "{usage:?}, the thread itself used {own_ns} ns");
        check!(usage.helped_ns >= used_ns, "{usage:?}, {used_ns} ns of work");
        check!(used_ns >= SPIN_NS * if jobs_have_helpers() { 2 } else { 1 }, "not both were done");
        // Elsewhere the host may take the CPU away just between the work and the end.
        let is_exact = usage.helped_ns <= used_ns + 100_000;
        check!(is_exact || !counted::is_counted(), "{usage:?}, {used_ns} ns of work");
    }

    /// Helpers' time counts against the quota of who asked, in the end.
    fn a_quota_holds_with_helpers() {
        skip_if!(percpu::online_count() < 2 || !jobs_have_helpers(), "no helpers here");
        let quota = a_quota(30_000_000, 20_000_000);
        let group = Group::new("test", Some(quota));
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = stop.clone();
        let stolen_ns = Arc::new(AtomicU64::new(0));
        let stolen = stolen_ns.clone();
        let start_ns = tsc::now_ns();
        let asker = Spawn::new("test/asker").group(&group).start(move || {
            while !stopping.load(SeqCst) {
                let job = Job::new(Items::new(0)..Items::new(40)).profile(Profile::Boot);
                let _ = job.run(&Kernel, |chunk| {
                    for _ in chunk.indices() {
                        let start_ns = sched::current().cpu_time_ns();
                        let mut watch = Watch::start();
                        while sched::current().cpu_time_ns() - start_ns < 200_000 {
                            stolen.fetch_add(watch.stolen_ns(), SeqCst);
                            core::hint::spin_loop();
                        }
                        stolen.fetch_add(watch.stolen_ns(), SeqCst);
                    }
                    Ok::<(), ()>(())
                });
            }
        });
        let asker = asker.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        sched::sleep_ns(600_000_000);
        stop.store(true, SeqCst);
        asker.join();
        sched::reap_all_exited();
        let (usage, elapsed_ns) = (group.usage(), tsc::now_ns() - start_ns);
        // In whole periods, and one more; and what the last job used beyond: at most all that it had to do.
        let allowed_ns = (elapsed_ns / quota.period_ns() + 2) * quota.quota_ns() + 40 * 200_000;
        // A turn of the loop during which the host had the CPU counts as used: a tenth for that.
        let (used_ns, stolen_ns) = (usage.cpu_time_ns, stolen_ns.load(SeqCst));
        skip_if!(stolen_ns * 100 > elapsed_ns * MOST_STOLEN_PERCENT, "the host took the cpus away");
        check!(used_ns <= allowed_ns + allowed_ns / 10, "{usage:?} in {elapsed_ns} ns, {allowed_ns} ns allowed");
        check!(usage.helped_ns > 0, "{usage:?}: nobody helped");
    }
}
