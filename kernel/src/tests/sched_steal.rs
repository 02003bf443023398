//! Threads that stand behind many others in a queue: an idle CPU finds them all the same.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

use runqueue::{CpuMask, Nice};

use super::wait::{Patience, within_20_s};
use crate::arch::percpu;
use crate::bench::threads::Threads;
use crate::debug::ktest::{Stopped, TestResult};
use crate::sched::{self, Spawn, SpawnError, Thread};
use crate::{check, kernel_tests};

/// Threads that fill a queue: ten times as many as a CPU looks at when it has nothing to run.
const CROWD: usize = 320;
/// A thread may by chance be one of those that a CPU looks at, but not in every round.
const ROUNDS: usize = 8;
/// How long the calling thread waits without giving up its CPU.
const SPIN_NS: u64 = 10_000_000_000;

/// A crowd of light threads that may run on the calling thread's CPU alone. The calling thread stays there, and is so heavy
/// that a new turn of each of them takes it a minute.
struct Crowd {
    threads: Threads,
    cpu: CpuMask,
    /// Another CPU, which idles.
    other: usize,
}

impl Crowd {
    fn gather() -> Result<Self, Stopped> {
        let cpus = sched::online_cpus();
        let (first, last) = (cpus.iter().next().unwrap_or(0), cpus.iter().last().unwrap_or(0));
        let mut crowd =
            Self { threads: Threads::with_capacity(CROWD), cpu: CpuMask::single(first), other: last };
        check!(sched::set_affinity(sched::current(), &crowd.cpu).is_ok(), "cpu {first} went offline");
        sched::set_nice(sched::current(), Nice::MIN);
        for _ in 0..CROWD {
            let spawn = Spawn::new("test/crowd").on(crowd.cpu).nice(Nice::MAX);
            or_fail(crowd.threads.start(spawn, |stop| {
                while !stop.is_set() {
                    core::hint::spin_loop();
                }
            }))?;
        }
        Ok(crowd)
    }

    fn both_cpus(&self) -> CpuMask {
        let mut both = self.cpu;
        both.insert(self.other);
        both
    }

    /// Starts a light thread on the CPU of the crowd that calls `begin`, and runs until it is on the other CPU.
    fn start(&self, begin: impl FnOnce() + Send + 'static) -> Result<(Threads, Arc<AtomicBool>), Stopped> {
        let has_moved = Arc::new(AtomicBool::new(false));
        let (told, other) = (has_moved.clone(), self.other);
        let mut threads = Threads::with_capacity(1);
        or_fail(threads.start(Spawn::new("test/behind").on(self.cpu).nice(Nice::MAX), move |stop| {
            begin();
            while !stop.is_set() {
                if percpu::this_cpu().id().index() == other {
                    return told.store(true, SeqCst);
                }
                core::hint::spin_loop();
            }
        }))?;
        Ok((threads, has_moved))
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        sched::set_nice(sched::current(), Nice::DEFAULT);
        // It fails only if no CPU is online.
        let _ = sched::set_affinity(sched::current(), &CpuMask::ALL);
    }
}

fn or_fail(started: Result<(), SpawnError>) -> TestResult {
    started.map_err(|error| Stopped::Failed(alloc::format!("{error}")))
}

/// Waits without giving up the CPU.
fn spin_until(condition: &AtomicBool) -> bool {
    let mut patience = Patience::new(SPIN_NS);
    while !condition.load(SeqCst) && patience.lasts() {
        core::hint::spin_loop();
    }
    condition.load(SeqCst)
}

fn allow(thread: &Thread, cpus: &CpuMask) {
    // It fails only if none of the CPUs is online.
    let _ = sched::set_affinity(thread, cpus);
}

kernel_tests! { "sched":
    /// The other CPU idles while the thread runs, and is told once the thread is queued behind the crowd.
    fn a_preempted_thread_is_found_behind_many_that_may_not_move() needs(Cpus(2), MemoryMib(96)) {
        let crowd = Crowd::gather()?;
        for round in 0..ROUNDS {
            let has_run = Arc::new(AtomicBool::new(false));
            let (told, both) = (has_run.clone(), crowd.both_cpus());
            let (thread, has_moved) = crowd.start(move || {
                allow(sched::current(), &both);
                told.store(true, SeqCst);
            })?;
            check!(within_20_s(|| has_run.load(SeqCst)), "round {round}: the thread does not run");
            check!(spin_until(&has_moved), "round {round}: it waits behind the crowd while a cpu idles");
            drop(thread);
        }
    }

    /// The thread is queued behind the crowd, and then it may run on the other CPU, which idles.
    fn a_thread_that_may_move_now_is_found_behind_many() needs(Cpus(2), MemoryMib(96)) {
        let crowd = Crowd::gather()?;
        for round in 0..ROUNDS {
            let (thread, has_moved) = crowd.start(|| ())?;
            allow(thread.handles()[0].thread(), &crowd.both_cpus());
            check!(spin_until(&has_moved), "round {round}: it waits behind the crowd while a cpu idles");
            drop(thread);
        }
    }
}
