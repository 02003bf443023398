//! Governed jobs on simulated machines whose nodes have more or less work.

mod common;

use common::RATE;
use ktask::sim::{Capacity, Machine, Node, Sim};
use ktask::{Chunk, Items, Job, NodeId, NodeRange, Profile, Stats};

/// A machine and a job: all nodes have `units`, and the last one has `times` as many.
#[derive(Clone, Copy, Debug)]
struct Case {
    nodes: u64,
    cpus: usize,
    /// Threads that the memory of a node serves, if so many use it and if all its CPUs do.
    serves: (f64, f64),
    units: u64,
    times: u64,
}

impl Case {
    fn machine(&self) -> Machine {
        let capacity = Capacity::new(RATE, self.serves.0 * RATE, self.serves.1 * RATE, self.cpus);
        let node = Node { cpus: self.cpus, rate: RATE, capacity };
        let mut machine = Machine::new(self.nodes as usize, node);
        machine.remote_factor = 0.6;
        machine.helper_start_ns = 30_000;
        machine
    }

    /// Returns the units before those of `node`.
    fn before(&self, node: u64) -> u64 {
        let last = if node == self.nodes { self.times } else { 0 };
        self.units * (node.min(self.nodes - 1) + last)
    }

    /// Runs the job on `threads` threads, or governed.
    fn run(&self, threads: Option<usize>) -> Stats {
        let ranges: Vec<_> = (0..self.nodes)
            .map(|node| {
                let units = Items::new(self.before(node))..Items::new(self.before(node + 1));
                NodeRange::new(NodeId(node as u32), units)
            })
            .collect();
        Sim::run(self.machine(), 1, |sim| {
            let job = Job::over_nodes(&ranges).min_chunk(Items::new(500)).profile(Profile::Boot);
            let job = match threads {
                Some(threads) => job.threads_exact(threads),
                None => job,
            };
            let run = job.run(sim, |chunk: Chunk<Items>| sim.work(chunk.len().get(), chunk.node()));
            run.unwrap()
        })
    }

    /// Returns time and CPU time of the governed job, each divided by that of the fastest fixed count.
    fn ratios(&self) -> (f64, f64) {
        let cpus = self.nodes as usize * self.cpus;
        let counts = (0..10).flat_map(|power| [1 << power, 3 << power]).filter(|count| *count <= cpus);
        let best = counts.map(|count| self.run(Some(count))).min_by_key(|stats| stats.wall_ns).unwrap();
        let governed = self.run(None);
        let ratio = |governed: u64, best: u64| governed as f64 / best as f64;
        let ratios = (ratio(governed.wall_ns, best.wall_ns), ratio(governed.cpu_ns, best.cpu_ns));
        println!("{self:?}: time {:.3}, CPU time {:.3}", ratios.0, ratios.1);
        ratios
    }
}

#[test]
fn the_last_node_with_work_has_the_threads_that_it_can_use() {
    // The count of all nodes is too many once only the last one has work. The count that is found then is not made
    // smaller again.
    let flat = Case { nodes: 4, cpus: 16, serves: (8.0, 8.0), units: 1_000_000, times: 5 };
    for case in [flat, Case { times: 3, ..flat }, Case { nodes: 2, ..flat }] {
        let (time, cpu_time) = case.ratios();
        assert!(time <= 1.05 && cpu_time <= 1.05, "{case:?}: time {time:.3}, CPU time {cpu_time:.3}");
    }
}

#[test]
fn a_node_that_more_threads_slow_down_is_left_to_few() {
    let small = Case { nodes: 2, cpus: 4, serves: (2.4, 1.2), units: 200_000, times: 5 };
    let middle = Case { nodes: 2, cpus: 8, serves: (4.8, 2.4), ..small };
    for case in [small, middle, Case { nodes: 4, units: 1_000_000, ..small }] {
        let (time, cpu_time) = case.ratios();
        assert!(time <= 1.25 && cpu_time <= 1.6, "{case:?}: time {time:.3}, CPU time {cpu_time:.3}");
    }
}

#[test]
fn governed_jobs_on_unequal_nodes_are_near_the_best_count() {
    let mut cases = Vec::new();
    for (nodes, cpus) in [(2, 4), (2, 8), (2, 16), (4, 4), (4, 8), (4, 16)] {
        for (most, all) in [(0.5, 0.5), (0.6, 0.3)] {
            let serves = (most * cpus as f64, all * cpus as f64);
            cases.extend([1, 2, 3, 5].map(|times| Case { nodes, cpus, serves, units: 200_000, times }));
        }
    }
    let times: Vec<_> = cases.iter().map(|case| case.ratios().0).collect();
    let mean = (times.iter().map(|time| time.ln()).sum::<f64>() / times.len() as f64).exp();
    let worst = times.iter().copied().fold(0.0, f64::max);
    println!("{} jobs: geometric mean of times {mean:.3}, worst {worst:.3}", times.len());
    // The worst are jobs of a few chunks for each thread.
    assert!(mean <= 1.1 && worst <= 1.9, "mean {mean:.3}, worst {worst:.3}");
}
