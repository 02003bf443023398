//! CPUs that go offline and come back under load.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::SeqCst};

use ktask::{Items, Job, NodeId, NodeRange, Platform, Profile};
use runqueue::CpuMask;

use super::spinners::Spinners;
use super::wait::{Patience, within, within_20_s};
use crate::arch::irq::IrqGuard;
use crate::arch::{cpu, percpu, tsc};
use crate::debug::ktest::{Stopped, TestResult};
use crate::jobs::platform::Kernel;
use crate::platform::nodes;
use crate::sched::hotplug::{HotplugError, offline, online};
use crate::sched::pool::{self, WorkAttrs};
use crate::sched::{self, Spawn, snapshot};
use crate::{check, kernel_tests, skip_if};

fn cpus() -> Vec<usize> {
    sched::online_cpus().iter().collect()
}

fn or_fail<T>(result: Result<T, HotplugError>) -> Result<T, Stopped> {
    result.map_err(|error| Stopped::Failed(alloc::format!("{error}")))
}

fn with_last_offline(check: impl FnOnce(usize) -> TestResult) -> TestResult {
    let last = cpus().last().copied().unwrap_or(0);
    or_fail(offline(last))?;
    let result = check(last);
    or_fail(online(last))?;
    result
}

kernel_tests! { "sched":
    fn an_offline_cpu_leaves_nothing_behind() needs(Cpus(2)) {
        let last = cpus().last().copied().unwrap_or(0);
        let mut spinners = Spinners::new();
        for _ in 0..3 * cpus().len() {
            spinners.start(Spawn::new("test/spread"))?;
        }
        // One thread that may run on that CPU alone, and one that sleeps there.
        spinners.start(Spawn::new("test/bound").on(CpuMask::single(last)))?;
        let woke_ns = Arc::new(AtomicU64::new(0));
        let slot = woke_ns.clone();
        let sleeper = Spawn::new("test/sleeper").on(CpuMask::single(last)).start(move || {
            sched::sleep_ns(50_000_000);
            slot.store(tsc::now_ns(), SeqCst);
        });
        let sleeper = sleeper.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        sched::sleep_ns(10_000_000);
        let before = cpus().len();
        let bound = || spinners.threads().last().map_or(0, |thread| thread.thread().usage().migrations);
        let away = core::cell::Cell::new(0);
        with_last_offline(|last| {
            check!(percpu::online_count() == before - 1 && cpus().len() == before - 1);
            let switches = sched::switches_of(last);
            // Every thread runs, however long a busy host stops a CPU.
            let read = || spinners.threads().iter().map(|thread| thread.thread().usage().switches).collect::<Vec<_>>();
            let before = read();
            let waiting = || read().iter().zip(&before).filter(|(now, before)| now == before).count();
            check!(within_20_s(|| waiting() == 0), "{} threads do not run any more", waiting());
            check!(sched::switches_of(last) == switches, "cpu {last} still switches");
            away.set(bound());
            sleeper.join();
            check!(woke_ns.load(SeqCst) > 0);
            Ok(())
        })?;
        // The bound thread migrated and comes back, and other threads run there too.
        let switches = sched::switches_of(last);
        check!(within_20_s(|| bound() > away.get()), "the bound thread did not come back");
        check!(within_20_s(|| sched::switches_of(last) >= switches + 4), "nothing runs on cpu {last} again");
    }

    /// Whichever CPU goes offline: one watchdog runs on the first CPU that is left, the other on any other.
    fn watchdogs_move_with_the_cpus() needs(Cpus(3)) {
        let all = cpus();
        let mask_of = |name: &str| snapshot::threads().find(|report| report.name() == name).map(|report| report.allowed);
        skip_if!(mask_of("watchdog/0").is_none() || mask_of("watchdog/1").is_none(), "there are no watchdogs");
        let every: CpuMask = percpu::all().map(|cpu| cpu.id().index()).collect();
        let are_placed = || {
            let first = CpuMask::single(cpus()[0]);
            mask_of("watchdog/0") == Some(first) && mask_of("watchdog/1") == Some(every.without(first))
        };
        // Long before their next look.
        let soon = || within(2_000_000_000, are_placed);
        for cpu in [all[0], all[all.len() - 1]] {
            or_fail(offline(cpu))?;
            let without = soon();
            or_fail(online(cpu))?;
            check!(without, "without cpu {cpu} they are not where they should be");
            check!(soon(), "with cpu {cpu} they are not where they should be");
        }
    }

    /// The count of idle CPUs does not include offline ones.
    fn an_offline_cpu_does_not_count_as_idle() needs(Cpus(2)) {
        sched::reap_all_exited();
        // The calling thread keeps one CPU busy; the others have nothing to do, and idle at most looks.
        let mostly_idle = |wanted: usize| {
            let is_right = |_: &u32| {
                let look_ns = tsc::now_ns();
                while tsc::now_ns() - look_ns < 10_000 {
                    cpu::relax();
                }
                sched::idle_count() as usize == wanted
            };
            (0..1000).filter(is_right).count() > 900
        };
        let expect_idle = |wanted: usize| {
            let mut patience = Patience::new(5_000_000_000);
            while !mostly_idle(wanted) {
                check!(patience.lasts(), "{} cpus idle, not {wanted}", sched::idle_count());
            }
            Ok(())
        };
        let others = cpus().len() - 1;
        expect_idle(others)?;
        with_last_offline(|_| expect_idle(others - 1))?;
        expect_idle(others)?;
    }

    /// The CPU that goes offline waits for a thread of the idle class, which runs on the caller's CPU when the caller blocks.
    fn a_thread_that_takes_a_cpu_offline_leaves_its_own_cpu_to_others() needs(Cpus(2)) {
        let (first, last) = (cpus()[0], cpus()[cpus().len() - 1]);
        let before = sched::current().allowed();
        check!(sched::set_affinity(sched::current(), &CpuMask::single(first)).is_ok());
        let flag = || Arc::new(AtomicBool::new(false));
        let (is_closed, is_open, in_time) = (flag(), flag(), flag());
        let (closing, open, slot) = (is_closed.clone(), is_open.clone(), in_time.clone());
        let closed = Spawn::new("test/closed").on(CpuMask::single(last)).start(move || {
            let _irq = IrqGuard::new();
            closing.store(true, SeqCst);
            let mut patience = Patience::new(5_000_000_000);
            while !open.load(SeqCst) && patience.lasts() {
                cpu::relax();
            }
            slot.store(open.load(SeqCst), SeqCst);
        });
        let closed = closed.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        let is_held = within_20_s(|| is_closed.load(SeqCst));
        let open = is_open.clone();
        let opener = Spawn::new("test/opener").on(CpuMask::single(first)).idle_class();
        let opener = opener.start(move || open.store(true, SeqCst));
        let gone = offline(last);
        let back = gone.and_then(|()| online(last));
        closed.join();
        if let Ok(opener) = opener {
            opener.join();
        }
        check!(sched::set_affinity(sched::current(), &before).is_ok());
        or_fail(back)?;
        check!(is_held, "the thread on cpu {last} did not run");
        check!(in_time.load(SeqCst), "the thread of the idle class did not run before cpu {last} was offline");
    }

    /// A thread waits for the change of another one that runs only when it blocks.
    fn a_change_waits_for_one_of_the_idle_class() needs(Cpus(2)) {
        let (first, last) = (cpus()[0], cpus()[cpus().len() - 1]);
        let before = sched::current().allowed();
        check!(sched::set_affinity(sched::current(), &CpuMask::single(first)).is_ok());
        let stop = Arc::new(AtomicBool::new(false));
        let (stopping, changes) = (stop.clone(), Arc::new(AtomicU64::new(0)));
        let made = changes.clone();
        let other = Spawn::new("test/idle").on(CpuMask::single(first)).idle_class().start(move || {
            while !stopping.load(SeqCst) {
                // Either may find that the other thread was quicker.
                let _ = (offline(last), online(last));
                made.fetch_add(1, SeqCst);
            }
        });
        let other = other.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        let mut own = 0;
        for round in 0..200 {
            // In the middle of a change, mostly.
            sched::sleep_ns(20_000 + round % 10 * 20_000);
            own += u64::from(offline(last).is_ok()) + u64::from(online(last).is_ok());
        }
        stop.store(true, SeqCst);
        other.join();
        let _ = online(last);
        check!(sched::set_affinity(sched::current(), &before).is_ok());
        check!(own > 0 && changes.load(SeqCst) > 0, "{own} own changes, {} of the other", changes.load(SeqCst));
    }

    /// A job that runs while a CPU goes offline still does every unit once.
    fn a_job_survives_cpus_that_go_offline() needs(Cpus(2)) {
        const CHANGES: u64 = 20;
        let changes = Arc::new(AtomicU64::new(0));
        let made = changes.clone();
        let caller = Spawn::new("test/caller").start(move || {
            while made.load(SeqCst) < CHANGES {
                let seen: Vec<AtomicU8> = (0..2000).map(|_| AtomicU8::new(0)).collect();
                let job = Job::new(Items::new(0)..Items::new(2000)).min_chunk(Items::new(5));
                let _ = job.run(&Kernel, |chunk| {
                    for unit in chunk.indices() {
                        seen[unit as usize].fetch_add(1, SeqCst);
                        (0..100).for_each(|_| core::hint::spin_loop());
                    }
                    Ok::<(), ()>(())
                });
                assert!(seen.iter().all(|count| count.load(SeqCst) == 1), "a unit was not done once");
            }
        });
        let caller = caller.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        while changes.load(SeqCst) < CHANGES {
            with_last_offline(|_| Ok(()))?;
            changes.fetch_add(1, SeqCst);
        }
        caller.join();
    }

    fn impossible_changes_are_errors() {
        let all = cpus();
        check!(offline(runqueue::MAX_CPUS) == Err(HotplugError::NoSuchCpu(runqueue::MAX_CPUS)));
        check!(online(all[0]) == Err(HotplugError::NothingToDo(all[0])));
        for cpu in &all[1..] {
            or_fail(offline(*cpu))?;
            check!(offline(*cpu) == Err(HotplugError::NothingToDo(*cpu)));
        }
        let alone = offline(all[0]);
        for cpu in &all[1..] {
            or_fail(online(*cpu))?;
        }
        check!(alone == Err(HotplugError::LastCpu(all[0])), "{alone:?}");
    }

    /// CPUs go offline and come back at random under jobs over all nodes and items of all pools. Every unit and item is done
    /// once, sleepers wake, and all CPUs are back in the end.
    fn jobs_and_pools_survive_random_changes() needs(Cpus(2)) {
        const UNITS: u64 = 3000;
        const ROUNDS: u64 = 12;
        let all = cpus();
        let working = Arc::new(AtomicU64::new(0));
        let wrong = Arc::new(AtomicU64::new(0));
        let mut threads = Vec::new();
        for number in 0..3u64 {
            let (working, wrong) = (working.clone(), wrong.clone());
            working.fetch_add(1, SeqCst);
            let work = move || {
                for round in 0..ROUNDS {
                    let not_once = match (round + number) % 3 {
                        0 => job_over_nodes(UNITS),
                        1 => items_of_all_pools(200),
                        _ => naps(20),
                    };
                    wrong.fetch_add(not_once, SeqCst);
                }
                working.fetch_sub(1, SeqCst);
            };
            let thread = Spawn::new("test/caller").start(work);
            threads.push(thread.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?);
        }
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        let (mut changes, mut fewest) = (0, all.len());
        while working.load(SeqCst) > 0 || changes < 4 * all.len() {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // The first CPU stays: the last one online cannot go offline.
            let cpu = all[1 + random as usize % (all.len() - 1)];
            or_fail(if sched::online_cpus().contains(cpu) { offline(cpu) } else { online(cpu) })?;
            let left = cpus().len();
            (changes, fewest) = (changes + 1, fewest.min(left));
            check!(percpu::online_count() == left && Kernel.online_cpus() == left, "jobs see {} cpus of {left}", Kernel.online_cpus());
            sched::yield_now();
        }
        for cpu in all.iter().filter(|cpu| !sched::online_cpus().contains(**cpu)) {
            or_fail(online(*cpu))?;
        }
        for thread in threads {
            thread.join();
        }
        check!(wrong.load(SeqCst) == 0, "{} units, items or sleeps were not done once", wrong.load(SeqCst));
        check!(fewest < all.len() && cpus() == all);
        // An item that is bound to a node's CPUs runs there again.
        for node in 0..nodes::nodes().len() {
            let home = *nodes::cpus_of(node) & sched::online_cpus();
            let Some(pool) = pool::of_node(node, &CpuMask::ALL).filter(|_| !home.is_empty()) else { continue };
            let seen = Arc::new(AtomicU64::new(u64::MAX));
            let slot = seen.clone();
            let told = move || slot.store(percpu::this_cpu().id().index() as u64, SeqCst);
            let Ok((item, generation)) = pool::submit_fn(pool, WorkAttrs::new().on(home), told) else { continue };
            pool::wait(&item, generation);
            check!(home.contains(seen.load(SeqCst) as usize), "node {node}'s item was done on cpu {}", seen.load(SeqCst));
        }
    }
}

/// Runs a job of `units`, an equal part for each node, and returns how many were not done once.
fn job_over_nodes(units: u64) -> u64 {
    let seen: Vec<AtomicU8> = (0..units).map(|_| AtomicU8::new(0)).collect();
    let count = nodes::nodes().len() as u64;
    let part = |node: u64| Items::new(units * node / count)..Items::new(units * (node + 1) / count);
    let ranges: Vec<_> = (0..count).map(|node| NodeRange::new(NodeId(node as u32), part(node))).collect();
    let job = Job::over_nodes(&ranges).min_chunk(Items::new(5)).profile(Profile::Boot);
    let result = job.run(&Kernel, |chunk| {
        for unit in chunk.indices() {
            seen[unit as usize].fetch_add(1, SeqCst);
            (0..100).for_each(|_| core::hint::spin_loop());
        }
        Ok::<(), ()>(())
    });
    let not_once = seen.iter().filter(|count| count.load(SeqCst) != 1).count() as u64;
    not_once + u64::from(result.is_err())
}

/// Has all pools do `items` together, and returns how many were not done once.
fn items_of_all_pools(items: usize) -> u64 {
    let seen: Arc<Vec<AtomicU8>> = Arc::new((0..items).map(|_| AtomicU8::new(0)).collect());
    let submit = |number: usize| {
        let (seen, pool) = (seen.clone(), &pool::all()[number % pool::all().len()]);
        let done = move || {
            seen[number].fetch_add(1, SeqCst);
        };
        pool::submit_fn(pool, WorkAttrs::new(), done).ok()
    };
    let submitted: Vec<_> = (0..items).filter_map(submit).collect();
    for (item, generation) in &submitted {
        pool::wait(item, *generation);
    }
    seen.iter().filter(|count| count.load(SeqCst) != 1).count() as u64
}

/// Sleeps `times` times, and returns how often it was woken early.
fn naps(times: u64) -> u64 {
    let nap = |number: u64| {
        let (start_ns, ns) = (tsc::now_ns(), 100_000 * (number % 7 + 1));
        sched::sleep_ns(ns);
        tsc::now_ns() < start_ns + ns
    };
    (0..times).filter(|number| nap(*number)).count() as u64
}
