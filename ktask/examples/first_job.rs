//! A first job: adds up a million squares, on as many threads as pay.

use ktask::Job;
use ktask::hosted::Hosted;

fn main() {
    let platform = Hosted::new();
    let job = Job::new(0..1_000_000_u64).min_chunk(10_000);
    let (sum, stats) = job
        .run_reduce(
            &platform,
            || 0,
            |sum, chunk| *sum += chunk.range().map(|n| n * n).sum::<u64>(),
            |a, b| a + b,
        )
        .expect("neither cancelled nor invalid");
    println!("{sum}, by {} threads in {} us", stats.threads_used, stats.wall_ns / 1000);
}
