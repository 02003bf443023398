//! CPU time: how threads and groups share it, on which CPUs, and how it is charged.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};

use ktask::{Budget, Items, Job, NodeId, Platform};
use runqueue::{CpuMask, Nice, Quota};

use super::spinners::{Spinners, work, worst_error_percent};
use super::wait::{Patience, jobs_have_helpers, within_20_s};
use crate::arch::{percpu, tsc};
use crate::bench::threads::{Stop, Threads};
use crate::debug::ktest::{Stopped, TestResult};
use crate::jobs::manners::Kind;
use crate::jobs::platform::Kernel;
use crate::sched::group::Group;
use crate::sched::{self, AffinityError, Spawn};
use crate::{check, kernel_tests, skip_if};

/// Fails when one of `used` is off its share by more than `percent` of it.
fn check_shares(used: &[u64], weights: &[u64], percent: u64) -> TestResult {
    let worst = worst_error_percent(used, weights);
    check!(worst <= percent, "{worst} % off: {used:?} ns");
    Ok(())
}

fn last_cpu() -> CpuMask {
    let last = percpu::all().filter(|cpu| cpu.is_online()).last();
    CpuMask::single(last.map_or(0, |cpu| cpu.id().index()))
}

fn nice(level: i8) -> Nice {
    Nice::new(level).unwrap_or_default()
}

/// Makes a quota that is valid.
pub(super) fn a_quota(quota_ns: u64, period_ns: u64) -> Quota {
    Quota::new(quota_ns, period_ns).expect("a valid quota")
}

kernel_tests! { "sched":
    fn equal_threads_get_equal_time() needs(CountedTime) {
        let mut spinners = Spinners::new();
        for _ in 0..4 {
            spinners.start(Spawn::new("test/equal").on(last_cpu()))?;
        }
        let used = spinners.measure(400_000_000);
        // A slice more or less is 5 % of a share.
        check_shares(&used, &[1; 4], 5)?;
    }

    fn time_follows_weight() needs(CountedTime) {
        let mut spinners = Spinners::new();
        let levels = [3, 0, -3].map(nice);
        for level in levels {
            spinners.start(Spawn::new("test/weighted").on(last_cpu()).nice(level))?;
        }
        let used = spinners.measure(600_000_000);
        check_shares(&used, &levels.map(|level| u64::from(level.weight().get())), 12)?;
    }

    fn the_idle_class_waits_for_all_others() {
        let mut idle = Spinners::new();
        idle.start(Spawn::new("test/idle").on(last_cpu()).idle_class())?;
        check!(within_20_s(|| idle.threads()[0].thread().cpu_time_ns() > 0), "it does not run even when alone");
        let mut busy = Spinners::new();
        busy.start(Spawn::new("test/busy").on(last_cpu()).nice(Nice::MAX))?;
        while busy.threads()[0].thread().cpu_time_ns() == 0 {
            sched::yield_now();
        }
        let beside = idle.measure(100_000_000);
        check!(beside[0] == 0, "{} ns beside a thread of the lowest weight", beside[0]);
    }

    fn a_helper_costs_a_load_little() needs(CountedTime) {
        let mut spinners = Spinners::new();
        spinners.start(Spawn::new("test/load").on(last_cpu()))?;
        spinners.start(Spawn::new("test/light").on(last_cpu()).nice(Nice::MAX))?;
        let used = spinners.measure(700_000_000);
        check!(used[1] * 100 <= 4 * (used[0] + used[1]), "load and light one used {used:?} ns");
    }

    /// The helpers of a job at run time have permits, and not more than there are.
    fn run_time_helpers_count_in_the_budget() needs(Cpus(2)) {
        static BUDGETED: Kind = Kind::new("budgeted");
        skip_if!(!jobs_have_helpers(), "no helpers here");
        let limit = Budget::shared().limit(percpu::online_count());
        let (helped, wrong) = (AtomicU64::new(0), AtomicU64::new(0));
        let caller = sched::current_arc();
        // A busy host may start the helper too late for a job.
        let has_helped = within_20_s(|| {
            let job = BUDGETED.job(Items::new(0)..Items::new(200), None);
            let _ = job.run(&Kernel, |_| {
                if sched::current().tid() != caller.tid() {
                    helped.fetch_add(1, SeqCst);
                    let in_use = Budget::shared().in_use();
                    wrong.fetch_add(u64::from(!(1..=limit).contains(&in_use)), SeqCst);
                }
                (0..200).for_each(|_| work());
            });
            helped.load(SeqCst) > 0
        });
        check!(has_helped, "no helper came");
        check!(wrong.load(SeqCst) == 0, "a helper without a permit, or more than {limit}");
    }

    /// The helpers of a light caller use up the budget. A heavy caller gets one all the same, and one of the others leaves.
    fn a_heavy_caller_gets_the_permit_of_a_light_one() needs(Cpus(2), MostCpus(3)) {
        static OF_LIGHT: Kind = Kind::new("of-light");
        static OF_HEAVY: Kind = Kind::new("of-heavy");
        skip_if!(!jobs_have_helpers(), "no helpers here");
        let budget = Budget::shared();
        let limit = budget.limit(percpu::online_count());
        check!(within_20_s(|| budget.in_use() == 0), "helpers of an earlier job run");
        let mut callers = Threads::with_capacity(2);
        // Runs a job that ends when the callers are stopped. Counts the chunks of its helpers.
        let mut start = |kind: &'static Kind, nice: Nice| {
            let helped = Arc::new(AtomicUsize::new(0));
            let count = helped.clone();
            let calls = move |stop: Stop| {
                let caller = sched::current().tid();
                let job = kind.job(Items::new(0)..Items::new(1 << 40), None);
                let _ = job.min_chunk(Items::new(1)).max_chunk(Items::new(4)).run(&Kernel, |_| {
                    count.fetch_add(usize::from(sched::current().tid() != caller), SeqCst);
                    (0..20).for_each(|_| work());
                    if stop.is_set() { Err(()) } else { Ok(()) }
                });
            };
            let started = callers.start(Spawn::new("test/caller").nice(nice), calls);
            started.map(|()| helped).map_err(|error| Stopped::Failed(alloc::format!("{error}")))
        };
        let light = start(&OF_LIGHT, Nice::MAX)?;
        check!(within_20_s(|| budget.in_use() == limit && light.load(SeqCst) > 0), "{} helpers", budget.in_use());
        let heavy = start(&OF_HEAVY, Nice::MIN)?;
        check!(within_20_s(|| heavy.load(SeqCst) > 0), "a light caller's helpers keep those of a heavy one away");
        check!(within_20_s(|| budget.in_use() <= limit), "{} helpers, at most {limit}", budget.in_use());
        drop(callers);
        check!(within_20_s(|| budget.in_use() == 0), "{} permits are not returned", budget.in_use());
    }

    /// Jobs of several callers at run time share one budget of helpers. With the profile of the boot each would have a helper
    /// on every CPU.
    fn a_load_loses_little_to_jobs() needs(CountedTime, Cpus(4)) {
        static BESIDE: Kind = Kind::new("beside-load");
        // Several slices of each thread of the lowest weight, which comes to the CPU every 0.3 s: one slice more or less of each
        // must not decide.
        const MEASURED_NS: u64 = 3_200_000_000;
        skip_if!(!jobs_have_helpers(), "no helpers here");
        let mut load = Spinners::new();
        for cpu in percpu::all().filter(|cpu| cpu.is_online()) {
            load.start(Spawn::new("test/load").on(CpuMask::single(cpu.id().index())))?;
        }
        // Chunks that helpers began, helpers in a chunk now, and most of them at a time.
        let seen = Arc::new([const { AtomicUsize::new(0) }; 3]);
        let mut callers = Threads::with_capacity(3);
        for _ in 0..3 {
            let seen = seen.clone();
            let calls = move |stop: Stop| {
                let caller = sched::current().tid();
                // More than there is time for: a helper of the lowest weight begins late beside the load, and a short job
                // rightly starts none.
                let job = BESIDE.job(Items::new(0)..Items::new(1 << 40), None).min_chunk(Items::new(1));
                let _ = job.max_chunk(Items::new(4)).run(&Kernel, |chunk| {
                    let is_helper = sched::current().tid() != caller;
                    if is_helper {
                        seen[0].fetch_add(1, SeqCst);
                        seen[2].fetch_max(seen[1].fetch_add(1, SeqCst) + 1, SeqCst);
                    }
                    for _ in chunk.indices().take_while(|_| !stop.is_set()) {
                        (0..20).for_each(|_| work());
                    }
                    seen[1].fetch_sub(usize::from(is_helper), SeqCst);
                    if stop.is_set() { Err(()) } else { Ok(()) }
                });
            };
            // Of the lowest weight, as helpers: a caller of the load's weight would have its half of the CPU by right.
            let caller = callers.start(Spawn::new("test/caller").nice(Nice::MAX), calls);
            caller.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        }
        let has_helped = within_20_s(|| seen[0].load(SeqCst) > 0);
        let start_ns = tsc::now_ns();
        let used = load.measure(MEASURED_NS);
        let elapsed_ns = (tsc::now_ns() - start_ns) * percpu::online_count() as u64;
        // The load first: beside it, callers of the lowest weight end late.
        drop(load);
        drop(callers);
        let (most, limit) = (seen[2].load(SeqCst), Budget::shared().limit(percpu::online_count()));
        check!(has_helped, "no job had a helper");
        check!(most <= limit, "{most} helpers at a time, should be at most {limit}");
        let lost_ns = elapsed_ns.saturating_sub(used.iter().sum());
        log::info!("a load loses {} permille to jobs of three callers", lost_ns * 1000 / elapsed_ns);
        check!(lost_ns * 100 <= 3 * elapsed_ns, "the load lost {lost_ns} of {elapsed_ns} ns");
    }

    fn more_threads_than_cpus_are_spread() needs(Cpus(2), CountedTime) {
        let cpus = percpu::online_count();
        let mut spinners = Spinners::new();
        for _ in 0..2 * cpus {
            spinners.start(Spawn::new("test/spread"))?;
        }
        // Time for the balance: all threads start on one CPU.
        spinners.measure(100_000_000);
        let used = spinners.measure(400_000_000);
        let weights = alloc::vec![1; used.len()];
        let error = worst_error_percent(&used, &weights);
        // This thread takes a part of the CPUs. Three threads on one CPU and one on another would be 33 % off
        // or more.
        check!(error <= 25, "{error} % off: {used:?} ns");
    }

    /// Running, queued and sleeping threads all migrate.
    fn affinity_changes_move_threads() needs(Cpus(2)) {
        let cpus: Vec<usize> = percpu::all().filter(|cpu| cpu.is_online()).map(|cpu| cpu.id().index()).collect();
        let (from, to) = (cpus[0], cpus[1]);
        let mut threads = Threads::with_capacity(3);
        let mut seen = Vec::new();
        for (name, sleeps) in [("test/first", false), ("test/second", false), ("test/sleeper", true)] {
            let slot = Arc::new(AtomicUsize::new(usize::MAX));
            seen.push(slot.clone());
            let work = move |stop: Stop| while !stop.is_set() {
                slot.store(percpu::this_cpu().id().index(), SeqCst);
                if sleeps { sched::sleep_ns(200_000) } else { work() }
            };
            let started = threads.start(Spawn::new(name).on(CpuMask::single(from)), work);
            started.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        }
        for (target, name) in [(to, "there"), (from, "back"), (to, "there again")] {
            for (thread, seen) in threads.handles().iter().zip(&seen) {
                if let Err(error) = sched::set_affinity(thread.thread(), &CpuMask::single(target)) {
                    check!(false, "{error}");
                }
                within_20_s(|| seen.load(SeqCst) == target);
                let cpu = seen.load(SeqCst);
                check!(cpu == target, "{} is on cpu {cpu}, should be {name} on cpu {target}", thread.thread().name());
            }
        }
    }

    fn the_calling_thread_moves_before_set_affinity_returns() {
        let cpus: Vec<usize> = percpu::all().filter(|cpu| cpu.is_online()).map(|cpu| cpu.id().index()).collect();
        let before = sched::current().allowed();
        let moved = cpus.iter().all(|cpu| {
            sched::set_affinity(sched::current(), &CpuMask::single(*cpu)).is_ok()
                && percpu::this_cpu().id().index() == *cpu
        });
        let result = sched::set_affinity(sched::current(), &before);
        check!(result.is_ok());
        check!(moved, "not on the requested cpu");
    }

    fn affinity_to_no_cpu_is_an_error() {
        let result = sched::set_affinity(sched::current(), &CpuMask::EMPTY);
        check!(result == Err(AffinityError::NoSuchCpu(CpuMask::EMPTY)));
        let last = CpuMask::single(runqueue::MAX_CPUS - 1);
        skip_if!(percpu::online_count() == runqueue::MAX_CPUS, "all cpu numbers are in use");
        check!(sched::set_affinity(sched::current(), &last) == Err(AffinityError::NoSuchCpu(last)));
    }

    fn run_delay_and_switches_are_counted() needs(CountedTime) {
        let mut spinners = Spinners::new();
        for _ in 0..2 {
            spinners.start(Spawn::new("test/counted").on(last_cpu()))?;
        }
        let usage = || spinners.threads()[0].thread().usage();
        // The threads take turns: each run of the first thread but the first one comes after a slice of the other.
        let start_ns = tsc::now_ns();
        let are_even = |one_ns: u64, other_ns: u64| one_ns.min(other_ns) * 10 >= (one_ns + other_ns) * 3;
        let mut patience = Patience::new(20_000_000_000);
        while patience.lasts() {
            let usage = usage();
            if usage.switches >= 10 && are_even(usage.run_delay_ns, usage.cpu_time_ns) {
                break;
            }
            sched::sleep_ns(5_000_000);
        }
        // The time is read first: this thread may be delayed between the two, also by the host.
        let (elapsed_ns, usage) = (tsc::now_ns() - start_ns, usage());
        check!(usage.switches >= 10, "{usage:?} after 20 s");
        // It ran or was queued all the time, except when this thread ran on its CPU.
        let whole_ns = usage.run_delay_ns + usage.cpu_time_ns;
        check!(whole_ns * 20 >= elapsed_ns * 19, "{usage:?} in {elapsed_ns} ns");
        check!(are_even(usage.run_delay_ns, usage.cpu_time_ns), "{usage:?} after 10 slices of two threads, and for 20 s more");
        check!(usage.migrations == 0, "{usage:?} bound to one cpu");
    }

    /// A thread that had a CPU to itself for long has not used up its later share.
    fn having_run_alone_is_no_debt() needs(CountedTime) {
        let mut spinners = Spinners::new();
        spinners.start(Spawn::new("test/alone").on(last_cpu()))?;
        spinners.measure(500_000_000);
        spinners.start(Spawn::new("test/late").on(last_cpu()))?;
        let used = spinners.measure(300_000_000);
        check!(used[0] >= 60_000_000, "{used:?} ns: the first thread has to wait");
    }

    fn donated_weight_is_used_and_withdrawn() needs(CountedTime) {
        let mut spinners = Spinners::new();
        spinners.start(Spawn::new("test/load").on(last_cpu()))?;
        spinners.start(Spawn::new("test/light").on(last_cpu()).nice(Nice::MAX))?;
        spinners.measure(50_000_000);
        sched::donate_weight(spinners.threads()[1].thread().clone());
        let donated = spinners.measure(200_000_000);
        sched::withdraw_donation();
        spinners.measure(50_000_000);
        let after = spinners.measure(400_000_000);
        // With the donation it is half, up to one slice of a few tens.
        check!(donated[1] * 100 >= 30 * (donated[0] + donated[1]), "with the donation: {donated:?} ns");
        check!(after[1] * 100 <= 6 * (after[0] + after[1]), "withdrawn: {after:?} ns");
    }

    fn a_new_weight_counts_at_once() needs(CountedTime) {
        let mut spinners = Spinners::new();
        for _ in 0..2 {
            spinners.start(Spawn::new("test/renice").on(last_cpu()))?;
        }
        spinners.measure(30_000_000);
        sched::set_nice(spinners.threads()[0].thread(), Nice::MAX);
        let used = spinners.measure(500_000_000);
        check!(used[0] * 100 <= 6 * (used[0] + used[1]), "{used:?} ns");
    }

    fn a_quota_is_kept() needs(CountedTime) {
        let quota = a_quota(10_000_000, 50_000_000);
        let group = Group::new("test", Some(quota));
        let mut spinners = Spinners::new();
        for _ in 0..2 {
            spinners.start(Spawn::new("test/limited").group(&group))?;
        }
        let start_ns = tsc::now_ns();
        sched::sleep_ns(600_000_000);
        let (elapsed_ns, usage) = (tsc::now_ns() - start_ns, group.usage());
        let allowed_ns = elapsed_ns / 5;
        // The last period may be used up already, and a CPU may run on while this one looks.
        check!(usage.cpu_time_ns <= allowed_ns + allowed_ns / 4 + 20_000_000, "{usage:?} in {elapsed_ns} ns");
        // An emulator that counts lets its CPUs take turns of tens of milliseconds: some periods begin late.
        check!(usage.cpu_time_ns >= allowed_ns / 2, "{usage:?} in {elapsed_ns} ns");
        check!(usage.throttled >= 5, "{usage:?}");
    }

    /// Runs that are shorter than a timer's delay do not evade the quota.
    fn short_bursts_keep_to_the_quota() needs(CountedTime) {
        const BURST_NS: u64 = 60_000;
        let group = Group::new("test", Some(a_quota(5_000_000, 50_000_000)));
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let bursts = Spawn::new("test/bursts").group(&group).start(move || {
            while !told.load(SeqCst) {
                let start_ns = tsc::now_ns();
                while tsc::now_ns() - start_ns < BURST_NS {
                    work();
                }
                sched::sleep_ns(10_000);
            }
        });
        let bursts = bursts.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        let start_ns = tsc::now_ns();
        sched::sleep_ns(600_000_000);
        let (usage, elapsed_ns) = (group.usage(), tsc::now_ns() - start_ns);
        stop.store(true, SeqCst);
        bursts.join();
        check!(usage.cpu_time_ns <= elapsed_ns / 10 + elapsed_ns / 20 + 10_000_000, "{usage:?} in {elapsed_ns} ns");
        check!(usage.throttled >= 5, "{usage:?}");
    }

    /// The caller's group is charged for its helpers; its quota and the caller's affinity bind them.
    fn helpers_are_charged_to_the_caller() needs(Cpus(2)) {
        skip_if!(!jobs_have_helpers(), "jobs may have one thread");
        let group = Group::new("test", None);
        let caller = Spawn::new("test/caller").group(&group).start(|| {
            let begun = AtomicUsize::new(0);
            let job = Job::new(Items::new(0)..Items::new(2)).threads_exact(2);
            let _ = job.run(&Kernel, |_| {
                begun.fetch_add(1, SeqCst);
                let start_ns = tsc::now_ns();
                while begun.load(SeqCst) < 2 || tsc::now_ns() - start_ns < 20_000_000 {
                    core::hint::spin_loop();
                }
                Ok::<(), ()>(())
            });
        });
        let caller = caller.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        caller.join();
        let usage = group.usage();
        check!(usage.helped_ns >= 5_000_000, "{} ns of help for {}", usage.helped_ns, group.name());
        check!(usage.cpu_time_ns > usage.helped_ns, "{usage:?}");

        let narrow = Group::new("narrow", Some(a_quota(15_000_000, 10_000_000)));
        let seen = Arc::new(AtomicUsize::new(0));
        for (spawn, expected) in [
            (Spawn::new("test/mask").on(last_cpu()), 1),
            (Spawn::new("test/quota").group(&narrow), 2.min(percpu::online_count())),
        ] {
            let slot = seen.clone();
            let widest_node = Arc::new(AtomicUsize::new(0));
            let node_slot = widest_node.clone();
            let thread = spawn.start(move || {
                slot.store(Kernel.online_cpus(), SeqCst);
                let of_node = |node: usize| Kernel.online_cpus_of_node(NodeId(node as u32));
                node_slot.store((0..Kernel.nodes()).map(of_node).max().unwrap_or(0), SeqCst);
            });
            thread.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?.join();
            let cpus = seen.load(SeqCst);
            check!(cpus == expected, "{cpus} cpus for a job, expected {expected}");
            let of_node = widest_node.load(SeqCst);
            check!((1..=expected).contains(&of_node), "{of_node} cpus of a node for a job, {expected} in all");
        }
    }
}
