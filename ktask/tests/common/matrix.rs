//! Simulated machines, item costs and troubles, for comparing the governor with fixed thread counts.
#![allow(dead_code, reason = "each user takes a part of it")]

use ktask::sim::{Capacity, Machine, Node, Sim};
use ktask::{Items, Job, NodeId, NodeRange, Profile, Stats, Trail};

/// Work per nanosecond of one thread that nothing hinders. Costs of items are in nanoseconds then.
const RATE: f64 = 1e9;

/// A kind of machine.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Nodes and CPUs of each; memory is never the limit.
    Ideal(usize, usize),
    /// Nodes and CPUs of each; the memory of a node serves six threads, and half of that when all
    /// its CPUs use it.
    Falling(usize, usize),
    /// Nodes and CPUs of each; the memory of a node serves six threads, however many use it.
    Flat(usize, usize),
}

/// The distribution of the costs of items.
#[derive(Clone, Copy, Debug)]
pub enum Cost {
    /// All items cost this much, in microseconds.
    Constant(f64),
    /// Exponential, with this mean in microseconds.
    Exponential(f64),
    /// One item in ten costs 20 milliseconds, the others 0.2.
    Bimodal,
    /// Log-normal with a median of one millisecond and this sigma.
    LogNormal(f64),
    /// Rising with the item's number, from 1/16 to 31/16 of this mean, in microseconds.
    Growing(f64),
}

/// What happens to helpers.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// Helpers start after five microseconds.
    None,
    /// Helpers start after up to two milliseconds.
    Late,
    /// One helper in eight is lost.
    Lost,
    /// The third helper is lost.
    OneLost,
    /// The last CPU takes no helper for a millisecond.
    OneRefused,
}

/// A job on a machine.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub shape: Shape,
    pub cost: Cost,
    pub trouble: Trouble,
    /// Items for each CPU.
    pub items_per_cpu: u64,
}

/// A generator of reproducible numbers.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns a number between 0 and 1, neither included.
    fn unit(&mut self) -> f64 {
        // Marsaglia's xorshift, multiplied.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Returns a number of the standard normal distribution, by Box and Muller's method.
    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

impl Cost {
    /// Returns the costs of `items` items in nanoseconds.
    fn draw(self, items: u64, seed: u64) -> Vec<u64> {
        let mut random = Random::new(seed);
        let mut draw = |item: u64| match self {
            Self::Constant(us) => us,
            Self::Exponential(us) => -us * random.unit().ln(),
            Self::Bimodal => {
                if random.unit() < 0.1 {
                    20_000.0
                } else {
                    200.0
                }
            }
            Self::LogNormal(sigma) => 1000.0 * (sigma * random.normal()).exp(),
            Self::Growing(us) => us * (1.0 + 30.0 * item as f64 / items as f64) / 16.0,
        };
        (0..items).map(|item| (draw(item) * 1e3) as u64 + 1).collect()
    }
}

impl Shape {
    pub fn nodes(self) -> usize {
        match self {
            Self::Ideal(nodes, _) | Self::Falling(nodes, _) | Self::Flat(nodes, _) => nodes,
        }
    }

    pub fn cpus(self) -> usize {
        match self {
            Self::Ideal(nodes, cpus) | Self::Falling(nodes, cpus) | Self::Flat(nodes, cpus) => nodes * cpus,
        }
    }

    fn machine(self) -> Machine {
        let cpus = self.cpus() / self.nodes();
        let capacity = match self {
            Self::Ideal(..) => Capacity::IDEAL,
            Self::Falling(..) => Capacity::new(RATE, 6.0 * RATE, 3.0 * RATE, cpus),
            Self::Flat(..) => Capacity::new(RATE, 6.0 * RATE, 6.0 * RATE, cpus),
        };
        let mut machine = Machine::new(self.nodes(), Node { cpus, rate: RATE, capacity });
        machine.remote_factor = 0.7;
        machine.budget_percent = 100;
        machine
    }
}

impl Case {
    fn items(&self) -> u64 {
        self.items_per_cpu * self.shape.cpus() as u64
    }

    fn machine(&self) -> Machine {
        let mut machine = self.shape.machine();
        match self.trouble {
            Trouble::None => {}
            Trouble::Late => machine.helper_jitter_ns = 2_000_000,
            Trouble::Lost => machine.lose_one_in = 8,
            Trouble::OneLost => machine.lost_helpers = vec![2],
            Trouble::OneRefused => machine.busy_until_ns = vec![(self.shape.cpus() - 1, 1_000_000)],
        }
        machine
    }

    /// Returns the thread counts that are tried as fixed ones.
    pub fn counts(&self) -> Vec<usize> {
        let cpus = self.shape.cpus();
        let mut counts: Vec<_> = (0..=10)
            .flat_map(|power| [1 << power, 3 << power])
            .chain([cpus, cpus * 3 / 4, cpus / 2, 6 * self.shape.nodes(), 7 * self.shape.nodes()])
            .filter(|count| (1..=cpus).contains(count))
            .collect();
        counts.sort_unstable();
        counts.dedup();
        counts
    }

    /// Runs the job with `threads`, or with the governor, whose decisions go to `trail`. Returns the
    /// job's stats.
    pub fn run(&self, seed: u64, threads: Option<usize>, trail: &Trail) -> Stats {
        let items = self.items();
        let costs = self.cost.draw(items, seed);
        let nodes = self.shape.nodes() as u64;
        let of_node = |node: u64| Items::new(items * node / nodes)..Items::new(items * (node + 1) / nodes);
        let ranges: Vec<_> =
            (0..nodes).map(|node| NodeRange::new(NodeId(node as u32), of_node(node))).collect();
        Sim::run(self.machine(), seed, |sim| {
            let job = Job::over_nodes(&ranges).profile(Profile::Boot).trail(trail);
            let job = match threads {
                Some(threads) => job.threads_exact(threads),
                None => job,
            };
            job.run(sim, |chunk| {
                let cost = chunk.indices().map(|item| costs[item as usize]).sum();
                sim.work(cost, chunk.node());
                Ok::<(), ()>(())
            })
            .unwrap()
        })
    }
}

/// The governor beside the best fixed count.
#[derive(Debug)]
pub struct Outcome {
    /// The best fixed count: the fewest threads within half a percent of the shortest time.
    pub best: usize,
    /// Time and CPU time of the governed job, each divided by that of the best count, for each seed.
    pub ratios: Vec<(f64, f64)>,
}

impl Outcome {
    /// Finds the best count with the first `few` seeds, and compares on all of `seeds`.
    pub fn of(case: &Case, seeds: u64, few: u64) -> Self {
        let trail = Trail::new();
        let total =
            |threads| (1..=few).map(|seed| case.run(seed, Some(threads), &trail).wall_ns).sum::<u64>();
        let totals: Vec<_> = case.counts().into_iter().map(|count| (count, total(count))).collect();
        let least = totals.iter().map(|one| one.1).min().unwrap_or(0);
        let best = totals.iter().find(|one| one.1 as f64 <= least as f64 * 1.005).map_or(1, |one| one.0);
        let ratios = (1..=seeds).map(|seed| {
            let (fixed, governed) = (case.run(seed, Some(best), &trail), case.run(seed, None, &trail));
            (governed.wall_ns as f64 / fixed.wall_ns as f64, governed.cpu_ns as f64 / fixed.cpu_ns as f64)
        });
        Self { best, ratios: ratios.collect() }
    }

    /// Returns the median and the largest ratio of times.
    pub fn times(&self) -> (f64, f64) {
        median_and_largest(self.ratios.iter().map(|one| one.0))
    }

    /// Returns the median and the largest ratio of CPU times.
    pub fn cpu_times(&self) -> (f64, f64) {
        median_and_largest(self.ratios.iter().map(|one| one.1))
    }
}

fn median_and_largest(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    (values[values.len() / 2], values[values.len() - 1])
}

/// Returns all cases.
pub fn all() -> Vec<Case> {
    let shapes = [
        Shape::Ideal(1, 8),
        Shape::Ideal(1, 32),
        Shape::Ideal(2, 16),
        Shape::Ideal(4, 8),
        Shape::Flat(1, 32),
        Shape::Falling(1, 28),
        Shape::Falling(2, 28),
        Shape::Falling(4, 14),
    ];
    // Costs that vary more take more items to tell a slow machine from expensive items.
    let costs = [
        (Cost::Constant(1000.0), 256),
        (Cost::Exponential(1000.0), 512),
        (Cost::Bimodal, 1024),
        (Cost::LogNormal(1.5), 1024),
        (Cost::Growing(1000.0), 256),
    ];
    let troubles = [Trouble::None, Trouble::Late, Trouble::Lost];
    let mut cases = Vec::new();
    for shape in shapes {
        for (cost, items_per_cpu) in costs {
            cases.extend(troubles.map(|trouble| Case { shape, cost, trouble, items_per_cpu }));
        }
    }
    cases
}
