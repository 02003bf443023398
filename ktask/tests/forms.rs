//! The settings and ways of running a job beside `run`: bounds of chunks, timeouts, searches, units.

mod common;

use std::error::Error;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{Seen, ideal};
use ktask::hosted::Hosted;
use ktask::sim::Sim;
use ktask::{CancelToken, Cause, Chunk, Invalid, Items, Job, Pages, Platform, Profile};
use proptest::prelude::*;

fn items(range: std::ops::Range<u64>) -> Job<'static, Items> {
    Job::new(Items::new(range.start)..Items::new(range.end))
}

#[test]
fn a_thread_function_without_result_cannot_fail() {
    let platform = Hosted::builder().cpus(2).build();
    let seen = Seen::over(0..1000);
    let Ok(stats) = items(0..1000).run(&platform, |chunk| seen.mark(&chunk)) else { panic!("nothing fails") };
    assert_eq!(stats.units, 1000);
    assert!(seen.all(1));
    let add = |sum: &mut u64, chunk: Chunk<usize>| *sum += chunk.range().map(|n| n as u64).sum::<u64>();
    let (sum, _) = Job::new(0..1000_usize).run_reduce(&platform, || 0, add, |a, b| a + b).unwrap();
    assert_eq!(sum, 499_500);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn chunks_keep_both_bounds(
        start in 0u64..100,
        len in 1u64..5000,
        min_chunk in 1u64..60,
        align in 1u64..30,
        more in 0u64..40,
        threads in 1usize..5,
        seed in any::<u32>(),
    ) {
        let max_chunk = min_chunk.next_multiple_of(align) + more;
        let chunks = Mutex::new(Vec::new());
        Sim::run(ideal(1, 4), seed.into(), |sim| {
            items(start..start + len)
                .min_chunk(Items::new(min_chunk))
                .align(Items::new(align))
                .max_chunk(Items::new(max_chunk))
                .threads_exact(threads)
                .run(sim, |chunk| {
                    sim.work(chunk.len().get(), None);
                    chunks.lock().unwrap().push(chunk.indices());
                })
                .unwrap();
        });
        for chunk in chunks.into_inner().unwrap() {
            let rounding = if chunk.start == start { (align - start % align) % align } else { 0 };
            prop_assert!(chunk.end - chunk.start <= max_chunk + rounding, "{chunk:?} of {max_chunk}");
            prop_assert!(chunk.end - chunk.start >= min_chunk || chunk.end == start + len);
        }
    }

    #[test]
    fn a_search_finds_what_there_is(
        len in 1u64..4000,
        wanted in prop::collection::vec(0u64..8000, 0..4),
        threads in 1usize..6,
        seed in any::<u32>(),
    ) {
        let (found, stats) = Sim::run(ideal(1, 6), seed.into(), |sim| {
            items(0..len).threads_exact(threads).find_any(sim, |chunk| {
                sim.work(chunk.len().get(), None);
                chunk.indices().find(|unit| wanted.contains(unit))
            }).unwrap()
        });
        match found {
            Some(unit) => prop_assert!(wanted.contains(&unit) && unit < len && stats.units < len),
            None => prop_assert!(wanted.iter().all(|&unit| unit >= len) && stats.units == len),
        }
    }
}

#[test]
fn a_search_ends_early_and_tells_what_else_ended_it() {
    let platform = Hosted::builder().cpus(2).build();
    for threads in [1, 2] {
        let calls = AtomicU64::new(0);
        let job = items(0..1_000_000).max_chunk(Items::new(10)).threads_exact(threads);
        let (found, stats) = job
            .find_any(&platform, |chunk| {
                calls.fetch_add(1, Ordering::Relaxed);
                Some(chunk.start())
            })
            .unwrap();
        assert!(found.is_some());
        assert!(calls.into_inner() <= threads as u64);
        assert_eq!(stats.units, 0);
        let error = job.clone().timeout_ns(0).find_any(&platform, |_| Some(())).unwrap_err();
        assert_eq!(error.cause, Cause::DeadlinePassed);
    }
    let undo = |_: Chunk<Items>| panic!("a search is not undone");
    let error = items(0..10).undo(&undo).find_any(&platform, |_| Some(())).unwrap_err();
    assert_eq!(error.cause, Cause::Invalid(Invalid::SearchWithUndo));
}

#[test]
fn a_timeout_counts_from_each_start_and_the_earlier_limit_holds() {
    Sim::run(ideal(1, 2), 1, |sim| {
        let work = |chunk: Chunk<Items>| sim.work(chunk.len().get(), None);
        // The job takes one thread a second.
        let job = items(0..1_000_000).max_chunk(Items::new(1000)).threads_exact(1);
        for _ in 0..2 {
            let started_ns = sim.now_ns();
            let error = job.clone().timeout_ns(100_000_000).run(sim, work).unwrap_err();
            assert_eq!(error.cause, Cause::DeadlinePassed);
            let took_ns = sim.now_ns() - started_ns;
            assert!((100_000_000..102_000_000).contains(&took_ns), "{took_ns} ns");
        }
        let now_ns = sim.now_ns();
        let both = job.clone().timeout_ns(500_000_000).deadline_ns(now_ns + 50_000_000);
        assert!(both.run(sim, work).unwrap_err().stats.wall_ns < 52_000_000);
        let both = job.clone().timeout_ns(50_000_000).deadline_ns(sim.now_ns() + 500_000_000);
        assert!(both.run(sim, work).unwrap_err().stats.wall_ns < 52_000_000);
        // A timeout that would overflow the clock never passes.
        assert!(job.timeout_ns(u64::MAX).run(sim, work).is_ok());
    });
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let platform = Hosted::builder().cpus(2).build();
    let cause =
        |job: Job<'_, Items>| job.run(&platform, |_| -> () { panic!("must not be started") }).unwrap_err();
    let error = cause(items(0..10).threads_exact(2).max_threads(3));
    let expected = Invalid::ThreadsExactWithMaxThreads { threads: 2, max_threads: 3 };
    assert_eq!(error.cause, Cause::Invalid(expected));
    assert_eq!(error.to_string(), "threads_exact 2 and max_threads 3: must be one of the two");
    let error = cause(items(0..10).min_chunk(Items::new(5)).align(Items::new(4)).max_chunk(Items::new(7)));
    assert_eq!(error.cause, Cause::Invalid(Invalid::MaxChunkTooSmall { max_chunk: 7, least: 8 }));
    assert_eq!(error.to_string(), "max_chunk 7: must be at least 8, the smallest chunk");
    let error = cause(items(0..10).max_chunk(Items::new(0)));
    assert_eq!(error.cause, Cause::Invalid(Invalid::MaxChunkTooSmall { max_chunk: 0, least: 1 }));
}

#[test]
fn an_error_names_its_chunk_and_leads_to_its_source() {
    #[derive(Debug)]
    struct Full;

    impl fmt::Display for Full {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "disk full")
        }
    }

    impl Error for Full {}

    let platform = Hosted::builder().cpus(1).build();
    let error = items(3..4).run(&platform, |_| Err(Full)).unwrap_err();
    assert_eq!(error.to_string(), "chunk 3..4 failed");
    assert_eq!(format!("{error:#}"), "chunk 3..4 failed: disk full");
    assert!(error.source().is_some_and(|source| source.is::<Full>()));
    let boxed: Box<dyn Error + Send + Sync> = Box::new(error);
    assert!(boxed.source().is_some());
    let error = items(3..4).timeout_ns(0).run(&platform, |_| Err(Full)).unwrap_err();
    assert!(error.source().is_none());
}

#[test]
fn units_are_added_and_compared() {
    let four = Pages::new(4);
    assert_eq!(four + Pages::from(3) - Pages::new(1), Pages::new(6));
    assert_eq!([four, four * 2].into_iter().sum::<Pages>(), Pages::new(12));
    let mut count = four;
    count += four;
    count -= Pages::new(1);
    assert_eq!(u64::from(count), 7);
    let most = Pages::new(u64::MAX);
    assert_eq!((most.checked_add(four), four.checked_sub(most)), (None, None));
    assert_eq!(most.saturating_add(four), most);
    assert_eq!(four.saturating_sub(most), Pages::new(0));
    assert_eq!(most.saturating_mul(2), most);
    let seen = Seen::over(0..100);
    let platform = Hosted::builder().cpus(2).build();
    Job::new(10..60_usize).run(&platform, |chunk: Chunk<usize>| seen.mark(&chunk)).unwrap();
    Job::new(60..90_u64).run(&platform, |chunk: Chunk<u64>| seen.mark(&chunk)).unwrap();
    assert_eq!(seen.times()[..], [[0; 10].as_slice(), &[1; 80], &[0; 10]].concat());
}

#[test]
fn helpers_work_while_the_caller_does_something_else() {
    let platform = Hosted::builder().cpus(4).build();
    let seen = Seen::over(0..100);
    let helped = AtomicU64::new(0);
    // Not `Send`: it stays on the caller.
    let own = std::rc::Rc::new(7);
    let (returned, stats) = items(0..100)
        .max_chunk(Items::new(1))
        .threads_exact(3)
        .run_beside(
            &platform,
            |chunk| {
                seen.mark(&chunk);
                helped.fetch_add(u64::from(chunk.worker() != 0), Ordering::SeqCst);
            },
            || {
                while helped.load(Ordering::SeqCst) == 0 {
                    std::thread::yield_now();
                }
                *own
            },
        )
        .unwrap();
    assert_eq!((returned, stats.units), (7, 100));
    assert!(seen.all(1));
}

#[test]
fn the_caller_does_all_of_it_where_no_helper_is_available() {
    let platform = Hosted::builder().threads(0).build();
    for job in [items(0..100), items(0..100).threads_exact(3), items(5..5)] {
        let order = Mutex::new(Vec::new());
        let note = |text| order.lock().unwrap().push(text);
        let (_, stats) = job.run_beside(&platform, |_| note("work"), || note("meanwhile")).unwrap();
        let order = order.into_inner().unwrap();
        assert_eq!((order[0], order.len() as u64), ("meanwhile", stats.chunks + 1));
    }
    let never = || panic!("an invalid job is not started");
    let error = items(0..9).min_chunk(Items::new(0)).run_beside(&platform, |_| {}, never).unwrap_err();
    assert_eq!(error.cause, Cause::Invalid(Invalid::MinChunkZero));
}

#[test]
fn what_the_caller_does_meanwhile_may_cancel_or_panic() {
    for threads in [1, 3] {
        let platform = Hosted::builder().cpus(4).build();
        let token = CancelToken::new();
        let job = items(0..1_000_000).max_chunk(Items::new(1)).threads_exact(threads).cancel(&token);
        let error = job.run_beside(&platform, |_| std::thread::yield_now(), || token.cancel()).unwrap_err();
        assert_eq!(error.cause, Cause::Cancelled);
        let undone = Seen::over(0..100_000);
        let done = Seen::over(0..100_000);
        let undo = |chunk: Chunk<Items>| undone.mark(&chunk);
        let job = items(0..100_000).max_chunk(Items::new(1)).threads_exact(threads).undo(&undo);
        let by_caller = AtomicU64::new(0);
        let work = |chunk: Chunk<Items>| {
            done.mark(&chunk);
            by_caller.fetch_add(u64::from(chunk.worker() == 0), Ordering::Relaxed);
        };
        let payload = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            job.run_beside(&platform, work, || panic!("meanwhile"))
        }))
        .unwrap_err();
        assert_eq!(by_caller.into_inner(), 0, "the job has ended");
        assert_eq!(payload.downcast_ref::<&str>().copied(), Some("meanwhile"));
        assert_eq!(done.times(), undone.times());
    }
}

#[test]
fn the_count_at_the_end_is_what_the_governor_arrived_at() {
    // Memory serves four threads; the governor lets the others leave.
    let mut machine = ideal(1, 16);
    machine.nodes[0].capacity =
        ktask::sim::Capacity::new(common::RATE, 4.0 * common::RATE, 4.0 * common::RATE, 16);
    let (all, alone) = Sim::run(machine, 1, |sim| {
        let run = |job: Job<'_, Items>| job.run(sim, |chunk| sim.work(chunk.len().get(), None)).unwrap();
        let job = items(0..4_000_000).min_chunk(Items::new(500)).profile(Profile::Boot);
        (run(job.clone()), run(job.threads_exact(1)))
    });
    assert!(all.threads_at_end < all.threads_used, "{all:?}");
    assert!((3..=8).contains(&all.threads_at_end), "{all:?}");
    assert_eq!((alone.threads_at_end, alone.threads_used), (1, 1));
}

#[test]
fn lists_are_walked_node_by_node() {
    struct Node {
        value: u64,
        visits: AtomicU64,
        next: Option<Box<Node>>,
    }

    let platform = Hosted::builder().cpus(4).build();
    let mut first = None;
    for value in (0..1000).rev() {
        first = Some(Box::new(Node { value, visits: AtomicU64::new(0), next: first }));
    }
    let visits = |units: u64, threads| {
        let job = items(0..units).max_chunk(Items::new(7)).threads_exact(threads);
        let stats = job
            .run_list(
                &platform,
                first.as_deref(),
                |node| node.next.as_deref(),
                |chunk, nodes| {
                    let mut units = chunk.indices();
                    for node in nodes {
                        assert_eq!(Some(node.value), units.next());
                        node.visits.fetch_add(1, Ordering::Relaxed);
                    }
                    // A chunk has all of its nodes, unless the list ends.
                    assert!(units.start >= 1000 || units.is_empty());
                },
            )
            .unwrap();
        assert_eq!(stats.units, units);
        std::iter::successors(first.as_deref(), |node| node.next.as_deref())
            .map(|node| node.visits.swap(0, Ordering::Relaxed))
            .collect::<Vec<_>>()
    };
    for threads in [1, 4] {
        assert_eq!(visits(600, threads), [vec![1; 600], vec![0; 400]].concat());
        assert_eq!(visits(1500, threads), vec![1; 1000]);
    }
    assert_eq!(items(0..9).run_list(&platform, None::<&Node>, |_| None, |_, _| {}).unwrap().units, 9);
}
