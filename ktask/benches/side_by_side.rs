//! The comparisons of `against_rayon`, for machines under other load.
//!
//! The contestants take turns, so that a disturbance affects all of them. Medians and their ratios
//! are printed. Run it with `cargo bench -p ktask --bench side_by_side`.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ktask::hosted::Hosted;
use ktask::{Items, Job};
use rayon::prelude::*;

type Contestant<'c> = (&'c str, Box<dyn FnMut() + 'c>);

/// Runs each contestant `rounds` times in turn, `times` calls per turn, and prints the time of a
/// call.
fn race(title: &str, rounds: usize, times: u32, mut contestants: Vec<Contestant<'_>>) {
    let mut taken_ns = vec![Vec::with_capacity(rounds); contestants.len()];
    for _ in 0..rounds {
        for ((_, call), taken_ns) in contestants.iter_mut().zip(&mut taken_ns) {
            let started = Instant::now();
            for _ in 0..times {
                call();
            }
            taken_ns.push(started.elapsed().as_nanos() as f64 / f64::from(times));
        }
    }
    println!("{title}");
    let mut first_ns = 0.0;
    for ((name, _), taken_ns) in contestants.iter().zip(&mut taken_ns) {
        taken_ns.sort_unstable_by(f64::total_cmp);
        let (best, median) = (taken_ns[0], taken_ns[rounds / 2]);
        if first_ns == 0.0 {
            first_ns = median;
        }
        println!(
            "  {name:34} median {median:12.0} ns ({:6.3} of the first)   best {best:12.0} ns",
            median / first_ns
        );
    }
}

fn clear(words: &[AtomicU64]) {
    for word in words {
        word.store(black_box(0), Ordering::Relaxed);
    }
}

/// Work of about a nanosecond per step.
fn spin(steps: u64) -> u64 {
    (0..steps).fold(1, |x, step| black_box(x ^ step))
}

fn skewed(title: &str, platform: &Hosted, pool: &rayon::ThreadPool, cost: impl Fn(u64) -> u64 + Sync) {
    const ITEMS: u64 = 2048;
    let all = |items: std::ops::Range<u64>| {
        for item in items {
            black_box(spin(cost(item)));
        }
    };
    let job = Job::new(Items::new(0)..Items::new(ITEMS));
    race(
        title,
        101,
        1,
        vec![
            (
                "ktask",
                Box::new(|| {
                    let _ = black_box(job.run(platform, |chunk| {
                        all(chunk.indices());
                        Ok::<(), ()>(())
                    }));
                }),
            ),
            (
                "rayon",
                Box::new(|| {
                    pool.install(|| (0..ITEMS).into_par_iter().for_each(|n| all(n..n + 1)));
                }),
            ),
            (
                "static split",
                Box::new(|| {
                    pool.join(|| all(0..ITEMS / 2), || all(ITEMS / 2..ITEMS));
                }),
            ),
        ],
    );
}

fn main() {
    const GRAIN: u64 = 8192;
    let platform = Hosted::builder().cpus(2).threads(1).budget_percent(100).build();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("two threads");
    let memory: Vec<AtomicU64> = (0..8 << 20).map(|_| AtomicU64::new(0)).collect();
    let clear_units = |units: std::ops::Range<u64>| clear(&memory[units.start as usize..units.end as usize]);

    let small = 1 << 20;
    let alone = Job::new(Items::new(0)..Items::new(small)).max_threads(1);
    race(
        "one thread, 8 MiB",
        301,
        1,
        vec![
            ("plain loop", Box::new(|| clear_units(0..small))),
            (
                "ktask",
                Box::new(|| {
                    let _ = black_box(alone.run(&platform, |chunk| {
                        clear_units(chunk.indices());
                        Ok::<(), ()>(())
                    }));
                }),
            ),
        ],
    );
    let whole = Job::new(Items::new(0)..Items::new(memory.len() as u64)).min_chunk(Items::new(GRAIN));
    race(
        "two threads, 64 MiB",
        101,
        1,
        vec![
            (
                "ktask",
                Box::new(|| {
                    let _ = black_box(whole.run(&platform, |chunk| {
                        clear_units(chunk.indices());
                        Ok::<(), ()>(())
                    }));
                }),
            ),
            ("rayon", Box::new(|| pool.install(|| memory.par_chunks(GRAIN as usize).for_each(clear)))),
        ],
    );
    skewed("skewed: one in 64 costs 50 times", &platform, &pool, |n| {
        if n.is_multiple_of(64) { 100_000 } else { 2_000 }
    });
    skewed("skewed: growing cost", &platform, &pool, |n| n * 6);
    let least = Job::new(Items::new(0)..Items::new(1));
    race(
        "one thread, nothing to do",
        301,
        100,
        vec![(
            "ktask",
            Box::new(|| {
                let _ = black_box(least.run(&platform, |_| Ok::<(), ()>(())));
            }),
        )],
    );
    let nothing = Job::new(Items::new(0)..Items::new(2)).threads_exact(2);
    race(
        "launch and join, nothing to do",
        301,
        20,
        vec![
            (
                "ktask, two threads",
                Box::new(|| {
                    let _ = black_box(nothing.run(&platform, |_| Ok::<(), ()>(())));
                }),
            ),
            (
                "rayon join from outside the pool",
                Box::new(|| {
                    black_box(pool.join(|| black_box(1), || black_box(2)));
                }),
            ),
        ],
    );
}
