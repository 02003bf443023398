//! The simulated runs.

use super::description::Description;
use ktask::sim::Sim;
use ktask::{Items, Job, NodeId, NodeRange, Profile, Stats, Step, Trail};
use std::sync::atomic::{AtomicBool, Ordering};

/// Units of simulated work per smallest chunk: room for costs that vary.
const FACTOR: f64 = 4096.0;

/// The seed of costs and helpers. Runs are the same each time.
const SEED: u64 = 1;

/// Runs of one job on one machine.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// One per fixed thread count, in rising order.
    pub fixed: Vec<Run>,
    /// The run with the governor.
    pub governed: Run,
    /// The governor's decisions.
    pub steps: Vec<Step>,
}

/// A run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Threads; with the governor, those at the end of its search.
    pub threads: usize,
    /// Duration in nanoseconds.
    pub wall_ns: u64,
    /// CPU time of all threads in nanoseconds.
    pub cpu_ns: u64,
}

impl Outcome {
    /// Runs the job with several fixed counts, and with the governor. Returns `None` if `interrupt` is set between two runs.
    pub fn of(description: &Description, interrupt: &AtomicBool) -> Option<Self> {
        let costs = costs(description);
        // Relaxed: the flag carries no data.
        let goes_on = || (!interrupt.load(Ordering::Relaxed)).then_some(());
        let run = |threads| {
            goes_on()?;
            Some(Run::new(threads, &simulate(description, &costs, Some(threads), None)))
        };
        let fixed = counts(description).into_iter().map(run).collect::<Option<_>>()?;
        goes_on()?;
        let trail = Trail::new();
        let stats = simulate(description, &costs, None, Some(&trail));
        let steps: Vec<_> = trail.steps().collect();
        let threads = steps.last().map_or(stats.threads_used as usize, |step| step.next_threads);
        Some(Self { fixed, governed: Run::new(threads, &stats), steps })
    }

    /// Returns the best fixed run: the one with the fewest threads within half a percent of the shortest time.
    pub fn best(&self) -> Run {
        let least = self.fixed.iter().map(|run| run.wall_ns).min().unwrap_or(0);
        let is_best = |run: &&Run| run.wall_ns as f64 <= least as f64 * 1.005;
        self.fixed.iter().find(is_best).copied().unwrap_or(self.governed)
    }
}

impl Run {
    fn new(threads: usize, stats: &Stats) -> Self {
        Self { threads, wall_ns: stats.wall_ns, cpu_ns: stats.cpu_ns }
    }
}

/// Returns the thread counts to try: powers of two and their sums, those of the described rates, and all CPUs.
fn counts(description: &Description) -> Vec<usize> {
    let cpus = description.cpus();
    let nodes = description.cpus_of_nodes().len();
    let described = description.nodes.iter().flat_map(|of| of.rates.iter().map(|rate| rate.0 * nodes));
    let mut counts: Vec<_> = (0..=10)
        .flat_map(|power| [1 << power, 3 << power])
        .chain(described)
        .chain([1, cpus])
        .filter(|count| (1..=cpus).contains(count))
        .collect();
    counts.sort_unstable();
    counts.dedup();
    counts
}

/// Returns the cost of each smallest chunk, with a mean of [`FACTOR`].
fn costs(description: &Description) -> Vec<u64> {
    let mut random = Random(SEED | 1);
    let sigma = description.job.noise;
    let cost = |_| {
        // The mean of a log-normal distribution is above its median by this factor.
        let noise = (sigma * random.normal() - sigma * sigma / 2.0).exp();
        ((FACTOR * noise) as u64).max(1)
    };
    (0..description.chunks() as u64).map(cost).collect()
}

fn simulate(
    description: &Description,
    costs: &[u64],
    threads: Option<usize>,
    trail: Option<&Trail>,
) -> Stats {
    let cpus_of_nodes = description.cpus_of_nodes();
    let (items, cpus) = (costs.len() as u64, description.cpus() as u64);
    let mut before = 0;
    let mut ranges = Vec::new();
    for (node, own) in cpus_of_nodes.into_iter().enumerate() {
        let (start, end) = (items * before / cpus, items * (before + own as u64) / cpus);
        before += own as u64;
        ranges.push(NodeRange::new(NodeId(node as u32), Items::new(start)..Items::new(end)));
    }
    Sim::run(description.machine(FACTOR), SEED, |sim| {
        let mut job = Job::over_nodes(&ranges).profile(Profile::Boot);
        if let Some(trail) = trail {
            job = job.trail(trail);
        }
        if let Some(threads) = threads {
            job = job.threads_exact(threads);
        }
        let done = job.run(sim, |chunk| {
            let cost = chunk.indices().map(|item| costs[item as usize]).sum();
            sim.work(cost, chunk.node());
            Ok::<(), std::convert::Infallible>(())
        });
        done.expect("the description was checked, and no chunk fails")
    })
}

/// A generator of reproducible numbers.
struct Random(u64);

impl Random {
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
