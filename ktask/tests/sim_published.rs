//! Published measurements of ktask and padata, reproduced on simulated machines from two
//! or three rates each; and the governor against every fixed thread count there.

use ktask::sim::{Capacity, LOWEST_WEIGHT, Machine, Node, Sim};
use ktask::{Job, NodeId, NodeRange, Pages, Profile, Stats};

/// A published table: seconds by threads, and what is needed to simulate it.
struct Published {
    name: &'static str,
    machine: Machine,
    /// Work, in units of which one thread does `rate` per second.
    units: u64,
    /// Seconds that no thread count changes: what the measurement has around the job.
    outside_s: f64,
    rows: &'static [(usize, f64)],
    /// Largest thread count that a job may have there.
    max_threads: usize,
}

/// One node of `cpus` CPUs, on which one thread does a million units per second, and all
/// together `peak` and, with `full_at` of them, `full` times as much.
fn machine(cpus: usize, peak: f64, full: f64, full_at: usize) -> Machine {
    let rate = 1e6;
    let capacity = Capacity::new(rate, peak * rate, full * rate, full_at);
    let mut machine = Machine::new(1, Node { cpus, rate, capacity });
    machine.budget_percent = 100;
    machine.helper_weight = LOWEST_WEIGHT;
    machine
}

fn published() -> Vec<Published> {
    let table = |name, machine: Machine, one_s: f64, outside_s, rows| Published {
        name,
        max_threads: machine.cpus(),
        machine,
        units: (one_s * 1e6) as u64,
        outside_s,
        rows,
    };
    vec![
        table(
            "clear 100 GiB, 8-socket Xeon E7-8895 v3",
            machine(16, 10.2, 10.3, 18),
            40.5,
            0.0,
            &[(1, 41.13), (2, 20.26), (4, 9.62), (8, 4.90), (16, 3.94)],
        ),
        table(
            "clear 50 GiB, SPARC T7-4",
            machine(16, 5.0, 9.84, 16),
            7.77,
            0.0,
            &[(1, 7.77), (2, 3.95), (4, 2.02), (8, 1.24), (16, 0.79)],
        ),
        table(
            "clear 200 GiB, SPARC T7-4",
            machine(16, 3.5, 7.1, 16),
            31.03,
            0.0,
            &[(1, 31.03), (2, 16.47), (4, 9.20), (8, 6.01), (16, 4.41)],
        ),
        table(
            "VFIO pin 320 GiB, patch 6",
            machine(16, 16.0, 16.0, 17),
            46.0,
            17.8,
            &[(1, 65.0), (2, 42.8), (4, 28.5), (8, 22.8), (16, 20.0)],
        ),
        table(
            "VFIO pin 320 GiB, patch 9",
            machine(16, 16.0, 16.0, 17),
            63.0,
            2.4,
            &[(1, 65.5), (2, 34.4), (4, 18.3), (8, 10.3), (12, 7.6), (16, 6.4)],
        ),
        table(
            "deferred init, Xeon 8167M",
            machine(52, 13.4, 18.1, 52),
            1.652,
            0.0657,
            &[(1, 1.7177), (6, 0.341), (13, 0.1933), (19, 0.1753), (26, 0.1937), (39, 0.1727), (52, 0.1433)],
        ),
        table(
            "deferred init, Xeon E5-2699 v3",
            machine(36, 9.7, 15.0, 36),
            0.5667,
            0.0586,
            &[(1, 0.6253), (4, 0.2003), (9, 0.1280), (13, 0.1177), (18, 0.1170), (27, 0.1100), (36, 0.0900)],
        ),
        table(
            "deferred init, EPYC 7551 in a guest",
            machine(16, 5.0, 6.9, 16),
            0.2103,
            0.03,
            &[(1, 0.2403), (2, 0.1350), (4, 0.0833), (6, 0.0720), (8, 0.0713), (12, 0.0687), (16, 0.0573)],
        ),
        table(
            "1 TiB of 2M pages, Skylake",
            machine(144, 22.0, 17.2, 144),
            352.0,
            0.0,
            &[(8, 44.0), (16, 22.0), (32, 16.0), (64, 19.0), (128, 20.0)],
        ),
        table(
            "1 TiB of 2M pages, Cascade Lake",
            machine(192, 30.5, 36.0, 192),
            315.0,
            0.0,
            &[(8, 39.0), (16, 20.0), (32, 11.0), (64, 10.0), (128, 9.0)],
        ),
    ]
}

impl Published {
    /// Seconds that the job takes with `threads`, or with as many as the governor likes.
    fn simulate(&self, threads: Option<usize>) -> (f64, Stats) {
        let stats = Sim::run(self.machine.clone(), 7, |sim| {
            let job = Job::new(Pages::new(0)..Pages::new(self.units))
                // 64 chunks for each of the most threads.
                .min_chunk(Pages::new(self.units / (64 * self.max_threads as u64)))
                .profile(Profile::Boot)
                .max_threads(self.max_threads);
            let job = match threads {
                Some(threads) => job.threads_exact(threads),
                None => job,
            };
            job.run(sim, |chunk| {
                sim.work(chunk.len().get(), None);
                Ok::<(), ()>(())
            })
            .unwrap()
        });
        (stats.wall_ns as f64 / 1e9 + self.outside_s, stats)
    }
}

#[test]
fn tables_are_reproduced_within_a_tenth() {
    let mut worst = Vec::new();
    for table in published() {
        let base = table.simulate(Some(table.rows[0].0)).0;
        for &(threads, published_s) in table.rows {
            let (s, stats) = table.simulate(Some(threads));
            assert_eq!(stats.threads_used, threads, "{}", table.name);
            let speedup = base / s;
            let published_speedup = table.rows[0].1 / published_s;
            let off = (s / published_s - 1.0) * 100.0;
            let off_speedup = (speedup / published_speedup - 1.0) * 100.0;
            println!(
                "{:45} {threads:4} threads: {s:8.3} s, published {published_s:8.3} ({off:+5.1} %), speedup {speedup:5.2} / {published_speedup:5.2} ({off_speedup:+5.1} %)",
                table.name
            );
            if off.abs() > 10.0 || off_speedup.abs() > 10.0 {
                worst.push((table.name, threads, off, off_speedup));
            }
        }
    }
    assert!(worst.is_empty(), "{worst:#?}");
}

#[test]
fn governor_is_near_the_best_fixed_count_everywhere() {
    for table in published() {
        let counts = (0..).map(|step| 1 << step).take_while(|&n| n < table.max_threads);
        let counts = counts.chain([table.max_threads * 3 / 4, table.max_threads]);
        let mut counts: Vec<usize> = counts.chain(table.rows.iter().map(|row| row.0)).collect();
        counts.sort_unstable();
        counts.dedup();
        let fixed = counts.iter().map(|&n| (n, table.simulate(Some(n)).0));
        let (best_threads, best_s) = fixed.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        let (s, stats) = table.simulate(None);
        println!(
            "{:45} best {best_threads:4}: {best_s:8.3} s, governor {s:8.3} s ({:+5.1} %) eff {:?}",
            table.name,
            (s / best_s - 1.0) * 100.0,
            stats.trail
        );
    }
}

#[test]
fn ideal_1024() {
    let rate = 1e6;
    for threads in [2usize, 16, 128, 1024] {
        let nodes = 8.min(threads);
        let mut machine =
            Machine::new(nodes, Node { cpus: threads / nodes, rate, capacity: Capacity::IDEAL });
        machine.budget_percent = 100;
        let per_node = 64 * (threads / nodes) as u64 * 1000;
        let ranges: Vec<_> = (0..nodes as u64)
            .map(|n| {
                NodeRange::new(NodeId(n as u32), Pages::new(n * per_node)..Pages::new((n + 1) * per_node))
            })
            .collect();
        for exact in [true, false] {
            let t = std::time::Instant::now();
            let stats = Sim::run(machine.clone(), 3, |sim| {
                let job = Job::over_nodes(&ranges).min_chunk(Pages::new(1000)).profile(Profile::Boot);
                let job = if exact { job.threads_exact(threads) } else { job };
                job.run(sim, |chunk| {
                    sim.work(chunk.len().get(), chunk.node());
                    Ok::<(), ()>(())
                })
                .unwrap()
            });
            let ideal = 64.0 * 1000.0 / rate;
            println!(
                "{threads} exact {exact}: eff {:.3} chunks {} spread {} local {} real {:?} {:?}",
                ideal / (stats.wall_ns as f64 / 1e9),
                stats.chunks,
                stats.spread_ns,
                stats.local_chunks,
                t.elapsed(),
                stats.trail
            );
        }
    }
}
