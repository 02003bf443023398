//! When helpers are started: not for small jobs, and soon for all others.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};

use common::{RATE, ideal};
use ktask::hosted::Hosted;
use ktask::sim::{Machine, Sim};
use ktask::{Items, Job, Stats};

/// Time that a simulated caller spends on starting a helper.
const START_NS: u64 = 10_000;

/// A machine on which waking a helper takes tens of microseconds. A unit of work takes 1 us.
fn machine() -> Machine {
    let mut machine = ideal(1, 4);
    machine.start_cost_ns = START_NS;
    machine.helper_start_ns = 30_000;
    machine
}

/// Runs `times` jobs of `units` units, each of which is `work` units of work, and returns the last
/// statistics.
fn run(times: u32, units: u64, work: u64) -> Stats {
    Sim::run(machine(), 1, |sim| {
        let job = Job::new(Items::new(0)..Items::new(units));
        let one = || {
            job.run(sim, |chunk| {
                sim.work(chunk.len().get() * work, None);
                Ok::<(), ()>(())
            })
        };
        (1..times).for_each(|_| _ = one());
        one().unwrap()
    })
}

#[test]
fn a_small_job_wakes_no_helper() {
    // 400 units that take no time.
    let stats = run(1, 400, 0);
    assert_eq!((stats.threads_allowed, stats.threads_used), (4, 1), "{stats:?}");
    assert!(stats.wall_ns < START_NS, "{stats:?}");
}

#[test]
fn a_long_job_loses_nothing_by_beginning_alone() {
    // A second of work on one thread, in units of 1 us. Three threads: the governor, which first measures fewer
    // threads, begins at four.
    let stats = Sim::run(machine(), 1, |sim| {
        let job = Job::new(Items::new(0)..Items::new(1_000_000)).max_threads(3);
        job.run(sim, |chunk| sim.work(chunk.len().get(), None)).unwrap()
    });
    let ideal_ns = 1_000_000.0 / RATE / 3.0 * 1e9;
    assert!(stats.wall_ns as f64 <= ideal_ns * 1.002, "{stats:?}");
}

#[test]
fn few_long_chunks_have_their_helpers_from_the_start() {
    // 8 chunks of 10 ms.
    let stats = run(1, 8, 10_000);
    assert!(stats.wall_ns <= 20_000_000 + 3 * START_NS + 31_000, "{stats:?}");
}

#[test]
fn a_helper_that_is_dear_is_woken_for_more_work() {
    // 300 us of work in 400 units. A wake-up that is expected to take little pays, and one that has taken
    // much does not.
    let unit = |machine: Machine, times: u32| {
        Sim::run(machine, 1, |sim| {
            let job = Job::new(Items::new(0)..Items::new(400));
            let long = Job::new(Items::new(0)..Items::new(1_000_000));
            let work = |chunk: ktask::Chunk<Items>, each: u64| {
                sim.work(chunk.len().get() * each, None);
                Ok::<(), ()>(())
            };
            for _ in 0..times {
                long.run(sim, |chunk| work(chunk, 1)).unwrap();
            }
            job.run(sim, |chunk| work(chunk, 1)).unwrap().threads_used
        })
    };
    assert!(unit(ideal(1, 4), 4) > 1);
    let mut dear = ideal(1, 4);
    dear.start_cost_ns = 100_000;
    dear.helper_start_ns = 100_000;
    assert_eq!(unit(dear, 16), 1);
}

#[test]
fn offered_helpers_come_while_the_first_chunk_lasts() {
    let platform = Hosted::builder().cpus(4).threads(3).budget_percent(100).build();
    for _ in 0..20 {
        // Each of four chunks waits until all have begun.
        let begun = AtomicUsize::new(0);
        let job = Job::new(Items::new(0)..Items::new(4)).max_threads(4);
        let stats = job.run(&platform, |_| {
            begun.fetch_add(1, Ordering::SeqCst);
            while begun.load(Ordering::SeqCst) < 4 {
                std::thread::yield_now();
            }
            Ok::<(), ()>(())
        });
        assert_eq!(stats.unwrap().threads_used, 4);
    }
}

#[test]
fn an_offer_that_is_not_needed_is_taken_back() {
    let platform = Hosted::builder().cpus(2).threads(1).build();
    let job = Job::new(Items::new(0)..Items::new(2));
    for _ in 0..10_000 {
        let stats = job.run(&platform, |_| Ok::<(), ()>(())).unwrap();
        assert_eq!(stats.units, 2);
        assert_eq!(stats.helpers_lost, 0);
        assert_eq!(platform.queued_helpers(), 0);
    }
}

#[test]
fn an_offer_that_was_taken_back_leaves_room_for_a_helper() {
    // The queue has room for one task per thread.
    let platform = Hosted::builder().cpus(2).threads(1).budget_percent(100).build();
    let offers = Job::new(Items::new(0)..Items::new(2));
    let starts = Job::new(Items::new(0)..Items::new(2)).threads_exact(2);
    for _ in 0..1_000 {
        for job in [&offers, &starts] {
            let stats = job.run(&platform, |_| Ok::<(), ()>(())).unwrap();
            assert_eq!((stats.units, stats.helpers_lost), (2, 0));
        }
    }
}
