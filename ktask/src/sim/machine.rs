//! What is simulated.

use std::vec::Vec;

/// How many units per second the memory of a node gives to so many threads together.
///
/// Three figures, as published tables suggest: it is the threads' own rate until `peak`, and
/// from there goes in a straight line to `full` at `full_at` threads: up where hardware
/// threads of one core still find gaps, down where crowding costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Capacity {
    /// Units per second where threads begin to get in each other's way.
    pub peak: f64,
    /// Threads at which `peak` is reached.
    pub peak_at: f64,
    /// Units per second with `full_at` threads and more.
    pub full: f64,
    /// See `full`.
    pub full_at: f64,
}

impl Capacity {
    /// Memory that is never the limit.
    pub const IDEAL: Self =
        Self { peak: f64::INFINITY, peak_at: f64::INFINITY, full: f64::INFINITY, full_at: f64::INFINITY };

    /// Memory that gives `peak` to threads of `rate` each, and `full` to `full_at` of them.
    #[must_use]
    pub fn new(rate: f64, peak: f64, full: f64, full_at: usize) -> Self {
        Self { peak, peak_at: peak / rate, full, full_at: (full_at as f64).max(peak / rate + 1.0) }
    }

    /// What `threads` get together, at most.
    #[must_use]
    pub fn of(&self, threads: usize) -> f64 {
        let threads = threads as f64;
        if threads <= self.peak_at {
            self.peak
        } else if threads >= self.full_at {
            self.full
        } else {
            let way = (threads - self.peak_at) / (self.full_at - self.peak_at);
            self.peak + (self.full - self.peak) * way
        }
    }
}

/// A machine to simulate. Times are virtual.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its nodes, with at least one CPU on the first.
    pub nodes: Vec<Node>,
    /// What of its rate a thread keeps on another node's memory.
    pub remote_factor: f64,
    /// From `start_helper` to the helper's first instruction, in nanoseconds.
    pub helper_start_ns: u64,
    /// Up to so much later, at random.
    pub helper_jitter_ns: u64,
    /// What starting a helper costs its caller, in nanoseconds.
    pub start_cost_ns: u64,
    /// What claiming a chunk costs, in nanoseconds.
    pub chunk_cost_ns: u64,
    /// Of so many helpers started, one at random never runs; 0 for none.
    pub lose_one_in: u32,
    /// Speeds of single CPUs that differ from the others': number and factor.
    pub cpu_speeds: Vec<(usize, f64)>,
    /// Other users of the CPUs.
    pub neighbours: Vec<Neighbour>,
    /// Other users of the memory.
    pub traffic: Vec<Traffic>,
    /// Weight of a helper; that of ordinary threads is [`NORMAL_WEIGHT`].
    pub helper_weight: u32,
    /// What `Platform::max_threads` answers.
    pub max_threads: usize,
    /// Share of the CPUs that helpers may occupy, in percent.
    pub budget_percent: u32,
}

/// Scheduling weight of an ordinary thread: nice 0 of the usual scale.
pub const NORMAL_WEIGHT: u32 = 1024;

/// Lowest scheduling weight: nice 19 of the usual scale.
pub const LOWEST_WEIGHT: u32 = 15;

/// CPUs and memory of one node.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// CPUs.
    pub cpus: usize,
    /// Units per second of one thread on local memory.
    pub rate: f64,
    /// Units per second of the memory.
    pub capacity: Capacity,
}

/// A thread that has a CPU of its own when ktask lets it.
#[derive(Clone, Copy, Debug)]
pub struct Neighbour {
    /// Which CPU.
    pub cpu: usize,
    /// Its scheduling weight.
    pub weight: u32,
    /// CPU time that it needs, in nanoseconds.
    pub work_ns: u64,
}

/// A share of a node's bandwidth that is somebody else's for some time.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Which node.
    pub node: usize,
    /// From when, in nanoseconds.
    pub from_ns: u64,
    /// Until when, in nanoseconds.
    pub until_ns: u64,
    /// What it takes of the bandwidth, 0 to 1.
    pub share: f64,
}

impl Machine {
    /// A machine of equal nodes, without neighbours, whose helpers start after 5 microseconds.
    #[must_use]
    pub fn new(nodes: usize, node: Node) -> Self {
        Self {
            nodes: std::vec![node; nodes.max(1)],
            remote_factor: 1.0,
            helper_start_ns: 5_000,
            helper_jitter_ns: 0,
            start_cost_ns: 500,
            chunk_cost_ns: 100,
            lose_one_in: 0,
            cpu_speeds: Vec::new(),
            neighbours: Vec::new(),
            traffic: Vec::new(),
            helper_weight: LOWEST_WEIGHT,
            max_threads: crate::MAX_WORKERS,
            budget_percent: 80,
        }
    }

    /// CPUs in all.
    #[must_use]
    pub fn cpus(&self) -> usize {
        self.nodes.iter().map(|node| node.cpus).sum()
    }

    /// The node of CPU number `cpu`.
    pub(super) fn node_of(&self, cpu: usize) -> usize {
        let mut first = 0;
        for (index, node) in self.nodes.iter().enumerate() {
            first += node.cpus;
            if cpu < first {
                return index;
            }
        }
        self.nodes.len() - 1
    }

    pub(super) fn speed_of(&self, cpu: usize) -> f64 {
        self.cpu_speeds.iter().find(|(number, _)| *number == cpu).map_or(1.0, |(_, speed)| *speed)
    }
}
