//! The checks of platforms: they pass on the platforms of this crate, and each of them fails on a
//! platform with the fault that it looks for.

mod common;
#[path = "../examples/own_platform.rs"]
#[allow(dead_code, reason = "the example's main is not called")]
mod own_platform;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use ktask::conformance::{self, ConformanceError};
use ktask::hosted::Hosted;
use ktask::sim::Sim;
use ktask::{HelperContext, HelperId, HelperTask, LockSet, NodeId, Placement, Platform};

#[test]
fn hosted_passes() {
    for cpus in [1, 2, 5] {
        conformance::run_all(&Hosted::builder().cpus(cpus).build()).unwrap();
        conformance::run_all(&Hosted::builder().cpus(cpus).threads(0).build()).unwrap();
        conformance::run_all(&Hosted::builder().cpus(cpus).nodes(3).build()).unwrap();
    }
}

#[test]
fn sim_passes() {
    for (nodes, cpus) in [(1, 1), (1, 4), (2, 3)] {
        Sim::run(common::ideal(nodes, cpus), 1, |sim| conformance::run_all(sim).unwrap());
        let mut unreliable = common::ideal(nodes, cpus);
        unreliable.lose_one_in = 3;
        unreliable.helper_jitter_ns = 300_000;
        Sim::run(unreliable, 1, |sim| conformance::run_all(sim).unwrap());
    }
}

#[test]
fn a_platform_of_six_methods_passes() {
    for workers in [0, 1, 3] {
        conformance::run_all(&own_platform::Pool::new(workers)).unwrap();
    }
}

/// What a platform does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    ClockGoesBack,
    ClockStands,
    NoCpu,
    MoreCoresThanCpus,
    CpuOnNoNode,
    RunsOnUnknownNode,
    FarthestFromItself,
    ForgetsUnpark,
    KeepsTasks,
    RunsTasksOnTheCaller,
    OversleepsDeadlines,
    LosesUnparks,
    SplitsTheBudget,
    WaitsForRoom,
    ForgetsContexts,
    KeepsContexts,
}

/// Name of the helpers' threads.
const HELPER: &str = "helper";

/// A platform with a fault.
#[derive(Clone)]
struct Faulty {
    fault: Fault,
    queue: SyncSender<HelperTask<Faulty>>,
    kept: Arc<Mutex<Vec<HelperTask<Faulty>>>>,
    helpers: Arc<AtomicU64>,
    /// Calls that a fault counts.
    counter: Arc<AtomicU64>,
    context: Arc<Mutex<HelperContext>>,
    budgets: &'static [ktask::Budget; 2],
    /// Threads that wait in `start_helper`.
    waiting: Arc<AtomicU64>,
    epoch: Instant,
}

impl Faulty {
    fn new(fault: Fault) -> Self {
        let (queue, tasks) = sync_channel(3);
        let tasks: Arc<Mutex<Receiver<HelperTask<Self>>>> = Arc::new(Mutex::new(tasks));
        for _ in 0..3 {
            let tasks = tasks.clone();
            let serve = move || {
                loop {
                    let next = tasks.lock().unwrap().recv();
                    let Ok(task) = next else { return };
                    task.run();
                }
            };
            thread::Builder::new().name(HELPER.into()).spawn(serve).unwrap();
        }
        Self {
            fault,
            queue,
            kept: Arc::default(),
            helpers: Arc::default(),
            counter: Arc::default(),
            context: Arc::default(),
            budgets: Box::leak(Box::default()),
            waiting: Arc::default(),
            epoch: Instant::now(),
        }
    }

    /// Returns how much faster the platform's clock is than a real one. A check that waits in vain is then
    /// over soon.
    fn speed(&self) -> u64 {
        match self.fault {
            Fault::OversleepsDeadlines
            | Fault::ForgetsUnpark
            | Fault::KeepsTasks
            | Fault::RunsTasksOnTheCaller
            | Fault::LosesUnparks
            | Fault::SplitsTheBudget => 20,
            _ => 1,
        }
    }

    fn count(&self) -> u64 {
        self.counter.fetch_add(1, Ordering::SeqCst)
    }
}

impl Platform for Faulty {
    type Thread = Thread;

    fn online_cpus(&self) -> usize {
        if self.fault == Fault::NoCpu { 0 } else { 4 }
    }

    fn physical_cores(&self) -> usize {
        if self.fault == Fault::MoreCoresThanCpus { 8 } else { 2 }
    }

    fn nodes(&self) -> usize {
        2
    }

    fn online_cpus_of_node(&self, node: NodeId) -> usize {
        if self.fault == Fault::CpuOnNoNode && node.0 == 0 { 1 } else { 2 }
    }

    fn current_node(&self) -> NodeId {
        NodeId(if self.fault == Fault::RunsOnUnknownNode { 2 } else { 1 })
    }

    fn node_distance(&self, from: NodeId, to: NodeId) -> u32 {
        if (from == to) == (self.fault == Fault::FarthestFromItself) { 20 } else { 10 }
    }

    fn now_ns(&self) -> u64 {
        let now_ns = self.epoch.elapsed().as_nanos() as u64 * self.speed();
        match self.fault {
            Fault::ClockStands => 1,
            Fault::ClockGoesBack if self.count() % 100 == 99 => now_ns.saturating_sub(1_000_000),
            _ => now_ns,
        }
    }

    fn current_thread(&self) -> Thread {
        thread::current()
    }

    fn park(&self, deadline_ns: Option<u64>) {
        match deadline_ns {
            None => thread::park(),
            Some(deadline_ns) => {
                let late_ns = if self.fault == Fault::OversleepsDeadlines { 11_000_000_000 } else { 0 };
                let timeout_ns = deadline_ns.saturating_sub(self.now_ns()) + late_ns;
                thread::park_timeout(Duration::from_nanos(timeout_ns / self.speed()));
            }
        }
    }

    fn unpark(&self, thread: &Thread) {
        let is_own = thread.id() == thread::current().id();
        match self.fault {
            Fault::ForgetsUnpark if is_own => {}
            // One of the 200 that the check counts. The jobs before it need fewer, and need them all.
            Fault::LosesUnparks if !is_own && self.count() == 150 => {}
            _ => thread.unpark(),
        }
    }

    fn start_helper(
        &self,
        task: HelperTask<Self>,
        _anywhere: Placement,
    ) -> Result<HelperId, HelperTask<Self>> {
        match self.fault {
            Fault::KeepsTasks => self.kept.lock().unwrap().push(task),
            Fault::RunsTasksOnTheCaller => task.run(),
            Fault::WaitsForRoom => {
                self.waiting.fetch_add(1, Ordering::SeqCst);
                self.queue.send(task).unwrap();
                self.waiting.fetch_sub(1, Ordering::SeqCst);
            }
            _ => {
                if let Err(error) = self.queue.try_send(task) {
                    return Err(match error {
                        std::sync::mpsc::TrySendError::Full(task)
                        | std::sync::mpsc::TrySendError::Disconnected(task) => task,
                    });
                }
            }
        }
        Ok(HelperId(self.helpers.fetch_add(1, Ordering::SeqCst)))
    }

    fn held_locks(&self) -> LockSet {
        if self.fault == Fault::KeepsContexts {
            self.context.lock().unwrap().caller_locks
        } else {
            LockSet::EMPTY
        }
    }

    fn begin_help(&self, context: HelperContext) -> HelperContext {
        match self.fault {
            Fault::ForgetsContexts | Fault::KeepsContexts => {
                std::mem::replace(&mut *self.context.lock().unwrap(), context)
            }
            _ => HelperContext::NONE,
        }
    }

    fn end_help(&self, _before: HelperContext) {
        if self.fault == Fault::ForgetsContexts {
            *self.context.lock().unwrap() = HelperContext::NONE;
        }
    }

    fn budget(&self) -> &ktask::Budget {
        let is_helper = thread::current().name() == Some(HELPER);
        &self.budgets[usize::from(is_helper && self.fault == Fault::SplitsTheBudget)]
    }
}

#[test]
fn each_fault_is_found_by_its_check() {
    conformance::run_all(&Faulty::new(Fault::None)).unwrap();
    for (fault, check) in [
        (Fault::ClockGoesBack, "clocks_advance"),
        (Fault::ClockStands, "clocks_advance"),
        (Fault::NoCpu, "cpus_are_counted"),
        (Fault::MoreCoresThanCpus, "cpus_are_counted"),
        (Fault::CpuOnNoNode, "nodes_are_counted"),
        (Fault::RunsOnUnknownNode, "nodes_are_counted"),
        (Fault::FarthestFromItself, "nodes_are_counted"),
        (Fault::OversleepsDeadlines, "park_ends_at_its_deadline"),
        (Fault::ForgetsUnpark, "unpark_is_remembered"),
        (Fault::KeepsTasks, "helpers_run_beside_the_caller"),
        (Fault::RunsTasksOnTheCaller, "helpers_run_beside_the_caller"),
        (Fault::LosesUnparks, "unpark_wakes"),
        (Fault::SplitsTheBudget, "late_helpers_are_harmless"),
        (Fault::ForgetsContexts, "contexts_nest"),
        (Fault::KeepsContexts, "contexts_nest"),
    ] {
        let found = conformance::run_all(&Faulty::new(fault));
        let found_by = found.as_ref().map_err(|error: &ConformanceError| error.check);
        assert_eq!(found_by, Err(check), "{fault:?}: {found:?}");
        println!("{fault:?}: {}", found.unwrap_err());
    }
}

/// `start_helper` that waits for room in the pool stops every thread of the pool, and the caller.
#[test]
fn a_platform_that_waits_for_room_hangs_in_nested_jobs() {
    let platform = Faulty::new(Fault::WaitsForRoom);
    let checked = {
        let platform = platform.clone();
        thread::spawn(move || conformance::nested_jobs_end(&platform))
    };
    // The threads are left behind as they are.
    while platform.waiting.load(Ordering::SeqCst) < 4 {
        assert!(!checked.is_finished(), "no deadlock: {:?}", checked.join());
        thread::yield_now();
    }
}
