//! How fairly CPU time is shared, and what the helpers of jobs take from other threads.

use alloc::vec::Vec;

use ktask::{Items, Job};
use runqueue::{CpuMask, Nice};

use super::support::{Bench, last_cpu, no_thread, online, report};
use super::threads::{Stop, Threads};
use crate::jobs::platform::Kernel;
use crate::sched::group::Group;
use crate::sched::{self, Spawn};

/// The benchmarks of this file.
pub(super) const ALL: &[Bench] =
    &[("sched:fairness", fairness), ("sched:helpers-beside-load", helpers_beside_load)];

/// Spinning threads, whose CPU time is measured.
struct Load(Threads);

impl Load {
    fn start<'a>(spawns: impl IntoIterator<Item = Spawn<'a>>) -> Result<Self, &'static str> {
        let mut threads = Threads::with_capacity(0);
        for spawn in spawns {
            let spins = |stop: Stop| {
                while !stop.is_set() {
                    core::hint::spin_loop();
                }
            };
            threads.start(spawn, spins).map_err(no_thread)?;
        }
        Ok(Self(threads))
    }

    /// Returns the CPU time that each thread used within `ns`.
    fn measure(&self, ns: u64) -> Vec<u64> {
        let read = || self.0.handles().iter().map(|thread| thread.thread().cpu_time_ns()).collect::<Vec<_>>();
        let before = read();
        sched::sleep_ns(ns);
        read().iter().zip(before).map(|(after, before)| after - before).collect()
    }
}

/// Returns the largest deviation from a thread's share, in thousandths of that share.
fn worst_permille(used: &[u64], weights: &[u64]) -> u64 {
    let (total, weight): (u64, u64) = (used.iter().sum(), weights.iter().sum());
    let error = |(used, part): (&u64, &u64)| {
        let share = total * part / weight;
        used.abs_diff(share) * 1000 / share.max(1)
    };
    used.iter().zip(weights).map(error).max().unwrap_or(0)
}

fn fairness() -> Result<(), &'static str> {
    const MEASURED_NS: u64 = 2_000_000_000;
    let two: CpuMask = online().into_iter().take(2).collect();
    let load = Load::start((0..8).map(|_| Spawn::new("bench/equal").on(two)))?;
    load.measure(200_000_000);
    let used = load.measure(MEASURED_NS);
    report("sched/fairness/equal", (8, "threads"), worst_permille(&used, &[1; 8]), "permille");
    drop(load);

    // Levels 5, 2 and -1 are nearest to 1:2:4. Shares are compared with the exact weights.
    let levels = [5, 2, -1].map(|level| Nice::new(level).unwrap_or_default());
    let one = CpuMask::single(last_cpu());
    let load = Load::start(levels.iter().map(|level| Spawn::new("bench/weighted").on(one).nice(*level)))?;
    load.measure(200_000_000);
    let used = load.measure(MEASURED_NS);
    let weights = levels.map(|level| u64::from(level.weight().get()));
    report("sched/fairness/weighted", (3, "threads"), worst_permille(&used, &weights), "permille");
    Ok(())
}

/// Measures what a load on all CPUs loses to a job whose caller has the lowest weight, as helpers do. For comparison, it
/// also measures the loss to threads of the load's own weight.
fn helpers_beside_load() -> Result<(), &'static str> {
    const MEASURED_NS: u64 = 1_500_000_000;
    let cpus = online();
    let load = Load::start(cpus.iter().map(|cpu| Spawn::new("bench/load").on(CpuMask::single(*cpu))))?;
    load.measure(200_000_000);
    let alone: u64 = load.measure(MEASURED_NS).iter().sum();
    let group = Group::new("bench", None);
    let mut caller = Threads::with_capacity(1);
    let calls = |stop: Stop| {
        while !stop.is_set() {
            let job = Job::new(Items::new(0)..Items::new(1000)).min_chunk(Items::new(1));
            let _ = job.run(&Kernel, |chunk| {
                for _ in chunk.indices() {
                    (0..10_000).for_each(|_| core::hint::spin_loop());
                }
                Ok::<(), ()>(())
            });
        }
    };
    caller.start(Spawn::new("bench/caller").nice(Nice::MAX).group(&group), calls).map_err(no_thread)?;
    let beside: u64 = load.measure(MEASURED_NS).iter().sum();
    let used = group.usage();
    let lost = alone.saturating_sub(beside) * 1000 / alone.max(1);
    report("sched/helpers-beside-load/lowest", (cpus.len() as u64, "cpus"), lost, "permille");
    drop((caller, load));
    if used.cpu_time_ns == 0 {
        return Err("the job did not run at all");
    }

    let load = Load::start(cpus.iter().map(|cpu| Spawn::new("bench/load").on(CpuMask::single(*cpu))))?;
    let rivals = Load::start(cpus.iter().map(|cpu| Spawn::new("bench/rival").on(CpuMask::single(*cpu))))?;
    let beside: u64 = load.measure(MEASURED_NS).iter().sum();
    drop(rivals);
    let lost = alone.saturating_sub(beside) * 1000 / alone.max(1);
    report("sched/helpers-beside-load/default", (cpus.len() as u64, "cpus"), lost, "permille");
    Ok(())
}
