//! The description of a machine to simulate.

use std::vec::Vec;

use super::capacity::Capacity;

/// The description of a machine to simulate. All times are virtual.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Nodes, with at least one CPU on the first.
    pub nodes: Vec<Node>,
    /// Factor on a thread's rate for another node's memory.
    pub remote_factor: f64,
    /// Time from `start_helper` to the helper's first instruction, in nanoseconds.
    pub helper_start_ns: u64,
    /// Largest random addition to `helper_start_ns`, in nanoseconds.
    pub helper_jitter_ns: u64,
    /// Time that starting a helper takes its caller, in nanoseconds.
    pub start_cost_ns: u64,
    /// Time that claiming a chunk takes, in nanoseconds.
    pub chunk_cost_ns: u64,
    /// One helper in this many is lost, at random; 0 if none is lost.
    pub lose_one_in: u32,
    /// Helpers that are lost, by their number in the order of their starts, from 0.
    pub lost_helpers: Vec<u64>,
    /// CPUs that take no helper at first: CPU number, and time up to which it takes none, in nanoseconds.
    pub busy_until_ns: Vec<(usize, u64)>,
    /// CPUs with another speed than the rest: CPU number and factor.
    pub cpu_speeds: Vec<(usize, f64)>,
    /// Other users of the CPUs.
    pub neighbours: Vec<Neighbour>,
    /// Other users of the memory.
    pub traffic: Vec<Traffic>,
    /// Weight of a helper; that of ordinary threads is [`NORMAL_WEIGHT`].
    pub helper_weight: u32,
    /// Value of `Platform::max_threads`.
    pub max_threads: usize,
    /// Share of the CPUs that helpers may occupy, in percent.
    pub budget_percent: u32,
}

/// The scheduling weight of an ordinary thread: nice 0 of the usual scale.
pub const NORMAL_WEIGHT: u32 = 1024;

/// The lowest scheduling weight: nice 19 of the usual scale.
pub const LOWEST_WEIGHT: u32 = 15;

/// The CPUs and the memory of one node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Number of CPUs.
    pub cpus: usize,
    /// Rate of one thread on local memory, in units per second.
    pub rate: f64,
    /// Throughput of the memory.
    pub capacity: Capacity,
}

/// A thread outside the job that shares a CPU with the job's worker there.
#[derive(Clone, Copy, Debug)]
pub struct Neighbour {
    /// The CPU that it runs on.
    pub cpu: usize,
    /// Scheduling weight.
    pub weight: u32,
    /// CPU time that it needs, in nanoseconds.
    pub work_ns: u64,
}

/// A share of a node's bandwidth that other users of the memory take for some time.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Index of the node.
    pub node: usize,
    /// Time from which it is taken, in nanoseconds.
    pub from_ns: u64,
    /// Time until which it is taken, in nanoseconds.
    pub until_ns: u64,
    /// Share of the bandwidth, 0 to 1.
    pub share: f64,
}

impl Machine {
    /// Describes a machine of `nodes` equal nodes, without neighbours, whose helpers start after 5
    /// microseconds.
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
            lost_helpers: Vec::new(),
            busy_until_ns: Vec::new(),
            cpu_speeds: Vec::new(),
            neighbours: Vec::new(),
            traffic: Vec::new(),
            helper_weight: LOWEST_WEIGHT,
            max_threads: crate::MAX_WORKERS,
            budget_percent: 80,
        }
    }

    /// Returns the number of CPUs of all nodes.
    #[must_use]
    pub fn cpus(&self) -> usize {
        self.nodes.iter().map(|node| node.cpus).sum()
    }

    /// Returns the node of CPU number `cpu`.
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

    /// Returns whether CPU number `cpu` takes helpers at `now_ns`.
    pub(super) fn takes_helpers(&self, cpu: usize, now_ns: u64) -> bool {
        self.busy_until_ns.iter().all(|&(busy, until_ns)| busy != cpu || until_ns <= now_ns)
    }

    /// Returns the speed factor of CPU number `cpu`.
    pub(super) fn speed_of(&self, cpu: usize) -> f64 {
        self.cpu_speeds.iter().find(|(number, _)| *number == cpu).map_or(1.0, |(_, speed)| *speed)
    }
}
