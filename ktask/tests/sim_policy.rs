//! How jobs share work on simulated machines: skew, nodes, scale, neighbours.

mod common;

use common::{RATE, ideal};
use ktask::sim::{Capacity, Machine, NORMAL_WEIGHT, Neighbour, Node, Sim, Traffic};
use ktask::{CancelToken, Chunk, Items, Job, NodeId, NodeRange, Platform, Profile, Stats, Trail};

const UNITS: u64 = 64_000;
const MIN_CHUNK: u64 = 100;

/// Runs a job in which unit `n` costs `cost(n)` units of time. Returns the stats, and the largest
/// time of a minimal chunk.
fn skewed(machine: Machine, threads: usize, cost: impl Fn(u64) -> u64 + Sync) -> (Stats, u64) {
    let of = |units: std::ops::Range<u64>| units.map(&cost).sum::<u64>();
    let chunks = (0..UNITS / MIN_CHUNK).map(|chunk| of(chunk * MIN_CHUNK..(chunk + 1) * MIN_CHUNK));
    let largest_ns = (chunks.max().unwrap() as f64 / RATE * 1e9) as u64;
    let stats = Sim::run(machine, 1, |sim| {
        Job::new(Items::new(0)..Items::new(UNITS))
            .min_chunk(Items::new(MIN_CHUNK))
            .align(Items::new(MIN_CHUNK))
            .threads_exact(threads)
            .run(sim, |chunk| {
                sim.work(of(chunk.indices()), None);
                Ok::<(), ()>(())
            })
            .unwrap()
    });
    (stats, largest_ns)
}

/// Returns the time that a static split into equal parts takes.
fn static_split_ns(threads: u64, cost: impl Fn(u64) -> u64) -> u64 {
    let part = UNITS / threads;
    let parts = (0..threads).map(|n| (n * part..(n + 1) * part).map(&cost).sum::<u64>());
    (parts.max().unwrap() as f64 / RATE * 1e9) as u64
}

#[test]
fn finish_spread_is_at_most_one_minimal_chunk() {
    let expensive = |unit: u64| if (unit / MIN_CHUNK).is_multiple_of(64) { 50 } else { 1 };
    let growing = |unit: u64| 1 + unit / 1000;
    let falling = |unit: u64| 1 + (UNITS - unit) / 1000;
    for threads in [2, 3, 8] {
        for (name, cost) in [
            ("uniform", &(|_: u64| 2u64) as &(dyn Fn(u64) -> u64 + Sync)),
            ("one chunk in 64 at 50 times", &expensive),
            ("growing", &growing),
            ("falling", &falling),
        ] {
            let (stats, largest_ns) = skewed(ideal(1, 8), threads, cost);
            let split_ns = static_split_ns(threads as u64, cost);
            println!("{threads} threads, {name}: {stats:?}, static split {split_ns}");
            assert!(stats.spread_ns <= largest_ns + 10_000, "{name}: {stats:?} {largest_ns}");
            assert!(stats.wall_ns <= split_ns + split_ns / 50, "{name}: {stats:?} {split_ns}");
        }
    }
}

#[test]
fn long_chunks_that_are_faster_are_long_up_to_the_end() {
    // As a processor that writes long extents of memory faster: a chunk of some length or more takes half the
    // time. The second thread sees that in longer chunks only, which it has if the first tells it.
    const UNITS: u64 = 120_000;
    for lengths in [[3_000, 3_000], [3_000, 15_000]] {
        let mut machine = ideal(1, 2);
        machine.nodes.iter_mut().for_each(|node| node.rate = 5.0 * RATE);
        let stats = Sim::run(machine, 1, |sim| {
            let job = Job::new(Items::new(0)..Items::new(UNITS));
            let run = job.run(sim, |chunk| {
                let units = chunk.len().get();
                sim.work(if units < lengths[chunk.worker()] { 2 * units } else { units }, None);
            });
            run.unwrap()
        });
        let ideal_ns = UNITS as f64 / (5.0 * RATE) / 2.0 * 1e9;
        println!("{lengths:?}: {:.3} of the ideal, {stats:?}", stats.wall_ns as f64 / ideal_ns);
        assert!((stats.wall_ns as f64) < ideal_ns * 1.15, "{stats:?}, ideal {ideal_ns}");
    }
}

#[test]
fn slow_thread_gets_short_chunks() {
    for (cpu, speed) in [(1, 0.25), (0, 0.25), (1, 0.1)] {
        let mut machine = ideal(1, 2);
        machine.cpu_speeds = vec![(cpu, speed)];
        let (stats, largest_ns) = skewed(machine, 2, |_| 10);
        // The time of a minimal chunk on the slow thread.
        let slow_ns = (largest_ns as f64 / speed) as u64;
        assert!(stats.spread_ns <= slow_ns + 10_000, "{stats:?}, chunk {slow_ns}");
        let ideal_ns = UNITS as f64 * 10.0 / RATE / (1.0 + speed) * 1e9;
        assert!((stats.wall_ns as f64) < ideal_ns * 1.02, "{stats:?}, ideal {ideal_ns}");
    }
}

#[test]
fn slow_thread_does_not_get_a_share_that_delays_the_end() {
    // A minimum of one unit, 10 us, so that the engine chooses the lengths. With an eighth of the
    // job, the slow thread would run for longer than the other takes for the rest.
    let mut machine = ideal(1, 2);
    machine.cpu_speeds = vec![(1, 0.1)];
    let stats = Sim::run(machine, 1, |sim| {
        Job::new(Items::new(0)..Items::new(UNITS))
            .threads_exact(2)
            .run(sim, |chunk| {
                sim.work(chunk.len().get() * 10, None);
                Ok::<(), ()>(())
            })
            .unwrap()
    });
    assert!(stats.spread_ns < 1_000_000, "{stats:?}");
    let ideal_ns = UNITS as f64 * 10.0 / RATE / 1.1 * 1e9;
    assert!((stats.wall_ns as f64) < ideal_ns * 1.02, "{stats:?}, ideal {ideal_ns}");
    // Few chunks for this minimum: they have grown to a quarter of a millisecond.
    assert!(stats.chunks < 4000, "{stats:?}");
}

#[test]
fn runs_are_reproducible() {
    let run = |seed| {
        let mut machine = ideal(2, 8);
        machine.helper_jitter_ns = 300_000;
        machine.lose_one_in = 5;
        Sim::run(machine, seed, |sim| {
            Job::new(Items::new(0)..Items::new(100_000))
                .min_chunk(Items::new(100))
                .profile(Profile::Boot)
                .run(sim, |chunk| {
                    sim.work(chunk.len().get(), None);
                    Ok::<(), ()>(())
                })
                .unwrap()
        })
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

/// Runs a job of 5 s on `threads` threads that is told to stop after 2 s. Returns the time that it went
/// on, in nanoseconds.
fn ns_after_stop(threads: usize, units: u64, min_chunk: u64, by_deadline: bool) -> u64 {
    const STOP_NS: u64 = 2_000_000_000;
    // Of all units together on one thread.
    const WORK: u64 = 5 * RATE as u64;
    let token = CancelToken::new();
    let result = Sim::run(ideal(1, threads), 1, |sim| {
        let job = Job::new(Items::new(0)..Items::new(units))
            .min_chunk(Items::new(min_chunk))
            .threads_exact(threads);
        let job = if by_deadline { job.deadline_ns(STOP_NS) } else { job.cancel(&token) };
        job.run(sim, |chunk| {
            // Exact also where a unit costs less than the simulator can tell: by position.
            let work_before = |unit: u64| (u128::from(unit) * u128::from(WORK) / u128::from(units)) as u64;
            sim.work(work_before(chunk.end().get()) - work_before(chunk.start().get()), None);
            if sim.now_ns() >= STOP_NS {
                token.cancel();
            }
            Ok::<(), ()>(())
        })
    });
    let error = result.expect_err("the job was told to stop");
    error.stats.wall_ns - STOP_NS
}

#[test]
fn jobs_stop_within_a_millisecond() {
    for (threads, by_deadline) in [(1, false), (1, true), (2, false), (2, true)] {
        for (units, min_chunk) in [(50_000, 1), (50_000, 7), (5_000_000, 1), (u64::MAX / 2, 1)] {
            let late_ns = ns_after_stop(threads, units, min_chunk, by_deadline);
            assert!(late_ns <= 1_000_000, "{threads} threads, {units} units: {late_ns} ns");
        }
    }
}

#[test]
fn chunks_shrink_where_units_cost_more() {
    // Units are cheap at first, so that chunks grow, and then cost a hundred times as much.
    let cost = |unit: u64| if unit < 200_000 { 1 } else { 100 };
    let longest_ns = std::sync::atomic::AtomicU64::new(0);
    Sim::run(ideal(1, 2), 1, |sim| {
        Job::new(Items::new(0)..Items::new(300_000))
            .threads_exact(2)
            .run(sim, |chunk| {
                let units: u64 = chunk.indices().map(cost).sum();
                sim.work(units, None);
                // Each worker may take two chunks of up to 2000 units to shorten its chunks twice.
                if chunk.start().get() > 205_000 {
                    let ns = (units as f64 / RATE * 1e9) as u64;
                    longest_ns.fetch_max(ns, std::sync::atomic::Ordering::Relaxed);
                }
                Ok::<(), ()>(())
            })
            .unwrap();
    });
    assert!(longest_ns.into_inner() <= 10_000_000);
}

/// Runs a job with a range of `per_node` units on each node, on `threads` threads or governed.
fn over_nodes(machine: Machine, per_node: u64, threads: Option<usize>) -> Stats {
    let nodes = machine.nodes.len() as u64;
    let ranges: Vec<_> = (0..nodes)
        .map(|node| {
            let units = Items::new(node * per_node)..Items::new((node + 1) * per_node);
            NodeRange::new(NodeId(node as u32), units)
        })
        .collect();
    Sim::run(machine, 1, |sim| {
        let job = Job::over_nodes(&ranges).min_chunk(Items::new(1000)).profile(Profile::Boot);
        let job = match threads {
            Some(threads) => job.threads_exact(threads),
            None => job,
        };
        job.run(sim, |chunk: Chunk<Items>| {
            sim.work(chunk.len().get(), chunk.node());
            Ok::<(), ()>(())
        })
        .unwrap()
    })
}

#[test]
fn thousand_cpus_are_used_to_95_percent() {
    for governed in [false, true] {
        let mut cost_per_chunk = Vec::new();
        for threads in [2, 16, 128, 1024] {
            let nodes = threads.min(8);
            let machine = ideal(nodes, threads / nodes);
            let per_node = 64 * 1000 * (threads / nodes) as u64;
            let stats = over_nodes(machine, per_node, (!governed).then_some(threads));
            let ideal_ns = 64.0 * 1000.0 / RATE * 1e9;
            let efficiency = ideal_ns / stats.wall_ns as f64;
            println!("{threads:4} threads, governed {governed}: {:.1} %", efficiency * 100.0);
            assert_eq!(stats.threads_used as usize, threads);
            assert!(efficiency >= 0.95, "{threads} threads: {efficiency} {stats:?}");
            let work_ns = ideal_ns * threads as f64;
            cost_per_chunk.push((stats.cpu_ns as f64 - work_ns) / stats.chunks as f64);
        }
        // The cost of a chunk beside its work is the same with 2 threads and with 1024.
        let (first, last) = (cost_per_chunk[0], cost_per_chunk[3]);
        assert!((first - last).abs() < 0.1 * first, "{cost_per_chunk:?}");
    }
}

#[test]
fn chunks_are_node_local_while_there_is_local_work() {
    let mut machine = ideal(4, 4);
    machine.remote_factor = 0.5;
    let stats = over_nodes(machine, 64_000, Some(16));
    assert_eq!(stats.threads_used, 16);
    assert!(stats.local_chunks.unwrap() * 100 >= stats.chunks * 97, "{stats:?}");
}

#[test]
fn helpers_without_local_work_go_to_the_nearest_node_with_work() {
    // All work is on one of two nodes; the helpers of the other node share it.
    let ranges = [NodeRange::new(NodeId(1), Items::new(0)..Items::new(640_000))];
    let stats = Sim::run(ideal(2, 4), 1, |sim| {
        Job::over_nodes(&ranges)
            .min_chunk(Items::new(1000))
            .threads_exact(8)
            .run(sim, |chunk| {
                sim.work(chunk.len().get(), chunk.node());
                Ok::<(), ()>(())
            })
            .unwrap()
    });
    assert_eq!(stats.threads_used, 8);
    assert!((stats.wall_ns as f64) < 640_000.0 / RATE / 8.0 * 1e9 * 1.03, "{stats:?}");
    assert!((0.4..0.6).contains(&(stats.local_chunks.unwrap() as f64 / stats.chunks as f64)), "{stats:?}");
}

/// Runs a job of `units` on eight CPUs, of which seven have a neighbour that needs `neighbour_s` of
/// CPU time. Returns the time at which the last neighbour ended, in seconds, and the job's stats.
fn with_neighbours(helper_weight: u32, neighbour_s: f64, units: u64) -> (f64, Stats) {
    let mut machine = ideal(1, 8);
    machine.helper_weight = helper_weight;
    let work_ns = (neighbour_s * 1e9) as u64;
    machine.neighbours = (1..8).map(|cpu| Neighbour { cpu, weight: NORMAL_WEIGHT, work_ns }).collect();
    Sim::run(machine, 1, |sim| {
        let stats = Job::new(Items::new(0)..Items::new(units))
            .min_chunk(Items::new(10_000))
            .threads_exact(8)
            .run(sim, |chunk| {
                sim.work(chunk.len().get(), None);
                Ok::<(), ()>(())
            })
            .unwrap();
        let ended_ns = (1..8).map(|cpu| sim.neighbour_ended_ns(cpu).unwrap()).max().unwrap();
        (ended_ns as f64 / 1e9, stats)
    })
}

#[test]
fn neighbours_lose_little_to_helpers_of_the_lowest_weight() {
    let alone_s = 1.0;
    let (lowest_s, _) = with_neighbours(ktask::sim::LOWEST_WEIGHT, alone_s, 16_000_000);
    let (equal_s, _) = with_neighbours(NORMAL_WEIGHT, alone_s, 16_000_000);
    println!("neighbours: alone {alone_s} s, lowest weight {lowest_s} s, equal weight {equal_s} s");
    assert!(lowest_s < alone_s * 1.03, "{lowest_s}");
    assert!(equal_s > alone_s * 1.5, "{equal_s}");
}

#[test]
fn waiting_caller_lends_its_weight_to_one_helper_after_the_other() {
    // The caller ends while each helper is at another point of a chunk.
    for units in (2_000_000..4_000_000).step_by(130_000) {
        let (_, stats) = with_neighbours(ktask::sim::LOWEST_WEIGHT, 60.0, units);
        // For a chunk, a helper at the lowest weight takes 69 times as long as alone. At the caller's
        // weight, which its neighbour also has, it takes twice as long. Seven helpers, one after
        // the other, take at most seven times that.
        let chunk_ns = 10_000.0 / RATE * 1e9;
        assert!((stats.spread_ns as f64) < 7.0 * 2.0 * chunk_ns * 1.05, "{stats:?}");
    }
}

#[test]
fn governor_follows_the_memory() {
    // The memory serves eight threads, and after a third of the job three.
    let rate = RATE;
    let capacity = Capacity::new(rate, 8.0 * rate, 8.0 * rate, 64);
    let mut machine = Machine::new(1, Node { cpus: 64, rate, capacity });
    machine.traffic = vec![Traffic { node: 0, from_ns: 300_000_000, until_ns: u64::MAX, share: 0.625 }];
    let trail = Trail::new();
    let stats = Sim::run(machine, 1, |sim| {
        Job::new(Items::new(0)..Items::new(8_000_000))
            .min_chunk(Items::new(1000))
            .profile(Profile::Boot)
            .trail(&trail)
            .run(sim, |chunk| {
                sim.work(chunk.len().get(), None);
                Ok::<(), ()>(())
            })
            .unwrap()
    });
    let last = trail.steps().last().unwrap();
    assert!(last.at_ns > 300_000_000, "{trail:?}");
    assert!((2..=4).contains(&last.next_threads), "{trail:?}");
    // Few threads use little CPU time: 64 threads would have used the time of 64 CPUs.
    assert!(stats.cpu_ns < stats.wall_ns * 12, "{stats:?}");
}

/// Units of a job over nodes in the next tests: pages of 1 GiB.
const GIB: u64 = 262_144;

/// Runs a job over 1 GiB on all CPUs of `machine`. Returns the stats, the share of local chunks in percent, and the share of the
/// ideal time that the job took longer than that and a minimal chunk on the slowest CPU.
fn clear_gib(machine: Machine) -> (Stats, f64, f64) {
    const MIN: u64 = 256;
    let nodes = machine.nodes.len() as u64;
    let cpus = machine.cpus();
    let mut speeds = vec![1.0; cpus];
    machine.cpu_speeds.iter().for_each(|(cpu, speed)| speeds[*cpu] = *speed);
    let slowest = speeds.iter().copied().fold(1.0, f64::min);
    let rate = machine.nodes[0].rate;
    let ideal_s = GIB as f64 / (rate * speeds.iter().sum::<f64>());
    let chunk_s = MIN as f64 / (rate * slowest);
    let ranges: Vec<_> = (0..nodes)
        .map(|node| {
            let units = Items::new(GIB * node / nodes)..Items::new(GIB * (node + 1) / nodes);
            NodeRange::new(NodeId(node as u32), units)
        })
        .collect();
    let stats = Sim::run(machine, 1, |sim| {
        Job::over_nodes(&ranges)
            .min_chunk(Items::new(MIN))
            .threads_exact(cpus)
            .run(sim, |chunk: Chunk<Items>| {
                sim.work(chunk.len().get(), chunk.node());
                Ok::<(), ()>(())
            })
            .unwrap()
    });
    let local_percent = 100.0 * stats.local_chunks.unwrap() as f64 / stats.chunks as f64;
    let loss = (stats.wall_ns as f64 * 1e-9 - chunk_s) / ideal_s - 1.0;
    (stats, local_percent, loss)
}

/// Describes `nodes` nodes with `cpus` CPUs each, that clear 2.5 GiB/s each.
fn clearing(nodes: usize, cpus: usize) -> Machine {
    let node = Node { cpus, rate: 655_360.0, capacity: Capacity::IDEAL };
    let mut machine = Machine::new(nodes, node);
    machine.helper_start_ns = 100_000;
    machine
}

#[test]
fn nodes_that_end_at_about_the_same_time_do_not_help_each_other() {
    for (nodes, cpus) in [(2, 1), (2, 2), (2, 4), (4, 1), (4, 2)] {
        for differ in [0.0, 0.01, 0.02] {
            let mut machine = clearing(nodes, cpus);
            // No two CPUs are equally fast.
            let all = nodes * cpus;
            machine.cpu_speeds =
                (1..all).map(|cpu| (cpu, 1.0 - differ * (cpu * 7 % all) as f64 / all as f64)).collect();
            let (stats, local_percent, loss) = clear_gib(machine);
            println!(
                "{nodes} nodes of {cpus}, {differ}: {local_percent:.1} % local, loss {:.2} %, {} chunks",
                loss * 100.0,
                stats.chunks
            );
            assert_eq!(stats.local_chunks, Some(stats.chunks), "{nodes} nodes of {cpus}, {differ}");
            assert!(loss < 0.03, "{nodes} nodes of {cpus}, {differ}: {loss} {stats:?}");
        }
    }
}

#[test]
fn slow_nodes_get_help() {
    for (nodes, cpus) in [(2, 1), (2, 2), (2, 4), (4, 1), (4, 2)] {
        for speed in [0.9, 0.75, 0.5, 0.1] {
            let mut machine = clearing(nodes, cpus);
            // The last node is slow.
            machine.cpu_speeds = ((nodes - 1) * cpus..nodes * cpus).map(|cpu| (cpu, speed)).collect();
            let (stats, local_percent, loss) = clear_gib(machine);
            println!(
                "{nodes} nodes of {cpus}, {speed}: {local_percent:.1} % local, loss {:.2} %, {} chunks",
                loss * 100.0,
                stats.chunks
            );
            assert!(loss < 0.025, "{nodes} nodes of {cpus}, {speed}: {loss} {stats:?}");
            let is_local = speed < 0.75 || local_percent >= 95.0;
            assert!(is_local, "{nodes} nodes of {cpus}, {speed}: {local_percent} {stats:?}");
        }
    }
}
