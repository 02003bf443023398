//! The governor against the best fixed thread count, on a part of the matrix that
//! `examples/governor_matrix.rs` runs as a whole.

#[path = "common/matrix.rs"]
mod matrix;

use ktask::Trail;
use matrix::{Case, Cost, Outcome, Shape, Trouble};

/// Largest median and largest single ratio of time, and largest ratio of CPU time.
struct Bounds {
    median: f64,
    largest: f64,
    cpu: f64,
}

/// Compares on `seeds` seeds.
fn compare(case: Case, seeds: u64, bounds: &Bounds) {
    let outcome = Outcome::of(&case, seeds, 1);
    let ((median, largest), (_, cpu)) = (outcome.times(), outcome.cpu_times());
    println!("{case:?}: best {}, median {median:.3}, worst {largest:.3}, CPU {cpu:.3}", outcome.best);
    assert!(median <= bounds.median, "{case:?}: {outcome:?}");
    assert!(largest <= bounds.largest, "{case:?}: {outcome:?}");
    assert!(cpu <= bounds.cpu, "{case:?}: {outcome:?}");
}

fn case(shape: Shape, cost: Cost, trouble: Trouble, items_per_cpu: u64) -> Case {
    Case { shape, cost, trouble, items_per_cpu }
}

#[test]
fn every_node_gets_its_share_where_bandwidth_falls() {
    let bounds = Bounds { median: 1.10, largest: 1.10, cpu: 1.3 };
    for shape in [Shape::Falling(2, 28), Shape::Falling(4, 14)] {
        compare(case(shape, Cost::Constant(1000.0), Trouble::None, 256), 1, &bounds);
    }
    for shape in [Shape::Falling(2, 28), Shape::Falling(4, 14)] {
        compare(case(shape, Cost::Exponential(1000.0), Trouble::None, 512), 2, &bounds);
    }
}

#[test]
fn varying_costs_are_not_taken_for_saturation() {
    let bounds = Bounds { median: 1.1, largest: 1.25, cpu: 1.3 };
    // The cases that a governor which judges by one window got wrong by half.
    compare(case(Shape::Ideal(1, 8), Cost::Exponential(1000.0), Trouble::None, 512), 5, &bounds);
    compare(case(Shape::Ideal(1, 32), Cost::Bimodal, Trouble::None, 1024), 3, &bounds);
    compare(case(Shape::Ideal(1, 8), Cost::LogNormal(1.5), Trouble::None, 1024), 5, &bounds);
}

#[test]
fn late_and_lost_helpers_are_no_verdict() {
    let bounds = Bounds { median: 1.1, largest: 1.25, cpu: 1.3 };
    for trouble in [Trouble::Late, Trouble::Lost] {
        compare(case(Shape::Ideal(1, 32), Cost::Constant(1000.0), trouble, 256), 5, &bounds);
        compare(case(Shape::Falling(1, 28), Cost::Constant(1000.0), trouble, 256), 2, &bounds);
    }
}

#[test]
fn threads_that_add_nothing_are_handed_back() {
    // Six threads use up the memory. More cost no time here, only CPU time: one count too high shows in that alone.
    let bounds = Bounds { median: 1.05, largest: 1.25, cpu: 1.3 };
    let flat = Shape::Flat(1, 32);
    for trouble in [Trouble::None, Trouble::Lost] {
        compare(case(flat, Cost::Growing(1000.0), trouble, 256), 2, &bounds);
    }
    compare(case(flat, Cost::Bimodal, Trouble::None, 1024), 3, &bounds);
    compare(case(flat, Cost::Exponential(1000.0), Trouble::Lost, 512), 3, &bounds);
}

#[test]
fn an_error_at_the_start_does_not_stay() {
    // Seeds with which the first trials find twice the threads to be worthwhile, or half of them enough.
    let bounds = Bounds { median: 1.05, largest: 1.25, cpu: 1.3 };
    let falling = Shape::Falling(1, 28);
    compare(case(falling, Cost::Exponential(1000.0), Trouble::Late, 512), 3, &bounds);
    compare(case(falling, Cost::Bimodal, Trouble::None, 1024), 2, &bounds);
}

/// Compares one seed with `best` threads.
fn compare_seed(case: Case, seed: u64, best: usize, bounds: &Bounds) {
    let trail = Trail::new();
    let (fixed, governed) = (case.run(seed, Some(best), &trail), case.run(seed, None, &trail));
    let time = governed.wall_ns as f64 / fixed.wall_ns as f64;
    let cpu = governed.cpu_ns as f64 / fixed.cpu_ns as f64;
    println!("{case:?}, seed {seed}: time {time:.3}, CPU {cpu:.3}");
    assert!(time <= bounds.largest && cpu <= bounds.cpu, "{case:?}: time {time}, CPU {cpu}, {trail:?}");
}

#[test]
fn few_chunks_do_not_end_a_search() {
    let bounds = Bounds { median: 1.1, largest: 1.1, cpu: 1.1 };
    // The first chunks on few threads are cheap by chance, and those on more threads are not.
    let bimodal = |shape, trouble| case(shape, Cost::Bimodal, trouble, 1024);
    compare_seed(bimodal(Shape::Ideal(1, 32), Trouble::Lost), 22, 32, &bounds);
    // The same for the first measurement of all: costs double before the second.
    let growing = case(Shape::Ideal(1, 8), Cost::Growing(1000.0), Trouble::Late, 256);
    compare_seed(growing, 49, 8, &bounds);
    // A typical rate is known of one of two measurements that are averaged.
    compare_seed(bimodal(Shape::Falling(1, 28), Trouble::None), 55, 6, &bounds);
}

#[test]
fn few_threads_are_not_held_for_long_while_more_may_be_worthwhile() {
    let bounds = Bounds { median: 1.1, largest: 1.25, cpu: 1.1 };
    let log_normal = case(Shape::Ideal(2, 16), Cost::LogNormal(1.5), Trouble::None, 1024);
    compare_seed(log_normal, 9, 32, &bounds);
}

#[test]
fn late_helpers_of_a_trial_do_not_end_it() {
    let bounds = Bounds { median: 1.1, largest: 1.1, cpu: 1.3 };
    let growing = case(Shape::Flat(1, 32), Cost::Growing(1000.0), Trouble::Late, 256);
    compare_seed(growing, 3, 6, &bounds);
}

#[test]
fn one_helper_that_is_lost_or_refused_costs_little() {
    let run = |trouble| {
        let one = case(Shape::Ideal(1, 16), Cost::Constant(1000.0), trouble, 256);
        one.run(1, None, &Trail::new())
    };
    let without_ns = run(Trouble::None).wall_ns as f64;
    for trouble in [Trouble::OneLost, Trouble::OneRefused] {
        let stats = run(trouble);
        let ratio = stats.wall_ns as f64 / without_ns;
        println!("{trouble:?}: {ratio:.3} {stats:?}");
        assert!(ratio <= 1.15, "{trouble:?}: {ratio} {stats:?}");
        assert_eq!(stats.threads_used, 16, "{trouble:?}: the helper was asked for again");
    }
}
