//! A linked list, shared out node by node.

use std::sync::atomic::{AtomicU64, Ordering};

use ktask::hosted::Hosted;
use ktask::{Items, Job};

struct Node {
    value: u64,
    next: Option<Box<Node>>,
}

fn main() {
    let platform = Hosted::new();
    let mut first = None;
    for value in 1..=10_000 {
        first = Some(Box::new(Node { value, next: first }));
    }

    let sum = AtomicU64::new(0);
    let job = Job::new(Items::new(0)..Items::new(10_000)).min_chunk(Items::new(100));
    let stats = job
        .run_list(
            &platform,
            first.as_deref(),
            |node| node.next.as_deref(),
            |_chunk, nodes| {
                sum.fetch_add(nodes.map(|node| node.value).sum(), Ordering::Relaxed);
            },
        )
        .expect("neither cancelled nor invalid");
    println!("{} in {} chunks", sum.load(Ordering::Relaxed), stats.chunks);
    assert_eq!(sum.into_inner(), 50_005_000);
}
