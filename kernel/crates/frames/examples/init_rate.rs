//! Measures how fast descriptors are initialised, freed into a zone, allocated
//! and freed on this machine, memory touched beforehand.
//!
//! `cargo run --release -p frames --example init_rate`

use std::hint::black_box;
use std::time::Instant;

use frames::{InitKind, PageDesc, Pfn, Zone, init_run};

/// 64 GiB worth of pages: 256 MiB of descriptors, beyond most caches.
const PAGES: usize = 1 << 24;
/// 64 MiB worth of pages: descriptors that fit into a second-level cache.
const CACHED_PAGES: usize = 1 << 14;
const ROUNDS: usize = 20;

fn main() {
    let descs: Vec<PageDesc> = (0..PAGES).map(|_| PageDesc::new()).collect();
    for (what, descs) in [("in memory", &descs[..]), ("in cache", &descs[..CACHED_PAGES])] {
        let rounds = ROUNDS * PAGES / descs.len();
        let rate = best_rate(rounds, descs.len(), || {
            init_run(black_box(descs), black_box(InitKind::Usable), black_box(1));
        });
        println!("init_run, descriptors {what}: {rate:.0} million/s");
    }

    let rate = best_rate(ROUNDS, PAGES, || {
        init_run(&descs, InitKind::Usable, 1);
        let mut zone = Zone::new(&descs, Pfn(0), 1).expect("the span is small");
        let blocks = zone.free_initial(Pfn(0)..Pfn(PAGES as u64));
        assert_eq!(blocks, Ok(64));
        black_box(&zone);
    });
    println!("init_run and free_initial: {rate:.0} million pages/s");

    let mut zone = Zone::new(&descs, Pfn(0), 1).expect("the span is small");
    init_run(&descs, InitKind::Usable, 1);
    zone.free_initial(Pfn(0)..Pfn(PAGES as u64)).expect("the pages are initialised");
    for order in [0, 9] {
        const PAIRS: usize = 1 << 16;
        let rate = best_rate(ROUNDS, PAIRS, || {
            for _ in 0..PAIRS {
                let block = zone.alloc(black_box(order)).expect("all is free");
                zone.free(block, order).expect("it was allocated");
            }
        });
        println!(
            "alloc and free of order {order}, splitting and merging all the way: {:.0} ns",
            1000.0 / rate
        );
    }
}

/// The best of `rounds`, in million items per second.
fn best_rate(rounds: usize, items: usize, mut round: impl FnMut()) -> f64 {
    (0..rounds)
        .map(|_| {
            let start = Instant::now();
            round();
            items as f64 / start.elapsed().as_secs_f64() / 1e6
        })
        .fold(0.0, f64::max)
}
