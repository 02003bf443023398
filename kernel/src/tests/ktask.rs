//! ktask in the booted kernel: every unit exactly once, on real CPUs.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering::SeqCst};

use ktask::{Items, Job, Profile};

use crate::arch::percpu;
use crate::jobs::helpers;
use crate::jobs::platform::Kernel;
use crate::sched::mutex::Mutex;
use crate::{check, kernel_tests, sched};

/// Rounds of nested jobs: a tenth of a second.
const NESTED_ROUNDS: u64 = 200;

/// Waits until no helper of an earlier job is in use.
fn wait_for_helpers() {
    while helpers::in_use() > 0 {
        sched::yield_now();
    }
}

kernel_tests! { "ktask":
    /// Counts for each unit how often it was done.
    fn every_unit_exactly_once() {
        for (units, min_chunk, align) in [(1, 1, 1), (7, 1, 1), (1000, 3, 1), (4096, 16, 64), (99_991, 7, 10)] {
            for threads in 1..=2 * percpu::online_count() {
                let seen: Vec<AtomicU8> = (0..units).map(|_| AtomicU8::new(0)).collect();
                let job = Job::new(Items::new(0)..Items::new(units))
                    .min_chunk(Items::new(min_chunk))
                    .align(Items::new(align))
                    .threads_exact(threads);
                let stats = job.run(&Kernel, |chunk| {
                    for unit in chunk.indices() {
                        seen[unit as usize].fetch_add(1, SeqCst);
                    }
                    Ok::<(), ()>(())
                });
                let wrong = seen.iter().position(|count| count.load(SeqCst) != 1);
                check!(wrong.is_none(), "{units} units, {threads} threads: unit {wrong:?} was not done once");
                match stats {
                    Ok(stats) => {
                        check!(stats.units == units, "{} of {units} units are reported as done", stats.units);
                        check!(stats.threads_used as usize <= threads);
                    }
                    Err(_) => check!(false, "{units} units, {threads} threads: the job failed"),
                }
            }
        }
    }

    /// A job has helpers on other CPUs.
    fn helpers_run_beside_the_caller() needs(Cpus(2)) {
        crate::skip_if!(!params::registry::KTASK_ENABLED.get(), "ktask is off");
        crate::skip_if!(params::registry::KTASK_MAX_THREADS.get() == 1, "jobs may have one thread");
        wait_for_helpers();
        // Each of two chunks waits until the other has begun. One thread alone would wait for ever.
        let begun = AtomicUsize::new(0);
        let job = Job::new(Items::new(0)..Items::new(2)).threads_exact(2);
        let stats = job.run(&Kernel, |_| {
            begun.fetch_add(1, SeqCst);
            while begun.load(SeqCst) < 2 {
                core::hint::spin_loop();
            }
            Ok::<(), ()>(())
        });
        check!(stats.is_ok_and(|stats| stats.threads_used == 2));
    }

    fn the_first_error_ends_the_job_and_done_work_is_undone() {
        let done: Vec<AtomicU8> = (0..500).map(|_| AtomicU8::new(0)).collect();
        let undo = |chunk: ktask::Chunk<Items>| {
            for unit in chunk.indices() {
                done[unit as usize].fetch_sub(1, SeqCst);
            }
        };
        let job = Job::new(Items::new(0)..Items::new(500)).undo(&undo).profile(Profile::Boot);
        let result = job.run(&Kernel, |chunk| {
            if chunk.indices().contains(&321) {
                return Err("unit 321");
            }
            for unit in chunk.indices() {
                done[unit as usize].fetch_add(1, SeqCst);
            }
            Ok(())
        });
        check!(result.is_err(), "the job did not fail");
        let left = done.iter().position(|count| count.load(SeqCst) != 0);
        check!(left.is_none(), "unit {left:?} was not undone");
    }

    fn nested_jobs_do_not_block_each_other() {
        let total = AtomicUsize::new(0);
        let outer = Job::new(Items::new(0)..Items::new(8)).profile(Profile::Boot);
        let result = outer.run(&Kernel, |chunk| {
            let inner = Job::new(Items::new(0)..Items::new(100)).within(&chunk).profile(Profile::Boot);
            let times = chunk.len().get();
            for _ in 0..times {
                let inner_result = inner.run(&Kernel, |chunk| {
                    total.fetch_add(chunk.len().get() as usize, SeqCst);
                    Ok::<(), ()>(())
                });
                if inner_result.is_err() {
                    return Err(());
                }
            }
            Ok(())
        });
        check!(result.is_ok());
        check!(total.load(SeqCst) == 800, "{} units of 800", total.load(SeqCst));
    }

    /// Jobs three deep. Each of the two outer levels holds a mutex while it runs the next. The workers of a job wait for the
    /// mutex of another worker, and callers wait for helpers that no thread may have begun.
    fn jobs_three_deep_under_mutexes_end() {
        let (outer_lock, middle_lock) = (Mutex::new(0_u64), Mutex::new(0_u64));
        let job = |units: u64| Job::new(Items::new(0)..Items::new(units)).profile(Profile::Boot).threads_exact(units as usize);
        for round in 1..=NESTED_ROUNDS {
            let result = job(3).run(&Kernel, |outer| {
                outer.indices().try_for_each(|_| {
                    let mut count = outer_lock.lock();
                    *count += 1;
                    let middle = job(2).within(&outer).run(&Kernel, |middle| {
                        middle.indices().try_for_each(|_| {
                            *middle_lock.lock() += 1;
                            let inner = job(2).within(&middle);
                            let _held = middle_lock.lock();
                            inner.run(&Kernel, |_| Ok::<(), ()>(())).map(drop).map_err(drop)
                        })
                    });
                    middle.map(drop).map_err(drop)
                })
            });
            check!(result.is_ok(), "round {round}");
            let counts = (*outer_lock.lock(), *middle_lock.lock());
            check!(counts == (3 * round, 6 * round), "round {round}: {counts:?}");
        }
    }

    /// Runs the crate's checks of a platform on the kernel's.
    fn the_platform_conforms() {
        wait_for_helpers();
        for check in ktask::conformance::checks() {
            let result = (check.run)(&Kernel);
            check!(result.is_ok(), "{}: {result:?}", check.name);
        }
    }

    /// Many jobs from many threads at once share the helpers.
    fn jobs_from_many_threads() {
        let threads: Vec<_> = (0..6u64)
            .map(|number| {
                sched::spawn("test/jobs", move || {
                    for round in 0..40 {
                        let units = 1 + (number * 37 + round * 11) % 300;
                        let count = AtomicUsize::new(0);
                        let job = Job::new(Items::new(0)..Items::new(units)).profile(Profile::Boot);
                        let result = job.run(&Kernel, |chunk| {
                            count.fetch_add(chunk.len().get() as usize, SeqCst);
                            Ok::<(), ()>(())
                        });
                        assert!(result.is_ok());
                        assert_eq!(count.load(SeqCst) as u64, units);
                    }
                })
            })
            .collect();
        for thread in threads.into_iter().flatten() {
            thread.join();
        }
        // No helper is lost.
        wait_for_helpers();
    }
}
