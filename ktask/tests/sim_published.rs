//! Published measurements of ktask and padata, reproduced on simulated machines from two or three
//! rates each. The governor is compared with every fixed thread count on these machines.

#[path = "common/published.rs"]
mod published;

use ktask::sim::{Capacity, LOWEST_WEIGHT, Machine, Node, Sim};
use ktask::{Job, NodeId, NodeRange, Pages, Platform, Profile, Stats, Trail, Tuning};

/// A published table of seconds by threads, and the parameters of its simulation.
struct Published {
    name: &'static str,
    machine: Machine,
    /// Work, in units of which one thread does `rate` per second.
    units: u64,
    /// Seconds that do not depend on the thread count: the time that was measured around the job.
    outside_s: f64,
    rows: Vec<(usize, f64)>,
    /// Largest thread count of a job on this machine.
    max_threads: usize,
}

/// Describes a node of `cpus` CPUs, on which one thread does a million units per second. Several
/// threads do up to `peak` times as much, and `full_at` threads do `full` times as much.
fn machine(cpus: usize, peak: f64, full: f64, full_at: usize) -> Machine {
    let rate = 1e6;
    let capacity = Capacity::new(rate, peak * rate, full * rate, full_at);
    let mut machine = Machine::new(1, Node { cpus, rate, capacity });
    machine.budget_percent = 100;
    machine.helper_weight = LOWEST_WEIGHT;
    machine
}

/// Converts milliseconds to seconds.
const fn ms<const N: usize>(rows: [(usize, f64); N]) -> [(usize, f64); N] {
    let mut rows = rows;
    let mut row = 0;
    while row < N {
        rows[row].1 /= 1e3;
        row += 1;
    }
    rows
}

fn published() -> Vec<Published> {
    let table = |name, machine: Machine, one_s: f64, outside_s, rows: &[(usize, f64)]| Published {
        name,
        max_threads: machine.cpus(),
        machine,
        units: (one_s * 1e6) as u64,
        outside_s,
        rows: rows.to_vec(),
    };
    // A table with only one row beside the base gives one rate, the peak.
    let one_rate = |name, threads: usize, base_s: f64, s: f64| {
        let peak = base_s / s;
        let machine = machine(threads, peak, peak, threads);
        table(name, machine, base_s, 0.0, &[(1, base_s), (threads, s)])
    };
    vec![
        table(
            "clear 100 GiB, 8-socket E7-8895 v3",
            machine(16, 10.2, 10.3, 18),
            40.5,
            0.0,
            &published::CLEAR_E7_8895,
        ),
        table(
            "clear 50 GiB, SPARC T7-4",
            machine(16, 5.0, 9.84, 16),
            7.77,
            0.0,
            &[(1, 7.77), (2, 3.95), (4, 2.02), (8, 1.24), (16, 0.79)],
        ),
        table("clear 100 GiB, SPARC T7-4", machine(16, 3.7, 7.8, 16), 15.5, 0.0, &published::CLEAR_SPARC_T7),
        table(
            "clear 200 GiB, SPARC T7-4",
            machine(16, 3.5, 7.1, 16),
            31.03,
            0.0,
            &[(1, 31.03), (2, 16.47), (4, 9.20), (8, 6.01), (16, 4.41)],
        ),
        one_rate("deferred init v2, 8-socket E7-8895 v3", 36, 0.483, 0.132),
        one_rate("deferred init v2, SPARC M6", 8, 9.566, 6.172),
        one_rate("deferred init v3, E5-2699 v4", 11, 5.860, 0.613),
        one_rate("deferred init v3, 8-socket E7-8895 v3", 9, 1.261, 0.325),
        table(
            "VFIO pin 320 GiB, patch 6",
            machine(16, 16.0, 16.0, 17),
            46.0,
            17.8,
            &[
                (1, 65.0),
                (2, 42.8),
                (3, 35.0),
                (4, 28.5),
                (5, 26.2),
                (6, 24.5),
                (7, 23.5),
                (8, 22.8),
                (12, 20.2),
                (16, 20.0),
            ],
        ),
        table(
            "VFIO pin 320 GiB, patch 8",
            machine(16, 6.5, 6.5, 17),
            58.7,
            6.5,
            &[
                (1, 65.2),
                (2, 36.0),
                (3, 26.4),
                (4, 21.2),
                (5, 17.9),
                (6, 16.5),
                (7, 15.4),
                (8, 15.5),
                (12, 14.7),
                (16, 15.4),
            ],
        ),
        table("VFIO pin 320 GiB, patch 9", machine(16, 16.0, 16.0, 17), 63.0, 2.4, &published::VFIO_PATCH_9),
        table(
            "deferred init, Xeon 8167M",
            machine(52, 13.4, 18.1, 52),
            1.652,
            0.0657,
            &ms([(1, 1717.7), (6, 341.0), (13, 193.3), (19, 175.3), (26, 193.7), (39, 172.7), (52, 143.3)]),
        ),
        table(
            "deferred init, E5-2699 v3",
            machine(36, 9.7, 15.0, 36),
            0.5667,
            0.0586,
            &ms(published::DEFERRED_E5_2699_MS),
        ),
        table(
            "deferred init, EPYC 7551, guest of 16",
            machine(16, 5.0, 6.9, 16),
            0.2103,
            0.03,
            &ms([(1, 240.3), (2, 135.0), (4, 83.3), (6, 72.0), (8, 71.3), (12, 68.7), (16, 57.3)]),
        ),
        table(
            "deferred init, EPYC 7551, guest of 4",
            machine(4, 4.0, 4.0, 5),
            0.0382,
            0.0135,
            &ms([(1, 51.7), (2, 35.7), (3, 26.0), (4, 22.3)]),
        ),
        table(
            "deferred init, E5-2699 v3, guest of 4",
            machine(4, 4.0, 4.0, 5),
            0.0455,
            0.0105,
            &ms([(1, 56.0), (2, 36.0), (3, 25.0), (4, 21.0)]),
        ),
        one_rate("hugetlb 2M, 256 CPUs, 4 nodes", 8, 3.336, 1.051),
        one_rate("hugetlb 2M, 128 CPUs, 2 nodes", 4, 1.943, 0.716),
        one_rate("hugetlb 1G, 256 CPUs, 4 nodes", 8, 4.745, 2.024),
        one_rate("hugetlb 1G, 128 CPUs, 2 nodes", 4, 3.358, 1.712),
        table(
            "hugetlb 256 GiB, threads per node",
            machine(5, 5.0, 5.0, 6),
            0.286,
            0.072,
            &ms([(1, 358.0), (2, 215.0), (3, 157.0), (4, 134.0), (5, 126.0)]),
        ),
        table(
            "hugetlb 2 TiB, threads per node",
            machine(5, 5.0, 5.0, 6),
            0.604,
            0.375,
            &ms([(1, 979.0), (2, 679.0), (3, 543.0), (4, 489.0), (5, 481.0)]),
        ),
        table(
            "hugetlb 50 GiB, threads per node",
            machine(5, 5.0, 5.0, 6),
            0.0525,
            0.018,
            &ms([(1, 71.0), (2, 44.0), (3, 37.0), (4, 30.0), (5, 31.0)]),
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
    /// Returns the seconds that the job takes with `threads`, or with the governor.
    fn simulate(&self, threads: Option<usize>) -> (f64, Stats) {
        self.simulate_with(threads, &Trail::new())
    }

    /// As [`simulate`](Self::simulate), with the governor's decisions in `trail`.
    fn simulate_with(&self, threads: Option<usize>, trail: &Trail) -> (f64, Stats) {
        let stats = Sim::run(self.machine.clone(), 7, |sim| {
            let job = Job::new(Pages::new(0)..Pages::new(self.units))
                // 64 chunks for each of the most threads.
                .min_chunk(Pages::new(self.units / (64 * self.max_threads as u64)))
                .profile(Profile::Boot)
                .trail(trail);
            let job = match threads {
                Some(threads) => job.threads_exact(threads),
                None => job.max_threads(self.max_threads),
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

/// Returns whether the time `s` and the speedup over `base` are within a tenth of the published
/// values.
fn is_close(name: &str, threads: usize, base: (f64, f64), s: f64, published_s: f64) -> bool {
    let (speedup, published) = (base.0 / s, base.1 / published_s);
    let (off, speedup_off) = (s / published_s - 1.0, speedup / published - 1.0);
    println!(
        "{name:38} {threads:3} threads {s:8.3} s ({published_s:8.3}, {:+5.1} %)  {speedup:5.2}x ({published:5.2}x, {:+5.1} %)",
        off * 100.0,
        speedup_off * 100.0,
    );
    off.abs() <= 0.1 && speedup_off.abs() <= 0.1
}

#[test]
fn tables_are_reproduced_within_a_tenth() {
    let mut off = Vec::new();
    for table in published() {
        let base = (table.simulate(Some(table.rows[0].0)).0, table.rows[0].1);
        for &(threads, published_s) in &table.rows {
            let (s, stats) = table.simulate(Some(threads));
            assert_eq!(stats.threads_used as usize, threads, "{}", table.name);
            if !is_close(table.name, threads, base, s, published_s) {
                off.push((table.name, threads));
            }
        }
    }
    assert!(off.is_empty(), "{off:?}");
}

/// Returns the seconds for clearing `gib` pages of 1 GiB one after the other. Each page is a job on
/// the page's node; the caller stays on the first node.
///
/// The machine has eight nodes of 128 GiB. A thread clears 2.5 GiB per second, 0.735 of that on
/// another node's memory; a node's memory takes 25.3 GiB per second.
fn clear_pages(gib: u64, threads: Option<usize>) -> f64 {
    const MIB: u64 = 1024;
    let rate = 2.5 * MIB as f64;
    let capacity = Capacity::new(rate, 25.3 * MIB as f64, 25.3 * MIB as f64, 36);
    let mut machine = Machine::new(8, Node { cpus: 36, rate, capacity });
    machine.remote_factor = 0.735;
    machine.max_threads = 16;
    let tuning = Tuning::new();
    Sim::run(machine, 1, |sim| {
        let started_ns = sim.now_ns();
        // To shorten the test, only every eighth page is cleared, and the time is multiplied.
        for page in (0..gib).step_by(8) {
            let pages = Pages::new(0)..Pages::new(MIB);
            let node = [NodeRange::new(NodeId((page / 128) as u32), pages)];
            let job = Job::over_nodes(&node).profile(Profile::Boot).tuning(&tuning);
            let job = match threads {
                Some(threads) => job.threads_exact(threads),
                None => job,
            };
            job.run(sim, |chunk| {
                sim.work(chunk.len().get(), chunk.node());
                Ok::<(), ()>(())
            })
            .unwrap();
        }
        let pages = gib.div_ceil(8) * 8;
        (sim.now_ns() - started_ns) as f64 / 1e9 * 8.0 * gib as f64 / pages as f64
    })
}

#[test]
fn local_helpers_make_the_speedup_more_than_linear() {
    let tables = [
        (200, [(1, 89.68), (2, 40.64), (4, 19.33), (8, 9.98), (16, 7.96)]),
        (400, [(1, 188.20), (2, 81.84), (4, 40.62), (8, 21.09), (16, 15.97)]),
        (800, [(1, 434.91), (2, 170.97), (4, 87.38), (8, 42.86), (16, 33.48)]),
    ];
    let mut off = Vec::new();
    for (gib, rows) in tables {
        let base = (clear_pages(gib, Some(1)), rows[0].1);
        for (threads, published_s) in rows {
            let s = clear_pages(gib, Some(threads));
            if !is_close(&format!("clear {gib} GiB"), threads, base, s, published_s) {
                off.push((gib, threads));
            }
            assert!(threads == 1 || threads == 16 || base.0 / s > threads as f64);
        }
        // A job per page is too short for several measurements; the count is learned once.
        let governed_s = clear_pages(gib, None);
        let best_s = clear_pages(gib, Some(16));
        println!("clear {gib} GiB: governor {governed_s:.3} s, 16 threads {best_s:.3} s");
        assert!(governed_s < best_s * 1.05, "{governed_s} s, 16 threads {best_s} s");
    }
    assert!(off.is_empty(), "{off:?}");
}

#[test]
fn governor_is_near_the_best_fixed_count_where_no_fixed_count_is() {
    let counts = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 36, 48, 52, 64, 96, 128, 144, 192];
    // For each count, its slowdown against the best count on its worst machine.
    let mut worst = counts.map(|count| (count, 0.0_f64));
    for table in published() {
        let times = counts.map(|count| table.simulate(Some(count.min(table.max_threads))).0);
        let best_s = times.into_iter().fold(f64::INFINITY, f64::min);
        for (worst, s) in worst.iter_mut().zip(times) {
            worst.1 = worst.1.max(s / best_s - 1.0);
        }
        let trail = Trail::new();
        let (s, _) = table.simulate_with(None, &trail);
        println!(
            "{:38} best fixed {best_s:8.3} s, governor {s:8.3} s ({:+4.1} %) {:?}",
            table.name,
            (s / best_s - 1.0) * 100.0,
            trail.steps().map(|step| step.next_threads).collect::<Vec<_>>()
        );
        assert!(s <= best_s * 1.05, "{}: {s} s, best fixed {best_s} s", table.name);
    }
    println!("fixed counts at their worst: {worst:.2?}");
    assert!(worst.iter().all(|(_, slower)| *slower > 0.05), "{worst:?}");
}
