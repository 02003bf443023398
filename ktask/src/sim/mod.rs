//! A platform that simulates machines in virtual time, with any number of CPUs.
//!
//! The engine is the same as on all platforms. It runs on several threads, one at a time. The
//! duration of [`Sim::work`] and the start times of helpers follow from a [`Machine`]. Runs are
//! reproducible to the nanosecond: they depend only on the machine and a seed.
//!
//! ```
//! use ktask::sim::{Capacity, Machine, Node, Sim};
//! use ktask::{Job, Pages, Profile};
//!
//! // 64 CPUs whose memory serves 8 of them at full speed.
//! let rate = 1e6;
//! let memory = Capacity::new(rate, 8.0 * rate, 8.0 * rate, 64);
//! let machine = Machine::new(1, Node { cpus: 64, rate, capacity: memory });
//! let stats = Sim::run(machine, 1, |sim| {
//!     Job::new(Pages::new(0)..Pages::new(8_000_000))
//!         .min_chunk(Pages::new(1000))
//!         .profile(Profile::Boot)
//!         .run(sim, |chunk| {
//!             sim.work(chunk.len().get(), None);
//!         })
//!         .unwrap()
//! });
//! // About a second, with far fewer threads than there are.
//! assert!((0.95..1.1).contains(&(stats.wall_ns as f64 / 1e9)));
//! ```

extern crate std;

mod capacity;
mod flow;
mod machine;
mod world;

use std::boxed::Box;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::vec::Vec;

use crate::{Budget, HelperId, HelperTask, NodeId, Placement, Platform, WakeCost};

pub use capacity::{Capacity, InvalidPoints};
pub use machine::{LOWEST_WEIGHT, Machine, NORMAL_WEIGHT, Neighbour, Node, Traffic};
use world::{Status, World};

/// Stack of a simulated thread, in bytes: room for the engine's frames and a test's closure.
const STACK_BYTES: usize = 512 << 10;

std::thread_local! {
    /// The simulated CPU that this thread stands for.
    static CPU: Cell<usize> = const { Cell::new(0) };
}

/// A simulated machine as a [`Platform`].
#[derive(Clone)]
pub struct Sim {
    shared: Arc<Shared>,
}

struct Shared {
    world: Mutex<World<Sim>>,
    gates: Vec<Gate>,
    budget: Budget,
    wake_cost: WakeCost,
    max_threads: usize,
    cpus: usize,
    ended: AtomicBool,
}

/// A gate at which a simulated thread waits until it may run.
#[derive(Default)]
struct Gate {
    open: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Sim {
    /// Calls `f` on CPU 0 of `machine`, with a handle to the machine. Returns the result of `f`, once
    /// all threads of the simulation have ended.
    ///
    /// # Panics
    ///
    /// If every thread of the simulated machine waits to be woken.
    pub fn run<R>(machine: Machine, seed: u64, f: impl FnOnce(&Self) -> R) -> R {
        let budget = Budget::new();
        // A share above 100 percent is taken as 100.
        let _ = budget.set_percent(machine.budget_percent.min(100));
        let cpus = machine.cpus().max(1);
        let sim = Self {
            shared: Arc::new(Shared {
                budget,
                wake_cost: WakeCost::new(),
                max_threads: machine.max_threads,
                cpus,
                gates: (0..cpus).map(|_| Gate::default()).collect(),
                world: Mutex::new(World::new(machine, seed)),
                ended: AtomicBool::new(false),
            }),
        };
        thread::scope(|scope| {
            let outer = CPU.replace(0);
            sim.shared.gates[0].thread.get_or_init(thread::current);
            sim.world().cpus[0].status = Status::Running;
            for cpu in 1..cpus {
                let sim = &sim;
                let spawned = thread::Builder::new()
                    .stack_size(STACK_BYTES)
                    .spawn_scoped(scope, move || sim.cpu_main(cpu));
                match spawned {
                    Ok(handle) => {
                        sim.shared.gates[cpu].thread.get_or_init(|| handle.thread().clone());
                    }
                    Err(error) => panic!("thread for simulated CPU {cpu}: {error}"),
                }
            }
            let _end = EndSimulation { sim: &sim, outer };
            f(&sim)
        })
    }

    /// Works on `units` of the memory of `node`, by default the calling thread's node. It takes
    /// virtual time.
    pub fn work(&self, units: u64, node: Option<NodeId>) {
        let cpu = CPU.get();
        let mut world = self.world();
        let node = node.map_or(world.cpus[cpu].node, |node| node.0 as usize);
        let cost = world.machine.chunk_cost_ns as f64 * 1e-9 * world.machine.nodes[node].rate;
        world.start_work(cpu, node, units as f64 + cost);
        self.switch(world);
    }

    /// Sleeps for `ns` nanoseconds of virtual time.
    pub fn sleep_ns(&self, ns: u64) {
        let cpu = CPU.get();
        let mut world = self.world();
        let at_ns = world.now_ns + ns;
        world.cpus[cpu].status = Status::Parked;
        world.set_timer(cpu, at_ns);
        self.switch(world);
    }

    /// Runs the clock until all neighbours have ended. Returns the time at which the neighbour on
    /// `cpu` ended, in nanoseconds.
    #[must_use]
    pub fn neighbour_ended_ns(&self, cpu: usize) -> Option<u64> {
        let mut world = self.world();
        world.run_until_neighbours_end();
        world.neighbour_ended_ns(cpu)
    }

    /// Returns the CPU time that helpers have charged to the thread on `cpu`, in nanoseconds.
    #[must_use]
    pub fn charged_ns(&self, cpu: usize) -> u64 {
        self.world().cpus[cpu].charged_ns
    }

    /// Runs tasks as CPU number `cpu`, until the simulation ends.
    fn cpu_main(&self, cpu: usize) {
        CPU.set(cpu);
        loop {
            self.shared.gates[cpu].wait();
            if self.shared.ended.load(Ordering::SeqCst) {
                return;
            }
            let task = self.world().cpus[cpu].task.take();
            if let Some(task) = task {
                task.run();
            }
            let mut world = self.world();
            world.cpus[cpu].status = Status::Idle;
            world.cpus[cpu].helper = None;
            self.run_next(world);
        }
    }

    /// Lets the next thread run, and returns when the calling thread may run again.
    fn switch(&self, world: MutexGuard<'_, World<Self>>) {
        if self.run_next(world) != Some(CPU.get()) {
            self.shared.gates[CPU.get()].wait();
        }
        assert!(!self.world().stuck, "simulated machine stuck: every thread waits to be woken");
    }

    /// Opens the gate of the thread that runs next, unless it is the calling thread. Returns that
    /// thread.
    fn run_next(&self, mut world: MutexGuard<'_, World<Self>>) -> Option<usize> {
        let own = CPU.get();
        let next = world.next_thread();
        match next {
            Some(next) => {
                drop(world);
                if next != own {
                    self.shared.gates[next].open();
                }
            }
            None => {
                world.stuck = true;
                drop(world);
                self.shared.gates[0].open();
            }
        }
        next
    }

    fn world(&self) -> MutexGuard<'_, World<Self>> {
        self.shared.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the simulation's threads when dropped, also when the closure panics.
struct EndSimulation<'s> {
    sim: &'s Sim,
    outer: usize,
}

impl Drop for EndSimulation<'_> {
    fn drop(&mut self) {
        CPU.set(self.outer);
        self.sim.shared.ended.store(true, Ordering::SeqCst);
        for gate in &self.sim.shared.gates {
            gate.open();
        }
    }
}

impl Gate {
    fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    fn wait(&self) {
        while !self.open.swap(false, Ordering::SeqCst) {
            thread::park();
        }
    }
}

impl Platform for Sim {
    /// The CPU's number.
    type Thread = usize;

    fn online_cpus(&self) -> usize {
        self.shared.cpus
    }

    fn now_ns(&self) -> u64 {
        self.world().now_ns
    }

    fn current_thread(&self) -> usize {
        CPU.get()
    }

    fn park(&self, deadline_ns: Option<u64>) {
        let cpu = CPU.get();
        let mut world = self.world();
        if core::mem::take(&mut world.cpus[cpu].token) {
            return;
        }
        world.cpus[cpu].status = Status::Parked;
        if let Some(deadline_ns) = deadline_ns {
            world.set_timer(cpu, deadline_ns);
        }
        self.switch(world);
    }

    fn unpark(&self, &thread: &usize) {
        let mut world = self.world();
        if world.cpus[thread].status == Status::Parked {
            world.make_ready(thread);
        } else {
            world.cpus[thread].token = true;
        }
    }

    fn start_helper(
        &self,
        task: HelperTask<Self>,
        placement: Placement,
    ) -> Result<HelperId, HelperTask<Self>> {
        let mut world = self.world();
        let wanted = placement.node.map(|node| node.0 as usize);
        let idle = |cpu: &usize| {
            world.cpus[*cpu].status == Status::Idle && world.machine.takes_helpers(*cpu, world.now_ns)
        };
        let on_node = (1..self.shared.cpus).filter(idle).find(|cpu| Some(world.cpus[*cpu].node) == wanted);
        let Some(cpu) = on_node.or_else(|| (1..self.shared.cpus).find(idle)) else {
            return Err(task);
        };
        let id = HelperId(world.next_helper);
        world.next_helper += 1;
        let lose_one_in = u64::from(world.machine.lose_one_in);
        let is_lost = lose_one_in != 0 && world.random_below(lose_one_in) == 0;
        if is_lost || world.machine.lost_helpers.contains(&id.0) {
            // Dropped without the lock: dropping a task wakes its caller, which takes the lock.
            drop(world);
            drop(task);
            return Ok(id);
        }
        let jitter_ns = world.machine.helper_jitter_ns;
        let delay_ns = if jitter_ns == 0 { 0 } else { world.random_below(jitter_ns) };
        let at_ns = world.now_ns + world.machine.helper_start_ns + delay_ns;
        let weight = world.machine.helper_weight;
        let starting = &mut world.cpus[cpu];
        starting.status = Status::Starting;
        starting.helper = Some(id);
        starting.task = Some(Box::new(task));
        starting.weight = weight;
        starting.token = false;
        world.set_timer(cpu, at_ns);
        let cost_ns = world.machine.start_cost_ns;
        drop(world);
        if cost_ns > 0 {
            self.sleep_ns(cost_ns);
        }
        Ok(id)
    }

    fn wake_cost(&self) -> &WakeCost {
        &self.shared.wake_cost
    }

    fn nodes(&self) -> usize {
        self.world().machine.nodes.len()
    }

    fn online_cpus_of_node(&self, node: NodeId) -> usize {
        self.world().machine.nodes.get(node.0 as usize).map_or(0, |node| node.cpus)
    }

    fn current_node(&self) -> NodeId {
        NodeId(self.world().cpus[CPU.get()].node as u32)
    }

    fn thread_time_ns(&self) -> u64 {
        self.world().used_ns(CPU.get())
    }

    fn cancel_helper(&self, helper: HelperId) -> Option<HelperTask<Self>> {
        let mut world = self.world();
        let cpu =
            world.cpus.iter().position(|cpu| cpu.helper == Some(helper) && cpu.status == Status::Starting)?;
        let task = world.cpus[cpu].task.take()?;
        world.clear_timer(cpu);
        world.cpus[cpu].status = Status::Idle;
        world.cpus[cpu].helper = None;
        Some(*task)
    }

    fn lend_weight(&self, helper: HelperId, lend: bool) {
        let mut world = self.world();
        let weight = if lend { world.cpus[CPU.get()].weight } else { world.machine.helper_weight };
        if let Some(cpu) = world.cpus.iter().position(|cpu| cpu.helper == Some(helper)) {
            world.set_weight(cpu, weight);
        }
    }

    fn charge(&self, &caller: &usize, cpu_ns: u64) {
        self.world().cpus[caller].charged_ns += cpu_ns;
    }

    fn budget(&self) -> &Budget {
        &self.shared.budget
    }

    fn max_threads(&self) -> usize {
        self.shared.max_threads
    }
}
