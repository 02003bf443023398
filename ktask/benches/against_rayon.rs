//! The cost of a job beside the plain loop, rayon and a static split, in one run.
//!
//! All use two threads, if the machine has two CPUs, and the same grain.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use ktask::hosted::Hosted;
use ktask::{Items, Job};
use rayon::prelude::*;

const THREADS: usize = 2;

fn platform() -> Hosted {
    Hosted::builder().cpus(THREADS).threads(THREADS - 1).budget_percent(100).build()
}

fn rayon_pool() -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(THREADS).build().expect("two threads")
}

fn group<'c>(criterion: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(40);
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(4));
    group
}

/// Words of memory that threads may write without a lock.
fn words(count: usize) -> Vec<AtomicU64> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

fn clear(words: &[AtomicU64]) {
    for word in words {
        word.store(black_box(0), Ordering::Relaxed);
    }
}

/// Compares a job on one thread with the plain loop.
fn one_thread(criterion: &mut Criterion) {
    let mut group = group(criterion, "one thread, 8 MiB");
    let platform = platform();
    let memory = words(1 << 20);
    group.bench_function("plain loop", |bench| bench.iter(|| clear(&memory)));
    group.bench_function("ktask", |bench| {
        let job = Job::new(Items::new(0)..Items::new(memory.len() as u64)).max_threads(1);
        bench.iter(|| {
            job.run(&platform, |chunk| {
                let units = chunk.indices();
                clear(&memory[units.start as usize..units.end as usize]);
                Ok::<(), ()>(())
            })
        });
    });
    group.finish();
}

/// Compares two threads that clear memory in chunks of 64 KiB.
fn uniform(criterion: &mut Criterion) {
    const GRAIN: usize = 8192;
    let mut group = group(criterion, "two threads, 64 MiB");
    let platform = platform();
    let pool = rayon_pool();
    let memory = words(8 << 20);
    group.bench_function("ktask", |bench| {
        let job =
            Job::new(Items::new(0)..Items::new(memory.len() as u64)).min_chunk(Items::new(GRAIN as u64));
        bench.iter(|| {
            job.run(&platform, |chunk| {
                let units = chunk.indices();
                clear(&memory[units.start as usize..units.end as usize]);
                Ok::<(), ()>(())
            })
        });
    });
    group.bench_function("rayon", |bench| {
        bench.iter(|| pool.install(|| memory.par_chunks(GRAIN).for_each(clear)));
    });
    group.finish();
}

/// Work of about a nanosecond per step.
fn spin(steps: u64) -> u64 {
    (0..steps).fold(1, |x, step| black_box(x ^ step))
}

/// Compares uneven work: `cost(n)` steps for item `n` of 2048, one item per chunk.
fn skewed(criterion: &mut Criterion, name: &str, cost: impl Fn(u64) -> u64 + Sync) {
    const ITEMS: u64 = 2048;
    let mut group = group(criterion, name);
    let platform = platform();
    let pool = rayon_pool();
    let all = |items: std::ops::Range<u64>| {
        for item in items {
            black_box(spin(cost(item)));
        }
    };
    group.bench_function("ktask", |bench| {
        let job = Job::new(Items::new(0)..Items::new(ITEMS));
        bench.iter(|| {
            job.run(&platform, |chunk| {
                all(chunk.indices());
                Ok::<(), ()>(())
            })
        });
    });
    group.bench_function("rayon", |bench| {
        bench.iter(|| pool.install(|| (0..ITEMS).into_par_iter().for_each(|n| all(n..n + 1))));
    });
    group.bench_function("static split", |bench| {
        bench.iter(|| pool.join(|| all(0..ITEMS / 2), || all(ITEMS / 2..ITEMS)));
    });
    group.finish();
}

fn skewed_all(criterion: &mut Criterion) {
    skewed(
        criterion,
        "skewed: one in 64 costs 50 times",
        |n| {
            if n.is_multiple_of(64) { 100_000 } else { 2_000 }
        },
    );
    skewed(criterion, "skewed: growing cost", |n| n * 6);
}

/// Compares the time to start and end without work.
fn launch(criterion: &mut Criterion) {
    let mut group = group(criterion, "launch and join, nothing to do");
    let platform = platform();
    let pool = rayon_pool();
    group.bench_function("ktask", |bench| {
        let job = Job::new(Items::new(0)..Items::new(2)).threads_exact(2);
        bench.iter(|| {
            job.run(&platform, |chunk| {
                black_box(chunk);
                Ok::<(), ()>(())
            })
        });
    });
    group.bench_function("rayon join, called from outside the pool", |bench| {
        bench.iter(|| pool.join(|| black_box(()), || black_box(())));
    });
    group.bench_function("rayon join, called on a pool thread", |bench| {
        bench.iter_custom(|times| {
            pool.install(|| {
                let started = Instant::now();
                for _ in 0..times {
                    rayon::join(|| black_box(()), || black_box(()));
                }
                started.elapsed()
            })
        });
    });
    group.finish();
}

criterion_group!(benches, one_thread, uniform, skewed_all, launch);
criterion_main!(benches);
