//! Every unit is handed out exactly once, for all ranges, chunk lengths, nodes and helpers.

mod common;

use std::sync::OnceLock;

use common::{Seen, ideal};
use ktask::hosted::Hosted;
use ktask::sim::Sim;
use ktask::{Items, Job, NodeId, NodeRange, Profile};
use proptest::prelude::*;

/// Returns the pool with `threads` threads. Each pool is made once, because threads are expensive.
fn pool(threads: usize) -> &'static Hosted {
    static POOLS: [OnceLock<Hosted>; 5] = [const { OnceLock::new() }; 5];
    POOLS[threads].get_or_init(|| Hosted::builder().cpus(4).nodes(2).threads(threads).build())
}

fn start() -> impl Strategy<Value = u64> {
    // Some starts lie so near the top that rounding up the end of a chunk would overflow.
    prop_oneof![0u64..1000, u64::MAX - 6000..=u64::MAX - 5000]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn on_real_threads(
        start in start(),
        len in 0u64..=5000,
        min_chunk in prop_oneof![1u64..600, Just(u64::MAX)],
        align in prop_oneof![1u64..300, Just(u64::MAX)],
        threads in 1usize..6,
        pool_threads in 0usize..5,
    ) {
        let range = start..start + len;
        let seen = Seen::over(range.clone());
        let stats = Job::new(Items::new(range.start)..Items::new(range.end))
            .min_chunk(Items::new(min_chunk))
            .align(Items::new(align))
            .threads_exact(threads)
            .run(pool(pool_threads), |chunk| {
                seen.mark(&chunk);
                if chunk.end().get() != range.end {
                    assert!(chunk.len().get() >= min_chunk, "{chunk:?} is too small");
                    assert_eq!(chunk.end().get() % align, 0, "{chunk:?} is not aligned");
                }
                Ok::<(), ()>(())
            })
            .unwrap();
        prop_assert!(seen.all(1));
        prop_assert_eq!(stats.units, len);
        prop_assert!(stats.threads_used as usize <= threads.min(pool_threads + 1));
        prop_assert!((stats.chunks == 0) == (len == 0));
    }

    #[test]
    fn over_node_ranges_with_lost_and_late_helpers(
        lens in prop::collection::vec((0u64..800, 0u64..50, 0u32..4), 1..12),
        min_chunk in 1u64..100,
        align in 1u64..40,
        lose_one_in in 0u32..4,
        jitter_ns in prop_oneof![Just(0u64), 1u64..2_000_000],
        exact in any::<bool>(),
        seed in any::<u32>(),
    ) {
        let mut ranges = Vec::new();
        let mut at = 0;
        for (len, gap, node) in lens {
            ranges.push(NodeRange::new(NodeId(node), Items::new(at)..Items::new(at + len)));
            at += len + gap;
        }
        let units: u64 = ranges.iter().map(|range| range.end().get() - range.start().get()).sum();
        let mut machine = ideal(4, 3);
        machine.lose_one_in = lose_one_in;
        machine.helper_jitter_ns = jitter_ns;
        let seen = Seen::over(0..at);
        let stats = Sim::run(machine, seed.into(), |sim| {
            let job = Job::over_nodes(&ranges)
                .min_chunk(Items::new(min_chunk))
                .align(Items::new(align))
                .profile(Profile::Boot);
            let job = if exact { job.threads_exact(9) } else { job };
            job.run(sim, |chunk| {
                seen.mark(&chunk);
                sim.work(chunk.len().get(), chunk.node());
                Ok::<(), ()>(())
            })
            .unwrap()
        });
        prop_assert_eq!(stats.units, units);
        let times = seen.times();
        for range in &ranges {
            let units = range.start().get() as usize..range.end().get() as usize;
            prop_assert!(times[units].iter().all(|&times| times == 1));
        }
        prop_assert_eq!(times.iter().map(|&times| u64::from(times)).sum::<u64>(), units);
    }
}

#[test]
fn job_with_node_ranges_can_run_again() {
    let ranges = [NodeRange::new(NodeId(0), Items::new(0)..Items::new(100))];
    let job = Job::new(Items::new(0)..Items::new(100)).nodes(&ranges).threads_exact(2);
    let seen = Seen::over(0..100);
    for _ in 0..2 {
        job.run(pool(2), |chunk| {
            seen.mark(&chunk);
            Ok::<(), ()>(())
        })
        .unwrap();
    }
    assert!(seen.all(2));
}

#[test]
fn jobs_on_their_caller_alone_visit_every_node_range() {
    let ranges = [
        NodeRange::new(NodeId(1), Items::new(0)..Items::new(70)),
        NodeRange::new(NodeId(0), Items::new(70)..Items::new(70)),
        NodeRange::new(NodeId(0), Items::new(70)..Items::new(100)),
    ];
    let disabled = Hosted::builder().cpus(4).nodes(2).enabled(false).build();
    let limit_of_zero = Hosted::builder().cpus(4).nodes(2).max_threads(0).build();
    for platform in [&disabled, &limit_of_zero, pool(0)] {
        let seen = Seen::over(0..100);
        let stats = Job::new(Items::new(0)..Items::new(100))
            .nodes(&ranges)
            .run(platform, |chunk| {
                seen.mark(&chunk);
                assert_eq!(chunk.worker(), 0);
                Ok::<(), ()>(())
            })
            .unwrap();
        assert!(seen.all(1));
        assert_eq!(stats.threads_used, 1);
    }
    // One call per range with units, because no other thread can share the work.
    let stats =
        Job::new(Items::new(0)..Items::new(100)).nodes(&ranges).run(&disabled, |_| Ok::<(), ()>(())).unwrap();
    assert_eq!((stats.chunks, stats.local_chunks), (2, Some(1)));
}
