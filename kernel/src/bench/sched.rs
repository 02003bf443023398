//! What switching, waking and starting helpers costs.
//!
//! Costs are in ticks of the TSC. Under `-icount shift=0` one tick is one instruction, else the boot record has the rate.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use ktask::{Items, Job};
use runqueue::CpuMask;
use spin::Once;

use super::support::{Bench, NO_THREAD, last_cpu, median, no_thread, online, report};
use super::threads::{Stop, Threads};
use crate::arch::{apic, cpu, percpu, tsc, vector};
use crate::jobs::platform::Kernel;
use crate::sched::{self, Spawn};

/// The benchmarks of this file.
pub(super) const ALL: &[Bench] = &[
    ("sched:switch", switch),
    ("sched:switch-among", switch_among),
    ("sched:wake-latency", wake_latency),
    ("sched:helper-start", helper_start),
];

/// What is varied where threads yield to each other.
const RUNNABLE: &str = "runnable threads";

/// Returns the ticks of one switch among `threads` threads that yield to each other on one CPU.
pub fn ticks_per_switch(threads: usize, switches: u64) -> Result<u64, &'static str> {
    let cpu = last_cpu();
    let spawn = Spawn::new("bench/yield").on(CpuMask::single(cpu));
    let mut others = Threads::with_capacity(threads - 1);
    for _ in 1..threads {
        let yields = |stop: Stop| {
            while !stop.is_set() {
                sched::yield_now();
            }
        };
        others.start(spawn, yields).map_err(no_thread)?;
    }
    let result = Arc::new(AtomicU64::new(0));
    let slot = result.clone();
    let mut measuring = Threads::with_capacity(1);
    let measure = move |_: Stop| {
        let sample = || (sched::switches_of(cpu), tsc::ticks());
        // One round, so that every thread has begun. No other thread is queued here, such as our creator.
        let begun = sample().0;
        while sample().0 < begun + 2 * threads as u64 || sched::queue_length(cpu) as usize >= threads {
            sched::yield_now();
        }
        let before = sample();
        while sample().0 < before.0 + switches {
            sched::yield_now();
        }
        let after = sample();
        slot.store((after.1 - before.1) / (after.0 - before.0), SeqCst);
    };
    measuring.start(spawn, measure).map_err(no_thread)?;
    measuring.join();
    drop(others);
    Ok(result.load(SeqCst))
}

fn switch() -> Result<(), &'static str> {
    report("sched/switch/yield", (2, RUNNABLE), ticks_per_switch(2, 50_000)?, "ticks");
    Ok(())
}

fn switch_among() -> Result<(), &'static str> {
    for threads in [2, 4, 8, 16, 32, 64, 128, 256, 512, 1000] {
        report("sched/switch-among", (threads as u64, RUNNABLE), ticks_per_switch(threads, 50_000)?, "ticks");
    }
    Ok(())
}

/// Measures the time from waking a thread on another, halted CPU to its first instruction. For comparison, it measures the
/// time from sending an interrupt to that CPU until the handler begins.
fn wake_latency() -> Result<(), &'static str> {
    const ROUNDS: u64 = 500;
    let cpus = online();
    let [from, to, ..] = cpus[..] else { return Err("needs two cpus") };
    let target = percpu::CpuId::new(to).map(percpu::get).ok_or("the cpu is gone")?;
    let woken = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
    let shared = woken.clone();
    let mut sleeper = Threads::with_capacity(1);
    let sleeps = move |stop: Stop| {
        for round in 1..=ROUNDS {
            // The round number tells a wake-up from a spurious return of `park`.
            while shared.0.load(SeqCst) < round {
                if stop.is_set() {
                    return;
                }
                sched::park(None);
            }
            shared.1.store(tsc::ticks(), SeqCst);
        }
    };
    sleeper.start(Spawn::new("bench/sleeper").on(CpuMask::single(to)), sleeps).map_err(no_thread)?;
    let sleeping = sleeper.handles()[0].thread().clone();
    let (wakes, interrupts) = (Arc::new(Once::new()), Arc::new(Once::new()));
    let results = (wakes.clone(), interrupts.clone());
    let mut waker = Threads::with_capacity(1);
    let wakes_it = move |_: Stop| {
        let mut found = (Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            wait_until_halted(to);
            // The TSCs may differ, so an answer is recognised by its change, not by its value.
            let before = target.pinged_ticks.load(SeqCst);
            let sent = tsc::ticks();
            apic::local().send_ipi(target.apic_id(), vector::PING);
            while target.pinged_ticks.load(SeqCst) == before {
                cpu::relax();
            }
            found.0.push(target.pinged_ticks.load(SeqCst).saturating_sub(sent));
            wait_until_halted(to);
            let before = woken.1.load(SeqCst);
            let sent = tsc::ticks();
            woken.0.store(round, SeqCst);
            sched::unpark(&sleeping);
            while woken.1.load(SeqCst) == before {
                cpu::relax();
            }
            found.1.push(woken.1.load(SeqCst).saturating_sub(sent));
        }
        results.1.call_once(|| median(found.0));
        results.0.call_once(|| median(found.1));
    };
    waker.start(Spawn::new("bench/waker").on(CpuMask::single(from)), wakes_it).map_err(no_thread)?;
    waker.join();
    sleeper.join();
    let (wake, interrupt) = (*wakes.get().ok_or(NO_THREAD)?, *interrupts.get().ok_or(NO_THREAD)?);
    report("sched/wake-latency/interrupt", (ROUNDS, "rounds"), interrupt, "ticks");
    report("sched/wake-latency/thread", (ROUNDS, "rounds"), wake, "ticks");
    report("sched/wake-latency/ratio", (ROUNDS, "rounds"), wake * 100 / interrupt.max(1), "percent");
    Ok(())
}

/// Measures the time from the start of a job until its first helper begins, and until all have, on halted CPUs. Also measures
/// a job whose helper is cancelled before it begins. With one CPU the caller waits for the helper.
fn helper_start() -> Result<(), &'static str> {
    const ROUNDS: u64 = 200;
    let cpus = online();
    for threads in [2, cpus.len()] {
        if threads < 2 {
            break;
        }
        let (mut first, mut all) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let here = percpu::this_cpu().id().index();
            cpus.iter().filter(|cpu| **cpu != here).for_each(|cpu| wait_until_halted(*cpu));
            let caller = sched::current_arc();
            let (begun, first_ticks, last_ticks) =
                (AtomicU64::new(0), AtomicU64::new(u64::MAX), AtomicU64::new(0));
            let job = Job::new(Items::new(0)..Items::new(threads as u64)).threads_exact(threads);
            let started = tsc::ticks();
            let stats = job.run(&Kernel, |_| {
                if sched::current().tid() != caller.tid() {
                    let now = tsc::ticks();
                    first_ticks.fetch_min(now, SeqCst);
                    last_ticks.fetch_max(now, SeqCst);
                }
                begun.fetch_add(1, SeqCst);
                sched::unpark(&caller);
                while begun.load(SeqCst) < threads as u64 {
                    if cpus.len() == 1 { sched::park(None) } else { cpu::relax() }
                }
                Ok::<(), ()>(())
            });
            if stats.is_ok_and(|stats| stats.threads_used as usize == threads) {
                first.push(first_ticks.load(SeqCst) - started);
                all.push(last_ticks.load(SeqCst) - started);
            }
        }
        report("sched/helper-start/first", (threads as u64, "threads"), median(first), "ticks");
        report("sched/helper-start/all", (threads as u64, "threads"), median(all), "ticks");
        if cpus.len() == 2 {
            break;
        }
    }
    let taken_back: Vec<u64> = (0..ROUNDS)
        .map(|_| {
            let started = tsc::ticks();
            // The caller does not yield: on one CPU the helper cannot begin.
            let job = Job::new(Items::new(0)..Items::new(2)).threads_exact(2);
            let _ = job.run(&Kernel, |_| Ok::<(), ()>(()));
            tsc::ticks().saturating_sub(started)
        })
        .collect();
    report("sched/helper-start/taken-back", (2, "threads"), median(taken_back), "ticks");
    Ok(())
}

/// Waits until CPU `number` is idle, and then long enough for it to halt.
fn wait_until_halted(number: usize) {
    const HALT_NS: u64 = 100_000;
    while !sched::is_idle(number) {
        cpu::relax();
    }
    let start_ns = tsc::now_ns();
    while tsc::since_ns(start_ns) < HALT_NS {
        cpu::relax();
    }
}
