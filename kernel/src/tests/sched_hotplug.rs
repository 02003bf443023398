//! CPUs that go and come back under load.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::SeqCst};

use ktask::{Items, Job};
use runqueue::CpuMask;

use super::sched_share::Spinners;
use crate::arch::{percpu, tsc};
use crate::debug::ktest::{Stopped, TestResult};
use crate::jobs::platform::Kernel;
use crate::sched::hotplug::{HotplugError, offline, online};
use crate::sched::{self, Spawn};
use crate::{check, kernel_tests, skip_if};

fn cpus() -> Vec<usize> {
    sched::online_cpus().iter().collect()
}

fn must<T>(result: Result<T, HotplugError>) -> Result<T, Stopped> {
    result.map_err(|error| Stopped::Failed(alloc::format!("{error}")))
}

fn last_goes_and_comes_back(check: impl FnOnce(usize) -> TestResult) -> TestResult {
    let last = cpus().last().copied().unwrap_or(0);
    must(offline(last))?;
    let result = check(last);
    must(online(last))?;
    result
}

kernel_tests! { "sched":
    fn a_cpu_that_goes_leaves_nothing_behind() {
        skip_if!(cpus().len() < 2, "needs two cpus");
        let last = cpus().last().copied().unwrap_or(0);
        let mut spinners = Spinners::new();
        for _ in 0..3 * cpus().len() {
            spinners.start(Spawn::new("test/spread"))?;
        }
        // One that belongs to that CPU alone, and one that sleeps there.
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
        last_goes_and_comes_back(|last| {
            check!(percpu::online_count() == before - 1 && cpus().len() == before - 1);
            let switches = sched::switches_of(last);
            // However long a busy host lets a CPU stand: everybody gets a turn.
            let read = || spinners.threads().iter().map(|thread| thread.thread().usage().switches).collect::<Vec<_>>();
            let (before, start_ns) = (read(), tsc::now_ns());
            let waiting = || read().iter().zip(&before).filter(|(now, before)| now == before).count();
            while waiting() > 0 && tsc::now_ns() - start_ns < 20_000_000_000 {
                sched::sleep_ns(5_000_000);
            }
            check!(waiting() == 0, "{} threads do not run any more", waiting());
            check!(sched::switches_of(last) == switches, "cpu {last} still switches");
            away.set(bound());
            sleeper.join();
            check!(woke_ns.load(SeqCst) > 0);
            Ok(())
        })?;
        // The bound one went elsewhere and comes home, and others come along.
        let switches = sched::switches_of(last);
        let start_ns = tsc::now_ns();
        let is_back = || bound() > away.get() && sched::switches_of(last) >= switches + 4;
        while !is_back() && tsc::now_ns() - start_ns < 20_000_000_000 {
            sched::sleep_ns(1_000_000);
        }
        check!(bound() > away.get(), "the bound thread did not come home");
        check!(sched::switches_of(last) >= switches + 4, "nothing runs on cpu {last} again");
    }

    /// A job that runs when a CPU leaves still does every unit once.
    fn a_job_survives_cpus_that_go() {
        skip_if!(cpus().len() < 2, "needs two cpus");
        let done = Arc::new(AtomicBool::new(false));
        let told = done.clone();
        let caller = Spawn::new("test/caller").start(move || {
            for _ in 0..20 {
                let seen: Vec<AtomicU8> = (0..2000).map(|_| AtomicU8::new(0)).collect();
                let job = Job::new(Items::new(0)..Items::new(2000)).min_chunk(Items::new(5));
                let _ = job.run(&Kernel, |chunk| {
                    for unit in chunk.indices() {
                        seen[unit as usize].fetch_add(1, SeqCst);
                        (0..500).for_each(|_| core::hint::spin_loop());
                    }
                    Ok::<(), ()>(())
                });
                assert!(seen.iter().all(|count| count.load(SeqCst) == 1), "a unit was not done once");
            }
            told.store(true, SeqCst);
        });
        let caller = caller.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        let mut changes = 0;
        while !done.load(SeqCst) || changes == 0 {
            last_goes_and_comes_back(|_| Ok(()))?;
            changes += 1;
        }
        caller.join();
    }

    fn cpus_that_cannot_go_are_told() {
        let all = cpus();
        check!(offline(runqueue::MAX_CPUS) == Err(HotplugError::NoSuchCpu(runqueue::MAX_CPUS)));
        check!(online(all[0]) == Err(HotplugError::NothingToDo(all[0])));
        for cpu in &all[1..] {
            must(offline(*cpu))?;
            check!(offline(*cpu) == Err(HotplugError::NothingToDo(*cpu)));
        }
        let alone = offline(all[0]);
        for cpu in &all[1..] {
            must(online(*cpu))?;
        }
        check!(alone == Err(HotplugError::LastCpu(all[0])), "{alone:?}");
    }
}
