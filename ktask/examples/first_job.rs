//! A first job: adds up a million squares, on as many threads as pay.

use ktask::hosted::Hosted;
use ktask::{Chunk, Items, Job};

fn main() {
    let platform = Hosted::new();
    let job = Job::new(Items::new(0)..Items::new(1_000_000)).min_chunk(Items::new(10_000));
    let add_squares = |sum: &mut u64, chunk: Chunk<Items>| {
        *sum += chunk.indices().map(|n| n * n).sum::<u64>();
        Ok::<(), ()>(())
    };
    let (sum, stats) = job.run_reduce(&platform, || 0, add_squares, |a, b| a + b).unwrap();
    println!("{sum}, by {} threads in {} us", stats.threads_used, stats.wall_ns / 1000);
}
