//! The state of the simulated machine, and its clock.
//!
//! Each simulated CPU is a thread of this process, and one of them runs at a time. It takes no
//! virtual time until it works, parks or ends. Then the next event in virtual time determines which
//! thread runs next. Of several events at the same time the lowest number comes first, so all runs
//! are the same.

use std::boxed::Box;
use std::collections::{BTreeSet, VecDeque};
use std::vec::Vec;

use super::flow::Flow;
use super::machine::{Machine, NORMAL_WEIGHT};
use crate::{HelperId, HelperTask, Platform};

/// The state of the simulated machine.
pub(super) struct World<P: Platform> {
    pub(super) machine: Machine,
    pub(super) now_ns: u64,
    /// CPUs, each with the thread that runs there.
    pub(super) cpus: Vec<Cpu<P>>,
    /// Threads that can run now.
    pub(super) ready: VecDeque<usize>,
    /// Wake-up times of threads.
    timers: BTreeSet<(u64, usize)>,
    flows: Vec<Flow>,
    random: u64,
    pub(super) next_helper: u64,
    /// Whether no thread can run any more: a thread waits for a wake-up that was lost.
    pub(super) stuck: bool,
}

/// One CPU and its thread.
pub(super) struct Cpu<P: Platform> {
    pub(super) node: usize,
    speed: f64,
    pub(super) status: Status,
    /// Whether an `unpark` came before its `park`.
    pub(super) token: bool,
    pub(super) weight: u32,
    /// CPU time that the thread has used, in seconds.
    used_s: f64,
    pub(super) charged_ns: u64,
    /// The helper that runs or starts here.
    pub(super) helper: Option<HelperId>,
    pub(super) task: Option<Box<HelperTask<P>>>,
    neighbour: Option<NeighbourState>,
    timer_ns: Option<u64>,
}

/// The state of a CPU's thread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Status {
    /// The CPU has no helper.
    Idle,
    /// A helper was started and does not run yet.
    Starting,
    /// The thread runs now or is in the ready queue.
    Running,
    /// The thread waits for an `unpark` or its wake-up time.
    Parked,
    /// The thread works on a node's memory.
    Working(Work),
}

/// Work in progress.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Work {
    /// The node whose memory the thread works on.
    node: usize,
    /// The key of the work in the node's `Flow`.
    key: u64,
    /// Rate with the whole CPU and without contention for memory, in units per second.
    rate: f64,
    /// Time up to which the work is in the thread's CPU time.
    since_ns: u64,
}

/// The progress of a neighbour.
#[derive(Clone, Copy)]
struct NeighbourState {
    weight: f64,
    /// CPU time that it still needs, in seconds.
    left_s: f64,
    /// Time at which `left_s` was computed.
    at_ns: u64,
    ended_ns: Option<u64>,
}

impl<P: Platform> World<P> {
    pub(super) fn new(machine: Machine, seed: u64) -> Self {
        let cpus = (0..machine.cpus().max(1)).map(|cpu| Cpu::new(&machine, cpu)).collect();
        let flows = machine.nodes.iter().map(|node| Flow::new(node.capacity.clone())).collect();
        Self {
            machine,
            now_ns: 0,
            cpus,
            ready: VecDeque::new(),
            timers: BTreeSet::new(),
            flows,
            // Odd, as the generator requires.
            random: seed << 1 | 1,
            next_helper: 0,
            stuck: false,
        }
    }

    /// Returns a pseudo-random number below `below`, which is not 0.
    pub(super) fn random_below(&mut self, below: u64) -> u64 {
        // Marsaglia's xorshift, multiplied.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % below
    }

    /// Returns the CPU time of the thread on `cpu`, in nanoseconds.
    pub(super) fn used_ns(&self, cpu: usize) -> u64 {
        (self.cpus[cpu].used_s * 1e9) as u64
    }

    /// Returns the time at which the neighbour on `cpu` ended, if it has.
    pub(super) fn neighbour_ended_ns(&self, cpu: usize) -> Option<u64> {
        self.cpus.get(cpu)?.neighbour?.ended_ns
    }

    /// Sets the wake-up time of the thread on `cpu`. Its status stays.
    pub(super) fn set_timer(&mut self, cpu: usize, at_ns: u64) {
        self.clear_timer(cpu);
        self.cpus[cpu].timer_ns = Some(at_ns);
        self.timers.insert((at_ns, cpu));
    }

    pub(super) fn clear_timer(&mut self, cpu: usize) {
        if let Some(at_ns) = self.cpus[cpu].timer_ns.take() {
            self.timers.remove(&(at_ns, cpu));
        }
    }

    /// Starts work of the thread on `cpu` on `units` of the memory of `node`.
    pub(super) fn start_work(&mut self, cpu: usize, node: usize, units: f64) {
        self.account_neighbour(cpu);
        let remote = if self.cpus[cpu].node == node { 1.0 } else { self.machine.remote_factor };
        let own_rate = self.machine.nodes[self.cpus[cpu].node].rate;
        let rate = own_rate * self.cpus[cpu].speed * remote;
        let share = self.cpus[cpu].share_of_thread();
        let key = self.flows[node].start(self.now_ns, cpu, units, rate * share);
        let work = Work { node, key, rate, since_ns: self.now_ns };
        self.cpus[cpu].status = Status::Working(work);
    }

    /// Makes the thread on `cpu` runnable.
    pub(super) fn make_ready(&mut self, cpu: usize) {
        self.clear_timer(cpu);
        self.cpus[cpu].status = Status::Running;
        self.ready.push_back(cpu);
    }

    /// Sets the weight of the thread on `cpu`, in any status.
    pub(super) fn set_weight(&mut self, cpu: usize, weight: u32) {
        self.change_speed(cpu, |this| this.cpus[cpu].weight = weight);
    }

    /// Returns the thread that runs next, after advancing the time if none can run now. `None` if no
    /// thread can ever run.
    pub(super) fn next_thread(&mut self) -> Option<usize> {
        loop {
            if let Some(cpu) = self.ready.pop_front() {
                return Some(cpu);
            }
            let timer = self.timers.first().map(|&(at_ns, _)| at_ns);
            let ends = self.flows.iter().filter_map(Flow::next_end_ns);
            let neighbours = (0..self.cpus.len()).filter_map(|cpu| self.neighbour_end_ns(cpu));
            let traffic = self.next_traffic_ns();
            let own = timer.into_iter().chain(ends).min()?;
            self.now_ns = neighbours.chain(traffic).chain([own]).min()?.max(self.now_ns);
            self.handle_events();
        }
    }

    /// Runs the clock until every neighbour has ended.
    pub(super) fn run_until_neighbours_end(&mut self) {
        while let Some(at_ns) = (0..self.cpus.len()).filter_map(|cpu| self.neighbour_end_ns(cpu)).min() {
            self.now_ns = at_ns.max(self.now_ns);
            self.neighbours_end();
        }
    }

    /// Handles all events that are due now.
    fn handle_events(&mut self) {
        self.apply_traffic();
        self.neighbours_end();
        for node in 0..self.flows.len() {
            for cpu in self.flows[node].ended(self.now_ns) {
                self.account(cpu);
                self.account_neighbour(cpu);
                self.make_ready(cpu);
            }
        }
        while let Some(&(at_ns, cpu)) = self.timers.first() {
            if at_ns > self.now_ns {
                break;
            }
            self.make_ready(cpu);
        }
    }

    /// Adds the time since the work on `cpu` began, or was last added, to its thread's CPU time.
    fn account(&mut self, cpu: usize) {
        let share = self.cpus[cpu].share_of_thread();
        let now_ns = self.now_ns;
        if let Status::Working(work) = &mut self.cpus[cpu].status {
            let passed_s = (now_ns - work.since_ns) as f64 * 1e-9;
            work.since_ns = now_ns;
            self.cpus[cpu].used_s += passed_s * share;
        }
    }

    /// Applies a change that affects the speed of the thread on `cpu`, also to work in progress.
    fn change_speed(&mut self, cpu: usize, change: impl FnOnce(&mut Self)) {
        self.account(cpu);
        self.account_neighbour(cpu);
        let Status::Working(work) = self.cpus[cpu].status else { return change(self) };
        let left = self.flows[work.node].stop(self.now_ns, cpu, work.key);
        change(self);
        let rate = work.rate * self.cpus[cpu].share_of_thread();
        let key = self.flows[work.node].start(self.now_ns, cpu, left, rate);
        self.cpus[cpu].status = Status::Working(Work { key, ..work });
    }

    /// Subtracts the time that the neighbour on `cpu` has run from the time that it needs.
    fn account_neighbour(&mut self, cpu: usize) {
        let share = self.cpus[cpu].share_of_neighbour();
        let now_ns = self.now_ns;
        if let Some(neighbour) = &mut self.cpus[cpu].neighbour {
            neighbour.left_s -= (now_ns - neighbour.at_ns) as f64 * 1e-9 * share;
            neighbour.at_ns = now_ns;
        }
    }

    fn neighbour_end_ns(&self, cpu: usize) -> Option<u64> {
        let neighbour = self.cpus[cpu].neighbour.filter(|one| one.ended_ns.is_none())?;
        let left_s = neighbour.left_s.max(0.0) / self.cpus[cpu].share_of_neighbour();
        Some(neighbour.at_ns + (left_s * 1e9).ceil() as u64)
    }

    fn neighbours_end(&mut self) {
        for cpu in 0..self.cpus.len() {
            if self.neighbour_end_ns(cpu).is_some_and(|end_ns| end_ns <= self.now_ns) {
                let now_ns = self.now_ns;
                self.change_speed(cpu, |this| {
                    if let Some(neighbour) = &mut this.cpus[cpu].neighbour {
                        neighbour.ended_ns = Some(now_ns);
                    }
                });
            }
        }
    }

    fn next_traffic_ns(&self) -> Option<u64> {
        let times = self.machine.traffic.iter().flat_map(|one| [one.from_ns, one.until_ns]);
        times.filter(|&at_ns| at_ns > self.now_ns).min()
    }

    fn apply_traffic(&mut self) {
        if self.machine.traffic.is_empty() {
            return;
        }
        for node in 0..self.flows.len() {
            let here =
                self.machine.traffic.iter().filter(|one| {
                    one.node == node && one.from_ns <= self.now_ns && self.now_ns < one.until_ns
                });
            let taken: f64 = here.map(|one| one.share).sum();
            self.flows[node].set_available(self.now_ns, (1.0 - taken).max(0.01));
        }
    }
}

impl<P: Platform> Cpu<P> {
    fn new(machine: &Machine, cpu: usize) -> Self {
        let neighbour = machine.neighbours.iter().find(|one| one.cpu == cpu);
        Self {
            node: machine.node_of(cpu),
            speed: machine.speed_of(cpu),
            status: Status::Idle,
            token: false,
            weight: NORMAL_WEIGHT,
            used_s: 0.0,
            charged_ns: 0,
            helper: None,
            task: None,
            neighbour: neighbour.map(|neighbour| NeighbourState {
                weight: f64::from(neighbour.weight),
                left_s: neighbour.work_ns as f64 * 1e-9,
                at_ns: 0,
                ended_ns: None,
            }),
            timer_ns: None,
        }
    }

    /// Returns the share of the CPU's time that its thread gets when it works.
    fn share_of_thread(&self) -> f64 {
        let own = f64::from(self.weight);
        own / (own + self.neighbour_weight())
    }

    /// Returns the share that the neighbour gets now.
    fn share_of_neighbour(&self) -> f64 {
        match self.status {
            Status::Working(_) => 1.0 - self.share_of_thread(),
            _ => 1.0,
        }
    }

    fn neighbour_weight(&self) -> f64 {
        self.neighbour.filter(|one| one.ended_ns.is_none()).map_or(0.0, |one| one.weight)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Capacity, Node, Sim};
    use super::*;

    #[test]
    fn random_numbers_are_spread_evenly() {
        let node = Node { cpus: 1, rate: 1.0, capacity: Capacity::IDEAL };
        let mut world = World::<Sim>::new(Machine::new(1, node), 1);
        let mut counts = [0; 10];
        for _ in 0..10_000 {
            counts[world.random_below(10) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }
}
