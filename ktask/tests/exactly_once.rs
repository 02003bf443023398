//! Every unit is handed out exactly once, whatever the range, the cut, the nodes and
//! the helpers.

use std::sync::atomic::{AtomicU32, Ordering};

use ktask::hosted::Hosted;
use ktask::{Items, Job, NodeId, NodeRange};
use proptest::prelude::*;

/// Counts how often each unit of `range` is handed out.
struct Seen {
    start: u64,
    times: Vec<AtomicU32>,
}

impl Seen {
    fn over(range: &std::ops::Range<u64>) -> Self {
        let times = (range.start..range.end).map(|_| AtomicU32::new(0)).collect();
        Self { start: range.start, times }
    }

    fn mark(&self, chunk: &ktask::Chunk<Items>) {
        for unit in chunk.indices() {
            self.times[(unit - self.start) as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn all(&self, wanted: u32) -> bool {
        self.times.iter().all(|times| times.load(Ordering::Relaxed) == wanted)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn each_unit_once(
        start in prop_oneof![0u64..1000, u64::MAX - 6000..u64::MAX - 5000],
        len in 0u64..5000,
        min_chunk in 1u64..600,
        align in 1u64..300,
        threads in 1usize..6,
        pool in 0usize..5,
    ) {
        let platform = Hosted::builder().cpus(4).threads(pool).build();
        let range = start..start + len;
        let seen = Seen::over(&range);
        let stats = Job::new(Items::new(range.start)..Items::new(range.end))
            .min_chunk(Items::new(min_chunk))
            .align(Items::new(align))
            .threads_exact(threads)
            .run(&platform, |chunk| {
                seen.mark(&chunk);
                Ok::<(), ()>(())
            })
            .unwrap();
        prop_assert!(seen.all(1));
        prop_assert_eq!(stats.units, len);
        prop_assert!(stats.threads_used <= threads.min(pool + 1));
    }
}

#[test]
fn nodes_smoke() {
    let platform = Hosted::builder().cpus(4).nodes(2).build();
    let nodes = [
        NodeRange::new(NodeId(1), Items::new(0)..Items::new(500)),
        NodeRange::new(NodeId(0), Items::new(500)..Items::new(2000)),
    ];
    let seen = Seen::over(&(0..2000));
    let stats = Job::over_nodes(&nodes)
        .threads_exact(4)
        .run(&platform, |chunk| {
            seen.mark(&chunk);
            Ok::<(), ()>(())
        })
        .unwrap();
    assert!(seen.all(1));
    println!("{stats:?}");
}
