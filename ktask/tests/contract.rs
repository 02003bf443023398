//! The promises of a job besides exactly once: invalid input, errors, undo, cancellation, limits.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{Seen, ideal};
use ktask::hosted::{Hosted, OrderedMutex};
use ktask::sim::Sim;
use ktask::{
    Bytes, CancelToken, Cause, Chunk, HugePages, Invalid, Items, Job, JobError, NodeId, NodeRange, Pages,
    Platform, Profile, Trail, Tuning,
};
use proptest::prelude::*;

fn items(range: std::ops::Range<u64>) -> Job<'static, Items> {
    Job::new(Items::new(range.start)..Items::new(range.end))
}

fn node_range(node: u32, start: u64, end: u64) -> NodeRange<Items> {
    NodeRange::new(NodeId(node), Items::new(start)..Items::new(end))
}

/// Runs a job with an invalid description, which must not call its thread function. Returns the
/// error.
fn refusal(platform: &Hosted, job: &Job<'_, Items>) -> Invalid {
    let never = |_: Chunk<Items>| -> Result<(), ()> { panic!("must not be started") };
    match job.run(platform, never) {
        Err(JobError { cause: Cause::Invalid(invalid), stats, .. }) => {
            assert_eq!(stats, ktask::Stats::default());
            invalid
        }
        other => panic!("{other:?} from an invalid job"),
    }
}

#[test]
fn invalid_input_is_named_and_nothing_is_started() {
    let platform = Hosted::builder().cpus(2).nodes(2).build();
    #[expect(clippy::reversed_empty_ranges, reason = "the range under test")]
    let reversed = items(9..3);
    assert_eq!(refusal(&platform, &reversed), Invalid::RangeReversed { start: 9, end: 3 });
    let job = || items(0..10);
    let zero = Items::new(0);
    assert_eq!(refusal(&platform, &job().min_chunk(zero)), Invalid::MinChunkZero);
    assert_eq!(refusal(&platform, &job().align(zero)), Invalid::AlignZero);
    assert_eq!(refusal(&platform, &job().max_threads(0)), Invalid::MaxThreadsZero);
    for threads in [0, ktask::MAX_WORKERS + 1, usize::MAX] {
        let invalid = refusal(&platform, &job().threads_exact(threads));
        assert_eq!(invalid, Invalid::ThreadsExactOutOfRange { threads });
        assert_eq!(invalid.to_string(), format!("threads_exact {threads}: must be 1 to 1024"));
    }
    let many = vec![node_range(0, 0, 0); 65];
    let invalid = refusal(&platform, &job().nodes(&many));
    assert_eq!(invalid, Invalid::TooManyNodeRanges { ranges: 65 });
    let invalid = refusal(&platform, &job().nodes(&[node_range(2, 0, 10)]));
    assert_eq!(invalid, Invalid::NoSuchNode { index: 0, node: 2, nodes: 2 });
    assert_eq!(invalid.to_string(), "node range 0 names node 2: must be 0 to 1");
    let invalid = refusal(&platform, &job().nodes(&[node_range(0, 10, 0)]));
    assert_eq!(invalid, Invalid::NodeRangeReversed { index: 0, start: 10, end: 0 });
    let invalid = refusal(&platform, &job().nodes(&[node_range(0, 0, 11)]));
    assert_eq!(invalid, Invalid::NodeRangeOutside { index: 0, start: 0, end: 11 });
    let overlapping = [node_range(0, 0, 6), node_range(1, 5, 10)];
    let invalid = refusal(&platform, &job().nodes(&overlapping));
    assert_eq!(invalid, Invalid::NodeRangesOverlap { index: 1, other: 0 });
    let invalid = refusal(&platform, &Job::over_nodes(&overlapping));
    assert_eq!(invalid, Invalid::NodeRangesOverlap { index: 1, other: 0 });
    let gappy = [node_range(0, 0, 4), node_range(1, 5, 10)];
    let invalid = refusal(&platform, &job().nodes(&gappy));
    assert_eq!(invalid, Invalid::NodeRangesLeaveGap { units: 10, covered: 9 });
}

#[test]
fn empty_jobs_succeed_without_a_call() {
    let platform = Hosted::builder().cpus(2).build();
    let never = |_: Chunk<Items>| -> Result<(), ()> { panic!("no units, no call") };
    assert_eq!(items(5..5).run(&platform, never).unwrap().units, 0);
    assert_eq!(items(u64::MAX..u64::MAX).run(&platform, never).unwrap().units, 0);
    assert_eq!(Job::over_nodes(&[]).run(&platform, never).unwrap().units, 0);
    let (sum, _) = items(5..5)
        .run_reduce(&platform, || 7, |_, _| Ok::<(), ()>(()), |_, _| panic!("nothing to merge"))
        .unwrap();
    assert_eq!(sum, 7);
}

#[test]
fn headline_jobs_get_many_threads() {
    // A 1 GiB page in base pages and 200 GiB in huge pages, at 128 MiB per chunk, each in its unit.
    // The posted versions got one thread for both.
    Sim::run(ideal(1, 32), 1, |sim| {
        let stats = Job::new(Pages::new(0)..Pages::new(262_144))
            .min_chunk(Pages::new((128 << 20) / 4096))
            .profile(Profile::Boot)
            .run(sim, |chunk| {
                sim.work(chunk.len().get(), None);
                Ok::<(), ()>(())
            })
            .unwrap();
        assert_eq!(stats.threads_used, 8);
        let stats = Job::new(HugePages::new(0)..HugePages::new(100 * 1024))
            .min_chunk(HugePages::new(64))
            .run(sim, |chunk| {
                sim.work(chunk.len().get(), None);
                Ok::<(), ()>(())
            })
            .unwrap();
        assert_eq!(stats.threads_used as usize, ktask::RUNTIME_THREADS);
    });
}

#[test]
fn first_error_wins_and_carries_its_chunk() {
    let platform = Hosted::builder().cpus(4).build();
    let error =
        items(0..10_000)
            .threads_exact(4)
            .run(&platform, |chunk| {
                if chunk.indices().contains(&77) { Err(format!("bad unit {}", 77)) } else { Ok(()) }
            })
            .unwrap_err();
    let Cause::Failed { ref error, start, end } = error.cause else { panic!("{error:?}") };
    assert_eq!(error, "bad unit 77");
    assert!((start..end).contains(&77));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn exactly_the_completed_units_are_undone(
        len in 1u64..4000,
        min_chunk in 1u64..100,
        bad in prop::collection::vec(0u64..4000, 1..4),
        threads in 1usize..9,
        seed in any::<u32>(),
    ) {
        let (done, undone, failed) = (Seen::over(0..len), Seen::over(0..len), Seen::over(0..len));
        let ranges = [node_range(0, 0, len / 3), node_range(1, len / 3, len)];
        let mut machine = ideal(2, 4);
        machine.helper_jitter_ns = 100_000;
        let result = Sim::run(machine, seed.into(), |sim| {
            let undo = |chunk: Chunk<Items>| {
                sim.work(chunk.len().get(), chunk.node());
                undone.mark(&chunk);
            };
            Job::new(Items::new(0)..Items::new(len))
                .nodes(&ranges)
                .min_chunk(Items::new(min_chunk))
                .threads_exact(threads)
                .undo(&undo)
                .run(sim, |chunk| {
                    sim.work(chunk.len().get(), chunk.node());
                    if bad.iter().any(|unit| chunk.indices().contains(unit)) {
                        failed.mark(&chunk);
                        return Err(());
                    }
                    done.mark(&chunk);
                    Ok(())
                })
        });
        let any_bad = bad.iter().any(|&unit| unit < len);
        prop_assert_eq!(result.is_err(), any_bad);
        if let Err(error) = result {
            prop_assert_eq!(done.times(), undone.times());
            prop_assert!(done.times().iter().zip(failed.times()).all(|(a, b)| a + b <= 1));
            prop_assert_eq!(error.stats.units, error.stats.units_undone);
        } else {
            prop_assert!(undone.all(0));
        }
    }
}

#[test]
fn undo_is_shared_by_several_threads() {
    Sim::run(ideal(1, 8), 1, |sim| {
        let workers = Seen::over(0..8);
        let undo = |chunk: Chunk<Items>| {
            sim.work(chunk.len().get(), None);
            let worker = chunk.worker() as u64;
            items(worker..worker + 1)
                .run(sim, |one| {
                    workers.mark(&one);
                    Ok::<(), ()>(())
                })
                .unwrap();
        };
        items(0..100_000)
            .min_chunk(Items::new(100))
            .threads_exact(8)
            .undo(&undo)
            .run(sim, |chunk| {
                sim.work(chunk.len().get(), None);
                if chunk.end().get() == 100_000 { Err(()) } else { Ok(()) }
            })
            .unwrap_err();
        assert!(workers.times().iter().all(|&times| times > 0), "{:?}", workers.times());
    });
}

#[test]
fn cancellation_stops_at_the_next_chunk_and_undoes() {
    for threads in [1, 4] {
        let platform = Hosted::builder().cpus(4).build();
        let token = CancelToken::new();
        let undone = AtomicUsize::new(0);
        let undo = |chunk: Chunk<Items>| {
            undone.fetch_add(chunk.len().get() as usize, Ordering::SeqCst);
        };
        let error = items(0..1_000_000)
            .threads_exact(threads)
            .cancel(&token)
            .undo(&undo)
            .run(&platform, |_| {
                token.cancel();
                Ok::<(), ()>(())
            })
            .unwrap_err();
        assert_eq!(error.cause, Cause::Cancelled);
        assert!(error.stats.chunks <= threads as u64, "{error:?}");
        assert!(error.stats.units > 0 && error.stats.units < 1_000_000, "{error:?}");
        assert_eq!(undone.load(Ordering::SeqCst) as u64, error.stats.units);
    }
}

#[test]
fn deadline_ends_a_job_within_a_chunk() {
    for threads in [1, 4] {
        Sim::run(ideal(1, 4), 1, |sim| {
            // The job takes one thread a second; the deadline is after a tenth of a second.
            let deadline_ns = sim.now_ns() + 100_000_000;
            let error = items(0..1_000_000)
                .min_chunk(Items::new(1000))
                .threads_exact(threads)
                .deadline_ns(deadline_ns)
                .run(sim, |chunk| {
                    sim.work(chunk.len().get(), None);
                    Ok::<(), ()>(())
                })
                .unwrap_err();
            assert_eq!(error.cause, Cause::DeadlinePassed);
            // The job ends within a chunk, which is a 64th of the job on one thread.
            assert!(sim.now_ns() - deadline_ns < 17_000_000, "{error:?}");
            assert!(error.stats.wall_ns >= 100_000_000, "{error:?}");
        });
    }
}

#[test]
fn cancellation_after_the_last_chunk_has_no_effect() {
    for threads in [1, 2] {
        Sim::run(ideal(1, 2), 1, |sim| {
            let token = CancelToken::new();
            let job = items(0..2).threads_exact(threads).cancel(&token);
            let stats = job
                .run(sim, |chunk| {
                    sim.work(1000, None);
                    if chunk.end().get() == 2 {
                        token.cancel();
                    }
                    Ok::<(), ()>(())
                })
                .unwrap();
            assert_eq!(stats.units, 2);
        });
    }
}

#[test]
fn nested_job_checks_the_locks_of_all_callers() {
    let platform = Hosted::builder().cpus(4).build();
    let lock = OrderedMutex::new(9, ());
    let _held = lock.lock();
    items(0..50)
        .threads_exact(3)
        .run(&platform, |_| {
            std::thread::sleep(Duration::from_micros(200));
            let nested = items(0..2).takes_locks(lock.classes());
            assert_eq!(refusal(&platform, &nested), Invalid::LockHeld { locks: 1 << 9 });
            Ok::<(), ()>(())
        })
        .unwrap();
}

#[test]
fn panic_reaches_the_caller_after_join_and_undo() {
    for threads in [1, 4] {
        let platform = Hosted::builder().cpus(4).build();
        let running = AtomicUsize::new(0);
        let (done, undone) = (Seen::over(0..1000), Seen::over(0..1000));
        let undo = |chunk: Chunk<Items>| undone.mark(&chunk);
        let ranges = [node_range(0, 0, 10), node_range(0, 10, 1000)];
        let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            items(0..1000).nodes(&ranges).threads_exact(threads).undo(&undo).run(&platform, |chunk| {
                running.fetch_add(1, Ordering::SeqCst);
                let bad = chunk.indices().contains(&500);
                std::thread::sleep(Duration::from_micros(50));
                running.fetch_sub(1, Ordering::SeqCst);
                assert!(!bad, "unit 500");
                done.mark(&chunk);
                Ok::<(), ()>(())
            })
        }))
        .unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>().copied(), Some("unit 500"));
        assert_eq!(running.load(Ordering::SeqCst), 0);
        assert_eq!(done.times(), undone.times());
        assert!(done.times().contains(&1));
        // The pool still works.
        assert_eq!(items(0..10).threads_exact(2).run(&platform, |_| Ok::<(), ()>(())).unwrap().units, 10);
    }
}

#[test]
fn system_limit_binds_every_job() {
    let platform = Hosted::builder().cpus(8).max_threads(2).build();
    for job in [items(0..1000), items(0..1000).threads_exact(6), items(0..1000).max_threads(6)] {
        let stats = job.profile(Profile::Boot).run(&platform, |_| Ok::<(), ()>(())).unwrap();
        assert_eq!(stats.threads_allowed, 2);
        assert!(stats.threads_used <= 2);
    }
}

#[test]
fn budget_binds_helpers_of_all_jobs_and_permits_are_released() {
    let mut machine = ideal(2, 5);
    machine.budget_percent = 50;
    Sim::run(machine, 1, |sim| {
        let work = |chunk: Chunk<Items>| {
            assert!(sim.budget().in_use() <= 5);
            assert!(sim.budget().in_use_of_node(NodeId(0)) <= 2);
            assert!(sim.budget().in_use_of_node(NodeId(1)) <= 2);
            sim.work(chunk.len().get(), chunk.node());
            Ok::<(), ()>(())
        };
        let ranges = [node_range(0, 0, 50_000), node_range(1, 50_000, 100_000)];
        let job = items(0..100_000).nodes(&ranges).min_chunk(Items::new(100));
        let stats = job.run(sim, work).unwrap();
        // Two helpers per node within the nodes' shares, one without node, and the caller.
        assert_eq!(stats.threads_used, 6);
        assert_eq!(sim.budget().in_use(), 0);
        sim.budget().set_percent(0).unwrap();
        assert_eq!(items(0..100_000).run(sim, work).unwrap().threads_used, 1);
        // A boot job has no budget.
        let boot = items(0..100_000).profile(Profile::Boot).max_threads(3);
        assert_eq!(boot.run(sim, work).unwrap().threads_used, 3);
    });
}

#[test]
fn lost_refused_and_taken_back_helpers_release_their_permits() {
    let mut machine = ideal(1, 8);
    machine.lose_one_in = 2;
    machine.helper_jitter_ns = 1_000_000;
    for seed in 0..50 {
        Sim::run(machine.clone(), seed, |sim| {
            let stats = items(0..100)
                .run(sim, |chunk| {
                    sim.work(chunk.len().get(), None);
                    Ok::<(), ()>(())
                })
                .unwrap();
            assert_eq!(stats.units, 100);
            assert_eq!(sim.budget().in_use(), 0, "{stats:?}");
        });
    }
}

#[test]
fn helpers_that_have_not_started_are_taken_back() {
    // Helpers that take a second to start, for a millisecond of work.
    let mut machine = ideal(1, 4);
    machine.helper_start_ns = 1_000_000_000;
    Sim::run(machine, 1, |sim| {
        let stats = items(0..1000)
            .threads_exact(4)
            .run(sim, |chunk| {
                sim.work(chunk.len().get(), None);
                Ok::<(), ()>(())
            })
            .unwrap();
        assert_eq!(stats.helpers_taken_back, 3);
        assert!(stats.wall_ns < 3_000_000, "{stats:?}");
    });
}

#[test]
fn cpu_time_is_summed_and_charged() {
    Sim::run(ideal(1, 4), 1, |sim| {
        let stats = items(0..400_000)
            .min_chunk(Items::new(1000))
            .threads_exact(4)
            .run(sim, |chunk| {
                sim.work(chunk.len().get(), None);
                Ok::<(), ()>(())
            })
            .unwrap();
        let total_s = stats.cpu_ns as f64 / 1e9;
        assert!((0.4..0.402).contains(&total_s), "{stats:?}");
        let charged_s = sim.charged_ns(0) as f64 / 1e9;
        assert!((0.29..0.31).contains(&charged_s), "{charged_s}");
    });
}

#[test]
fn tuning_is_learned_and_used() {
    let mut machine = ideal(1, 32);
    let capacity = ktask::sim::Capacity::new(common::RATE, 8e6, 6e6, 32);
    machine.nodes[0].capacity = capacity;
    static TUNING: Tuning = Tuning::new();
    let trail = Trail::new();
    Sim::run(machine, 1, |sim| {
        let job = items(0..1_000_000)
            .min_chunk(Items::new(100))
            .profile(Profile::Boot)
            .tuning(&TUNING)
            .trail(&trail);
        let run = || {
            job.run(sim, |chunk| {
                sim.work(chunk.len().get(), None);
                Ok::<(), ()>(())
            })
            .unwrap()
        };
        let first = run();
        assert!(trail.taken() > 2, "{trail:?}");
        let learned = TUNING.learned_threads().unwrap();
        assert!((6..=9).contains(&learned), "{learned}");
        let second = run();
        assert_eq!(trail.taken(), 0, "{trail:?}");
        assert_eq!(second.threads_used as usize, learned);
        assert!(second.wall_ns < first.wall_ns);
        TUNING.forget();
        run();
        assert!(trail.taken() > 0);
    });
}

#[test]
fn nested_jobs_end_at_any_depth() {
    fn nest(platform: &Hosted, depth: u32, outer: &Chunk<Items>, leaves: &AtomicUsize) {
        if depth == 0 {
            leaves.fetch_add(outer.len().get() as usize, Ordering::Relaxed);
            return;
        }
        // One job per unit of the chunk, so that the number of leaves does not depend on the chunks.
        for _ in outer.indices() {
            items(0..3)
                .threads_exact(3)
                .within(outer)
                .run(platform, |inner| {
                    nest(platform, depth - 1, &inner, leaves);
                    Ok::<(), ()>(())
                })
                .unwrap();
        }
    }
    // More levels of nesting than threads.
    let platform = Hosted::builder().cpus(4).threads(3).build();
    let leaves = AtomicUsize::new(0);
    items(0..3)
        .threads_exact(3)
        .run(&platform, |chunk| {
            nest(&platform, 5, &chunk, &leaves);
            Ok::<(), ()>(())
        })
        .unwrap();
    assert_eq!(leaves.load(Ordering::Relaxed), 3usize.pow(6));
    assert_eq!(platform.queued_helpers(), 0);
}

#[test]
fn lock_held_by_the_caller_is_reported_instead_of_a_hang() {
    let platform = Hosted::builder().cpus(4).build();
    let lock = OrderedMutex::new(5, ());
    // Declared: refused before anything starts.
    {
        let _held = lock.lock();
        let invalid = refusal(&platform, &items(0..100).takes_locks(lock.classes()));
        assert_eq!(invalid, Invalid::LockHeld { locks: 1 << 5 });
    }
    // Not declared: reported by the worker that takes it first, caller or helper.
    for on_helper in [false, true] {
        let held = lock.lock();
        let helper_has_run = AtomicBool::new(false);
        let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            items(0..2).threads_exact(2).run(&platform, |chunk| {
                if chunk.worker() != 0 {
                    helper_has_run.store(true, Ordering::SeqCst);
                } else if on_helper {
                    // Wait, so that a helper runs the other unit.
                    let since = Instant::now();
                    while !helper_has_run.load(Ordering::SeqCst) {
                        assert!(since.elapsed().as_secs() < 30, "no helper has run");
                        std::thread::yield_now();
                    }
                    return Ok(());
                }
                drop(lock.lock());
                Ok::<(), ()>(())
            })
        }))
        .unwrap_err();
        drop(held);
        let message = payload.downcast_ref::<String>().unwrap();
        assert!(message.starts_with("lock class 5:"), "{message}");
        assert!(!on_helper || message.contains("held by the caller of this job"), "{message}");
    }
    // A lock that no caller holds is not reported.
    items(0..100)
        .takes_locks(lock.classes())
        .threads_exact(2)
        .run(&platform, |_| {
            drop(lock.lock());
            Ok::<(), ()>(())
        })
        .unwrap();
}

#[test]
fn walk_gets_the_positions_in_order() {
    // A list: position n is followed by next[n].
    let next: Vec<usize> = (0..1000).map(|n| (n * 7 + 3) % 1000).collect();
    let mut order = vec![0];
    for _ in 1..=1000 {
        order.push(next[order[order.len() - 1]]);
    }
    for threads in [1, 4] {
        let platform = Hosted::builder().cpus(4).build();
        let advance = |from: usize, steps: u64| (0..steps).fold(from, |at, _| next[at]);
        let stats = items(0..1000)
            .min_chunk(Items::new(7))
            .threads_exact(threads)
            .run_walk(&platform, 0, advance, |chunk, positions| {
                let (start, end) = (chunk.start().get() as usize, chunk.end().get() as usize);
                if (positions.start, positions.end) == (order[start], order[end]) {
                    Ok(())
                } else {
                    Err((chunk.indices(), positions))
                }
            })
            .unwrap();
        assert_eq!(stats.units, 1000);
    }
    let platform = Hosted::builder().cpus(4).build();
    let ranges = [node_range(0, 0, 10)];
    let job = items(0..10).nodes(&ranges);
    let error = job.run_walk(&platform, 0, |q, _| q, |_, _| Ok::<(), ()>(())).unwrap_err();
    assert_eq!(error.cause, Cause::Invalid(Invalid::WalkOverNodes));
}

#[test]
fn panic_in_a_walk_does_not_hang_other_workers() {
    let platform = Hosted::builder().cpus(4).build();
    let advance = |from: u64, steps: u64| {
        assert!(from < 500, "off the end");
        from + steps
    };
    let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        items(0..1000).threads_exact(4).run_walk(&platform, 0, advance, |_, _| Ok::<(), ()>(()))
    }))
    .unwrap_err();
    assert_eq!(payload.downcast_ref::<&str>().copied(), Some("off the end"));
}

#[test]
fn reduce_merges_every_accumulator() {
    let platform = Hosted::builder().cpus(4).build();
    for threads in [1, 4] {
        let (sum, stats) = Job::new(Bytes::new(0)..Bytes::new(100_000))
            .min_chunk(Bytes::new(64))
            .threads_exact(threads)
            .run_reduce(
                &platform,
                || 0,
                |sum: &mut u64, chunk| {
                    *sum += chunk.indices().sum::<u64>();
                    Ok::<(), ()>(())
                },
                |a, b| a + b,
            )
            .unwrap();
        assert_eq!(sum, 100_000 * 99_999 / 2);
        assert_eq!(stats.units, 100_000);
    }
}

/// A merge belongs to its worker, also where wall time stands for CPU time: in a helper that began late.
#[test]
fn the_time_of_a_merge_is_cpu_time() {
    const MERGE_NS: u64 = 100_000;
    let platform = Hosted::builder().cpus(2).build();
    let caller = std::thread::current().id();
    for _ in 0..100 {
        let (begun, merges) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let ((), stats) = items(0..2)
            .threads_exact(2)
            .run_reduce(
                &platform,
                || (),
                |(), _| {
                    begun.fetch_add(1, Ordering::SeqCst);
                    while begun.load(Ordering::SeqCst) < 2 {
                        std::thread::yield_now();
                    }
                    // The helper comes later to the end, so that it is often the helper that merges.
                    let pauses = if std::thread::current().id() == caller { 0 } else { 500 };
                    (0..pauses).for_each(|_| std::hint::spin_loop());
                    Ok::<(), ()>(())
                },
                |(), ()| {
                    let until_ns = platform.thread_time_ns() + MERGE_NS;
                    while platform.thread_time_ns() < until_ns {}
                    merges.fetch_add(1, Ordering::SeqCst);
                },
            )
            .unwrap();
        assert_eq!(merges.into_inner(), 1, "{stats:?}");
        assert!(stats.cpu_ns >= MERGE_NS, "{stats:?}");
    }
}
