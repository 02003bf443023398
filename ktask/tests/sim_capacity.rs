//! Capacities through a few measured rates, against the curves that they were measured on.

#[path = "common/published.rs"]
mod published;

use ktask::sim::{Capacity, InvalidPoints};

/// Compares the curve through `points` with `rates`, and returns the largest deviation.
fn deviation(name: &str, points: &[(usize, f64)], rates: &[(usize, f64)]) -> f64 {
    let capacity = Capacity::through(points).unwrap();
    let rate = points[0].1;
    let mut largest = 0.0_f64;
    for &(threads, real) in rates {
        let modelled = capacity.of(threads).min(threads as f64 * rate);
        let off = modelled / real - 1.0;
        println!("{name:34} {threads:3} threads {modelled:7.2} ({real:7.2}, {:+5.1} %)", off * 100.0);
        largest = largest.max(off.abs());
    }
    largest
}

/// Converts a published table of seconds to rates: all seconds but `outside_s` are the job's.
fn rates(rows: &[(usize, f64)], outside_s: f64) -> Vec<(usize, f64)> {
    rows.iter().map(|&(threads, s)| (threads, 1.0 / (s - outside_s))).collect()
}

fn only(rates: &[(usize, f64)], threads: &[usize]) -> Vec<(usize, f64)> {
    rates.iter().copied().filter(|row| threads.contains(&row.0)).collect()
}

#[test]
fn three_rates_of_a_published_table_give_the_others_within_a_tenth() {
    let pinning = [(1, 1.0), (8, 7.5), (16, 12.7), (24, 13.1), (32, 12.9)];
    let patch_9 = rates(&published::VFIO_PATCH_9, 0.0);
    let haswell = rates(&published::DEFERRED_E5_2699_MS, 0.0);
    let haswell_ex = rates(&published::CLEAR_E7_8895, 0.0);
    let sparc = rates(&published::CLEAR_SPARC_T7, 0.0);
    let skylake = [(1, 1.0), (8, 8.0), (16, 16.0), (32, 22.0), (64, 18.5), (128, 17.6)];
    for (name, table, described) in [
        ("VFIO, 104 CPUs", &pinning[..], [1, 16, 32]),
        ("VFIO pin 320 GiB, patch 9", &patch_9, [1, 8, 16]),
        ("deferred init, E5-2699 v3", &haswell, [1, 18, 36]),
        ("clear 100 GiB, E7-8895 v3", &haswell_ex, [1, 8, 16]),
        ("clear 100 GiB, SPARC T7-4", &sparc, [1, 8, 16]),
        ("1 TiB of 2M pages, Skylake", &skylake, [1, 32, 64]),
    ] {
        let off = deviation(name, &only(table, &described), table);
        assert!(off <= 0.1, "{name}: {off}");
    }
}

#[test]
fn rates_at_1_16_and_32_give_those_at_4_8_12_and_24_within_a_tenth() {
    // A shared resource with contention and coherence costs, as in the universal scalability law.
    let law = |contention: f64, coherence: f64| {
        move |threads: usize| {
            let n = threads as f64;
            n / (1.0 + contention * (n - 1.0) + coherence * n * (n - 1.0))
        }
    };
    // Memory for a number of threads.
    let memory = |threads_served: f64| move |threads: usize| (threads as f64).min(threads_served);
    /// Returns the rate of a number of threads.
    type Curve = Box<dyn Fn(usize) -> f64>;
    let curves: [(&str, Curve); 7] = [
        ("contention", Box::new(law(0.05, 0.0))),
        ("contention and coherence", Box::new(law(0.02, 0.001))),
        ("coherence", Box::new(law(0.0, 0.002))),
        ("memory for 6", Box::new(memory(6.0))),
        ("memory for 8", Box::new(memory(8.0))),
        ("memory for 10", Box::new(memory(10.0))),
        ("memory for 20", Box::new(memory(20.0))),
    ];
    for (name, curve) in curves {
        let at = |threads: &[usize]| threads.iter().map(|&n| (n, curve(n))).collect::<Vec<_>>();
        let off = deviation(name, &at(&[1, 16, 32]), &at(&[1, 4, 8, 12, 16, 24, 32]));
        assert!(off <= 0.1, "{name}: {off}");
    }
}

#[test]
fn wrong_points_are_named() {
    for (points, error) in [
        (&[][..], InvalidPoints::NoFirst),
        (&[(2, 1.0)], InvalidPoints::NoFirst),
        (&[(1, 1.0), (4, 3.0), (4, 4.0)], InvalidPoints::NotRising { index: 2 }),
        (&[(1, 1.0), (2, f64::NAN)], InvalidPoints::NoRate { index: 1 }),
        (&[(1, 0.0)], InvalidPoints::NoRate { index: 0 }),
        (&[(1, f64::INFINITY)], InvalidPoints::NoRate { index: 0 }),
    ] {
        assert_eq!(Capacity::through(points), Err(error), "{points:?}");
    }
    for (error, message) in [
        (InvalidPoints::NoFirst, "the first point must be that of 1 thread"),
        (InvalidPoints::NotRising { index: 2 }, "point 3 must have more threads than the point before"),
        (InvalidPoints::NoRate { index: 0 }, "the rate of point 1 must be a number above 0"),
    ] {
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn curves_follow_points_on_a_line() {
    let points = [(1, 1.0), (8, 7.5), (16, 12.0), (24, 13.0), (32, 14.0), (40, 15.0)];
    let capacity = Capacity::through(&points).unwrap();
    for threads in 24..=32 {
        let rate = 13.0 + (threads - 24) as f64 / 8.0;
        assert!((capacity.of(threads) - rate).abs() < 1e-9, "{threads} threads: {}", capacity.of(threads));
    }
}

/// Two threads of a core share it: the second point is far from the proportion, the third is not.
#[test]
fn a_slow_start_does_not_overshoot() {
    let capacity = Capacity::through(&[(1, 1.0), (4, 1.5), (16, 6.0)]).unwrap();
    let rates: Vec<_> = (1..=16).map(|threads| capacity.of(threads)).collect();
    assert!(rates.is_sorted(), "{rates:?}");
}

#[test]
fn curves_pass_through_their_points_and_stay_finite() {
    let shapes: [&[(usize, f64)]; 6] = [
        &[(1, 3.0)],
        &[(1, 1.0), (8, 12.0)],
        &[(1, 1.0), (8, 0.5), (16, 0.1)],
        &[(1, 1.0), (2, 1.0), (3, 9.0), (4, 9.0)],
        &[(1, 1e-9), (1024, 1e9)],
        &[(1, 1.0), (16, 12.7), (32, 12.9), (64, 40.0)],
    ];
    for points in shapes {
        let capacity = Capacity::through(points).unwrap();
        for &(threads, rate) in points {
            assert!((capacity.of(threads) / rate - 1.0).abs() < 1e-6, "{points:?} at {threads}");
        }
        for threads in 1..2000 {
            let rate = capacity.of(threads);
            assert!(rate.is_finite() && rate > 0.0, "{points:?} at {threads}: {rate}");
        }
    }
}
