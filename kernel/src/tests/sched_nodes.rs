//! Threads and memory nodes.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use runqueue::CpuMask;

use super::wait::Patience;
use crate::debug::ktest::Stopped;
use crate::platform::nodes;
use crate::sched::snapshot::{self, ThreadState};
use crate::sched::{self, JoinHandle, Spawn};
use crate::{check, kernel_tests, skip_if};

/// Returns the nodes with an online CPU.
fn nodes_with_cpus() -> Vec<usize> {
    let has_cpu = |node: &usize| !(*nodes::cpus_of(*node) & sched::online_cpus()).is_empty();
    (0..nodes::nodes().len()).filter(has_cpu).collect()
}

/// A thread that sleeps until it is woken, again and again, and then records its node.
struct Sleeper {
    thread: JoinHandle,
    seen: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

const NOT_YET: usize = usize::MAX;

impl Sleeper {
    fn start(spawn: Spawn<'_>) -> Result<Self, Stopped> {
        let (seen, stop) = (Arc::new(AtomicUsize::new(NOT_YET)), Arc::new(AtomicBool::new(false)));
        let (slot, stopped) = (seen.clone(), stop.clone());
        let sleep = move || {
            while !stopped.load(SeqCst) {
                slot.store(nodes::current(), SeqCst);
                sched::park(None);
            }
        };
        let thread = spawn.start(sleep).map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        Ok(Self { thread, seen, stop })
    }

    fn is_asleep(&self) -> bool {
        let thread = self.thread.thread();
        let report = snapshot::threads().find(|report| report.tid() == thread.tid());
        self.seen.load(SeqCst) != NOT_YET && report.is_some_and(|report| report.state == ThreadState::Blocked)
    }

    /// Wakes the thread `times` times, if it `needs_room` only when a CPU of `node` is idle, and returns how often it ran on
    /// `node`. The calling thread runs on other nodes meanwhile: it could keep the only CPU of `node` busy itself.
    fn times_on(&self, node: usize, times: usize, needs_room: bool) -> Result<usize, Stopped> {
        let _guard = AffinityGuard::excluding(nodes::cpus_of(node))?;
        let mut there = 0;
        for _ in 0..times {
            let mut patience = Patience::new(20_000_000_000);
            // The thread can only run on `node` if a CPU is idle there; the host may have delayed that CPU.
            let has_room = || !needs_room || nodes::cpus_of(node).iter_from(0).any(sched::is_idle);
            while !self.is_asleep() || !has_room() {
                check!(patience.lasts(), "a woken thread does not run");
                sched::sleep_ns(200_000);
            }
            there += usize::from(self.seen.swap(NOT_YET, SeqCst) == node);
            sched::unpark(self.thread.thread());
            // Without sleeping: if this is the only CPU that is awake, waking this thread would take as long again.
            while self.seen.load(SeqCst) == NOT_YET {
                check!(patience.lasts(), "a woken thread does not run");
                sched::yield_now();
            }
        }
        Ok(there)
    }
}

/// Keeps the calling thread off some CPUs until dropped.
struct AffinityGuard {
    allowed_before: CpuMask,
}

impl AffinityGuard {
    fn excluding(cpus: &CpuMask) -> Result<Self, Stopped> {
        let me = sched::current();
        let allowed_before = me.allowed();
        let others = sched::online_cpus().without(*cpus);
        sched::set_affinity(me, &others).map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        Ok(Self { allowed_before })
    }
}

impl Drop for AffinityGuard {
    fn drop(&mut self) {
        let restored = sched::set_affinity(sched::current(), &self.allowed_before);
        restored.expect("the cpus that the thread was allowed are still there");
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        sched::unpark(self.thread.thread());
        self.thread.clone().join();
    }
}

kernel_tests! { "sched":
    fn a_thread_starts_and_wakes_up_on_the_node_it_prefers() needs(CpuNodes(2)) {
        const TIMES: usize = 40;
        let nodes = nodes_with_cpus();
        for node in &nodes {
            let sleeper = Sleeper::start(Spawn::new("test/home").node(*node))?;
            // Not always: other threads may run on all CPUs of the node.
            let there = sleeper.times_on(*node, TIMES, true)?;
            check!(there >= TIMES * 3 / 4, "{there} of {TIMES} times on node {node}");
            let report = snapshot::threads().find(|report| report.tid() == sleeper.thread.thread().tid());
            check!(report.is_some_and(|report| report.preferred_node == Some(*node)));
        }
        // The preference changes from node to node.
        let sleeper = Sleeper::start(Spawn::new("test/nomad"))?;
        for node in nodes.iter().rev().chain(&nodes) {
            sched::set_node_preference(sleeper.thread.thread(), Some(*node));
            sleeper.times_on(*node, 1, false)?;
            let there = sleeper.times_on(*node, TIMES, true)?;
            check!(there >= TIMES * 3 / 4, "{there} of {TIMES} times on node {node}, which it now prefers");
        }
        // Without a preference the thread stays where it is.
        let last = nodes.last().copied().unwrap_or(0);
        sched::set_node_preference(sleeper.thread.thread(), None);
        let there = sleeper.times_on(last, TIMES, false)?;
        check!(there >= TIMES * 3 / 4, "{there} of {TIMES} times still on node {last}");
    }

    /// If the preferred node's CPUs are busy, or it has none, the thread runs elsewhere at once.
    fn a_thread_does_not_wait_for_its_preferred_node() needs(CpuNodes(2)) {
        let nodes = nodes_with_cpus();
        let elsewhere = sched::online_cpus().without(*nodes::cpus_of(nodes[1]));
        skip_if!(elsewhere.count() < 2, "needs two cpus of other nodes");
        let mut spinners = super::spinners::Spinners::new();
        for cpu in (*nodes::cpus_of(nodes[1]) & sched::online_cpus()).iter() {
            spinners.start(Spawn::new("test/load").on(CpuMask::single(cpu)))?;
        }
        let all_run = || spinners.threads().iter().all(|thread| thread.thread().cpu_time_ns() > 0);
        while !all_run() {
            sched::sleep_ns(1_000_000);
        }
        let sleeper = Sleeper::start(Spawn::new("test/elsewhere").node(nodes[1]))?;
        let there = sleeper.times_on(nodes[1], 40, false)?;
        check!(there <= 10, "{there} of 40 times on node {}, which is busy", nodes[1]);
        drop(spinners);
        let nowhere = Sleeper::start(Spawn::new("test/nowhere").node(usize::MAX - 1))?;
        nowhere.times_on(nodes[1], 3, false)?;
    }
}
