//! ktask beside rayon, paralight, chili and a serial loop, in one process.
//!
//! ```text
//! cargo beside [--quick] [PART OF A TITLE]
//! ```
//!
//! All pools have two threads, the caller of ktask and of paralight included where it works too. Each race
//! prints medians of interleaved rounds; the last column is the contestant's median over ktask's.

mod on_chili;
mod on_paralight;
mod on_rayon;
mod race;
mod shared;
mod work;

use std::hint::black_box;
use std::ops::Range;

use ktask::hosted::Hosted;
use ktask::{Bytes, Chunk, Items, Job};
use race::{Settings, contestant};
use shared::Shared;
use work::{spin, steps_per_us, tiny};

const THREADS: usize = 2;

/// The pools of the contestants.
struct Pools {
    ktask: Hosted,
    rayon: rayon::ThreadPool,
    paralight: on_paralight::Pool,
    chili: chili::ThreadPool,
}

impl Pools {
    fn new() -> Self {
        Self {
            ktask: Hosted::builder().cpus(THREADS).threads(THREADS - 1).budget_percent(100).build(),
            rayon: rayon::ThreadPoolBuilder::new().num_threads(THREADS).build().expect("two threads"),
            paralight: on_paralight::Pool::new(THREADS),
            chili: on_chili::pool(THREADS),
        }
    }
}

fn main() {
    let mut settings = Settings { wanted: String::new(), is_quick: false };
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--quick" => settings.is_quick = true,
            _ => settings.wanted = argument,
        }
    }
    let pools = Pools::new();
    println!("{:40} {:>12} {:>12} {:>8}", "", "median", "best", "ratio");
    empty_jobs(&settings, &pools);
    items_of_known_cost(&settings, &pools);
    many_tiny_items(&settings, &pools);
    memory(&settings, &pools);
    in_place(&settings, &pools);
}

/// Jobs without work: what starting and ending costs.
fn empty_jobs(settings: &Settings, pools: &Pools) {
    let (ktask, chili) = (&pools.ktask, &pools.chili);
    let two = Job::new(Items::new(0)..Items::new(2));
    let solo = Job::new(Items::new(0)..Items::new(1));
    let thousand = Job::new(Items::new(0)..Items::new(1000));
    let nothing = |chunk: Chunk<Items>| {
        black_box(chunk);
        Ok::<(), ()>(())
    };
    settings.race(
        "empty job, two threads allowed",
        301,
        100,
        vec![
            contestant("ktask, 2 items", || _ = black_box(two.run(ktask, nothing))),
            contestant("ktask, 1000 items", || _ = black_box(thousand.run(ktask, nothing))),
            contestant("ktask, 1 item", || _ = black_box(solo.run(ktask, nothing))),
            contestant("chili, scope and join", || {
                _ = chili.scope().join(|_| black_box(1), |_| black_box(2))
            }),
            contestant("rayon, join from outside the pool", || {
                black_box(pools.rayon.join(|| black_box(1), || black_box(2)));
            }),
            contestant("paralight, 2 items", || pools.paralight.for_each(2, |item| _ = black_box(item))),
        ],
    );
    // On a thread of rayon's pool: rayon has nothing to wake there.
    pools.rayon.install(|| {
        settings.race(
            "empty job, on a thread of rayon's pool",
            301,
            100,
            vec![
                contestant("ktask, 2 items", || _ = black_box(two.run(ktask, nothing))),
                contestant("rayon, 2 items", || {
                    on_rayon::for_each(&pools.rayon, 2, |item| _ = black_box(item))
                }),
                contestant("rayon, join", || _ = rayon::join(|| black_box(1), || black_box(2))),
            ],
        );
    });
    let exact = Job::new(Items::new(0)..Items::new(2)).threads_exact(2);
    settings.race(
        "launch and join of exactly two threads",
        301,
        20,
        vec![
            contestant("ktask, threads_exact(2)", || _ = black_box(exact.run(ktask, nothing))),
            contestant("rayon, join from outside the pool", || {
                black_box(pools.rayon.join(|| black_box(1), || black_box(2)));
            }),
            contestant("paralight, 2 items", || pools.paralight.for_each(2, |item| _ = black_box(item))),
        ],
    );
}

/// Steps that an item costs, by its number.
type Cost<'c> = dyn Fn(u64) -> u64 + Sync + 'c;

/// Items that cost a known number of steps each.
fn items_of_known_cost(settings: &Settings, pools: &Pools) {
    const ITEMS: u64 = 40_000;
    let us = steps_per_us();
    let last = ITEMS - ITEMS / 64;
    let costs: [(&str, u64, &Cost<'_>); 5] = [
        ("40 000 items of 1 us", ITEMS, &|_| us),
        ("every 64th item costs 50 times", ITEMS, &|n| if n % 64 == 0 { 50 * us } else { us }),
        ("costly items at the end", ITEMS, &|n| if n >= last { 50 * us } else { us }),
        ("8 items of 1 ms", 8, &|_| 1000 * us),
        ("200 items of 1 us", 200, &|_| us),
    ];
    for (title, items, cost) in costs {
        let each = |items: Range<u64>| items.for_each(|item| _ = black_box(spin(cost(item))));
        let job = Job::new(Items::new(0)..Items::new(items));
        let (rounds, calls) = if items < ITEMS { (201, 3) } else { (41, 1) };
        settings.race(
            title,
            rounds,
            calls,
            vec![
                contestant("ktask", || {
                    let run = job.run(&pools.ktask, |chunk| {
                        each(chunk.indices());
                        Ok::<(), ()>(())
                    });
                    assert!(run.is_ok());
                }),
                contestant("rayon", || on_rayon::for_each(&pools.rayon, items, |item| each(item..item + 1))),
                contestant("paralight", || pools.paralight.for_each(items, |item| each(item..item + 1))),
                contestant("chili", || on_chili::for_each(&mut pools.chili.scope(), 0..items, 1, &each)),
                contestant("serial", || each(0..items)),
            ],
        );
    }
}

/// Ten million items of about a nanosecond, mapped and summed.
fn many_tiny_items(settings: &Settings, pools: &Pools) {
    const ITEMS: u64 = 10_000_000;
    let of = |item: u64| tiny(black_box(item));
    let sum = |items: Range<u64>| items.fold(0, |sum: u64, item| sum.wrapping_add(of(item)));
    let expected = sum(0..ITEMS);
    let job = Job::new(Items::new(0)..Items::new(ITEMS));
    settings.race(
        "10 million tiny items, map and sum",
        101,
        1,
        vec![
            contestant("ktask", || {
                let run = job.run_reduce(
                    &pools.ktask,
                    || 0,
                    |total: &mut u64, chunk| {
                        *total = total.wrapping_add(sum(chunk.indices()));
                        Ok::<(), ()>(())
                    },
                    u64::wrapping_add,
                );
                assert!(run.is_ok_and(|(total, _)| total == expected));
            }),
            contestant("rayon", || assert_eq!(on_rayon::sum(&pools.rayon, ITEMS, of), expected)),
            contestant("paralight", || assert_eq!(pools.paralight.sum(ITEMS, of), expected)),
            contestant("chili, grain 4096", || {
                assert_eq!(on_chili::sum(&mut pools.chili.scope(), 0..ITEMS, 4096, &sum), expected);
            }),
            contestant("serial", || assert_eq!(sum(0..ITEMS), expected)),
        ],
    );
}

/// Clearing 512 MiB: ktask with its defaults, rayon with several lengths of chunk, one serial call.
fn memory(settings: &Settings, pools: &Pools) {
    const LEN: u64 = 512 << 20;
    const TITLE: &str = "memset 512 MiB";
    if !settings.wants(TITLE) {
        return;
    }
    let bytes = Shared::new(1_u8, LEN as usize);
    let clear = |range: Range<u64>| {
        // SAFETY: all contestants hand out each position once, within the length, and take turns.
        shared::clear(unsafe { bytes.part(range) });
    };
    let ktask = |min_chunk: u64| {
        let job = Job::new(Bytes::new(0)..Bytes::new(LEN)).min_chunk(Bytes::new(min_chunk));
        let run = job.run(&pools.ktask, |chunk| {
            clear(chunk.indices());
            Ok::<(), ()>(())
        });
        assert!(run.is_ok());
    };
    let chunk_of = |len: u64, index: u64| clear(index * len..(index + 1) * len);
    let rayon = |len: u64| on_rayon::for_each_alone(&pools.rayon, LEN / len, |index| chunk_of(len, index));
    settings.race(
        TITLE,
        31,
        1,
        vec![
            contestant("ktask, chunks of 4 KiB and more", || ktask(4 << 10)),
            contestant("ktask, chunks of 2 MiB and more", || ktask(2 << 20)),
            contestant("ktask, chunks of 64 MiB and more", || ktask(64 << 20)),
            contestant("rayon, chunks of 2 MiB", || rayon(2 << 20)),
            contestant("rayon, chunks of 16 MiB", || rayon(16 << 20)),
            contestant("rayon, chunks of 64 MiB", || rayon(64 << 20)),
            contestant("rayon, chunks of 256 MiB", || rayon(256 << 20)),
            contestant("paralight, chunks of 2 MiB", || {
                pools.paralight.for_each(LEN >> 21, |index| chunk_of(2 << 20, index));
            }),
            contestant("chili, halves down to 2 MiB", || {
                on_chili::for_each(&mut pools.chili.scope(), 0..LEN, 2 << 20, &clear);
            }),
            contestant("serial, one call", || clear(0..LEN)),
        ],
    );
}

/// A slice whose words are changed in place.
fn in_place(settings: &Settings, pools: &Pools) {
    const LEN: u64 = 4 << 20;
    const TITLE: &str = "in place, 4 Mi words";
    if !settings.wants(TITLE) {
        return;
    }
    let words = Shared::new(1_u64, LEN as usize);
    let change = |word: &mut u64| *word = tiny(*word);
    let part = |range: Range<u64>| {
        // SAFETY: all contestants hand out each position once, within the length, and take turns.
        unsafe { words.part(range) }
    };
    let job = Job::new(Items::new(0)..Items::new(LEN));
    settings.race(
        TITLE,
        101,
        1,
        vec![
            contestant("ktask", || {
                let run = job.run(&pools.ktask, |chunk| {
                    part(chunk.indices()).iter_mut().for_each(change);
                    Ok::<(), ()>(())
                });
                assert!(run.is_ok());
            }),
            contestant("rayon", || on_rayon::for_each_mut(&pools.rayon, part(0..LEN), change)),
            contestant("paralight", || pools.paralight.for_each_mut(part(0..LEN), change)),
            contestant("chili, grain 4096", || {
                let each = |range: Range<u64>| part(range).iter_mut().for_each(change);
                on_chili::for_each(&mut pools.chili.scope(), 0..LEN, 4096, &each);
            }),
            contestant("serial", || part(0..LEN).iter_mut().for_each(change)),
        ],
    );
}
