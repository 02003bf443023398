//! What the scheduler costs and how fair it is.
//!
//! Costs are in ticks of the TSC: under `-icount shift=0` one tick is one
//! instruction, else see the boot record for the rate.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use ktask::{Items, Job};
use runqueue::{CpuMask, Nice};
use spin::Once;

use super::{Bench, tell};
use crate::arch::{apic, cpu, percpu, tsc, vector};
use crate::jobs::platform::Kernel;
use crate::sched::group::Group;
use crate::sched::wait::Completion;
use crate::sched::{self, JoinHandle, Spawn, Thread};

/// All of them.
pub const ALL: &[Bench] = &[
    ("sched:switch", switch),
    ("sched:switch-among", switch_among),
    ("sched:wake-latency", wake_latency),
    ("sched:helper-start", helper_start),
    ("sched:fairness", fairness),
    ("sched:helpers-beside-load", helpers_beside_load),
    ("sched:block-wake", block_wake),
];

const NO_THREAD: &str = "no memory for the threads";

/// What is varied where threads take turns.
const RUNNABLE: &str = "runnable threads";

fn online() -> Vec<usize> {
    percpu::all().filter(|cpu| cpu.is_online()).map(|cpu| cpu.id().index()).collect()
}

fn last_cpu() -> usize {
    online().last().copied().unwrap_or(0)
}

fn start(spawn: Spawn<'_>, entry: impl FnOnce() + Send + 'static) -> Result<JoinHandle, &'static str> {
    spawn.start(entry).map_err(|_| NO_THREAD)
}

/// Ticks of one switch among `threads` threads that yield to each other on one CPU.
pub fn ticks_per_switch(threads: usize, switches: u64) -> Result<u64, &'static str> {
    let cpu = last_cpu();
    let spawn = Spawn::new("bench/yield").on(CpuMask::single(cpu));
    let stop = Arc::new(AtomicBool::new(false));
    let mut handles = Vec::new();
    for _ in 1..threads {
        let stop = stop.clone();
        handles.push(start(spawn, move || {
            while !stop.load(SeqCst) {
                sched::yield_now();
            }
        })?);
    }
    let result = Arc::new(AtomicU64::new(0));
    let slot = result.clone();
    handles.push(start(spawn, move || {
        let turn = || (sched::switches_of(cpu), tsc::ticks());
        // Once around, so that every thread has begun; and nobody else waits here, our creator for one.
        let begun = turn().0;
        while turn().0 < begun + 2 * threads as u64 || sched::queue_length(cpu) as usize >= threads {
            sched::yield_now();
        }
        let before = turn();
        while turn().0 < before.0 + switches {
            sched::yield_now();
        }
        let after = turn();
        slot.store((after.1 - before.1) / (after.0 - before.0), SeqCst);
        stop.store(true, SeqCst);
    })?);
    handles.into_iter().for_each(JoinHandle::join);
    Ok(result.load(SeqCst))
}

fn switch() -> Result<(), &'static str> {
    tell("sched/switch/yield", (2, RUNNABLE), ticks_per_switch(2, 50_000)?, "ticks");
    Ok(())
}

fn switch_among() -> Result<(), &'static str> {
    for threads in [2, 4, 8, 16, 32, 64, 128, 256, 512, 1000] {
        tell("sched/switch-among", (threads as u64, RUNNABLE), ticks_per_switch(threads, 50_000)?, "ticks");
    }
    Ok(())
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

/// From waking a thread to its first instruction, on another CPU that halts; beside it what sending an
/// interrupt there takes until its handler begins.
fn wake_latency() -> Result<(), &'static str> {
    const ROUNDS: u64 = 500;
    let cpus = online();
    let [from, to, ..] = cpus[..] else { return Err("needs two cpus") };
    let target = percpu::CpuId::new(to).map(percpu::get).ok_or("the cpu is gone")?;
    let woken = Arc::new((AtomicU64::new(0), AtomicU64::new(0)));
    let told = woken.clone();
    let sleeper = start(Spawn::new("bench/sleeper").on(CpuMask::single(to)), move || {
        for round in 1..=ROUNDS {
            // A turn is told by its number: `park` may return without reason.
            while told.0.load(SeqCst) < round {
                sched::park(None);
            }
            told.1.store(tsc::ticks(), SeqCst);
        }
    })?;
    let sleeping = sleeper.thread().clone();
    let (wakes, interrupts) = (Arc::new(Once::new()), Arc::new(Once::new()));
    let results = (wakes.clone(), interrupts.clone());
    let waker = start(Spawn::new("bench/waker").on(CpuMask::single(from)), move || {
        let mut found = (Vec::new(), Vec::new());
        for round in 1..=ROUNDS {
            halted(to);
            // The other CPU's TSC may be off: that its answer is another one says that it came.
            let before = target.pinged_ticks.load(SeqCst);
            let sent = tsc::ticks();
            apic::local().send_ipi(target.apic_id(), vector::PING);
            while target.pinged_ticks.load(SeqCst) == before {
                cpu::relax();
            }
            found.0.push(target.pinged_ticks.load(SeqCst).saturating_sub(sent));
            halted(to);
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
    })?;
    waker.join();
    sleeper.join();
    let (wake, interrupt) = (*wakes.get().ok_or(NO_THREAD)?, *interrupts.get().ok_or(NO_THREAD)?);
    tell("sched/wake-latency/interrupt", (ROUNDS, "rounds"), interrupt, "ticks");
    tell("sched/wake-latency/thread", (ROUNDS, "rounds"), wake, "ticks");
    tell("sched/wake-latency/ratio", (ROUNDS, "rounds"), wake * 100 / interrupt.max(1), "percent");
    Ok(())
}

/// From the start of a job until its first helper begins, and until all do, on CPUs that halt; and what a job costs whose
/// helper is taken back before it has begun. With one CPU the caller waits for the helper.
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
            cpus.iter().filter(|cpu| **cpu != here).for_each(|cpu| halted(*cpu));
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
            if stats.is_ok_and(|stats| stats.threads_used == threads) {
                first.push(first_ticks.load(SeqCst) - started);
                all.push(last_ticks.load(SeqCst) - started);
            }
        }
        tell("sched/helper-start/first", (threads as u64, "threads"), median(first), "ticks");
        tell("sched/helper-start/all", (threads as u64, "threads"), median(all), "ticks");
        if cpus.len() == 2 {
            break;
        }
    }
    let taken_back: Vec<u64> = (0..ROUNDS)
        .map(|_| {
            let started = tsc::ticks();
            // The CPU is not given away in between: on one CPU the helper cannot begin.
            let job = Job::new(Items::new(0)..Items::new(2)).threads_exact(2);
            let _ = job.run(&Kernel, |_| Ok::<(), ()>(()));
            tsc::ticks().saturating_sub(started)
        })
        .collect();
    tell("sched/helper-start/taken-back", (2, "threads"), median(taken_back), "ticks");
    Ok(())
}

/// Waits until CPU `number` idles, and then long enough for it to have halted.
fn halted(number: usize) {
    const SETTLE_NS: u64 = 100_000;
    while !sched::is_idle(number) {
        cpu::relax();
    }
    let start_ns = tsc::now_ns();
    while tsc::since_ns(start_ns) < SETTLE_NS {
        cpu::relax();
    }
}

/// Threads that spin, and what they use while somebody waits.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle>,
}

impl Load {
    fn start<'a>(spawns: impl IntoIterator<Item = Spawn<'a>>) -> Result<Self, &'static str> {
        let mut load = Self { stop: Arc::new(AtomicBool::new(false)), threads: Vec::new() };
        for spawn in spawns {
            let stop = load.stop.clone();
            load.threads.push(start(spawn, move || {
                while !stop.load(SeqCst) {
                    core::hint::spin_loop();
                }
            })?);
        }
        Ok(load)
    }

    /// CPU time that each used in `ns`.
    fn measure(&self, ns: u64) -> Vec<u64> {
        let read = || self.threads.iter().map(|thread| thread.thread().cpu_time_ns()).collect::<Vec<_>>();
        let before = read();
        sched::sleep_ns(ns);
        read().iter().zip(before).map(|(after, before)| after - before).collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        self.threads.drain(..).for_each(JoinHandle::join);
    }
}

/// By how many thousandths of its share the worst is off.
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
    tell("sched/fairness/equal", (8, "threads"), worst_permille(&used, &[1; 8]), "permille");
    drop(load);

    // 5, 2 and -1 are nearest to 1:2:4; shares are judged by the weights themselves.
    let levels = [5, 2, -1].map(|level| Nice::new(level).unwrap_or_default());
    let one = CpuMask::single(last_cpu());
    let load = Load::start(levels.iter().map(|level| Spawn::new("bench/weighted").on(one).nice(*level)))?;
    load.measure(200_000_000);
    let used = load.measure(MEASURED_NS);
    let weights = levels.map(|level| u64::from(level.weight().get()));
    tell("sched/fairness/weighted", (3, "threads"), worst_permille(&used, &weights), "permille");
    Ok(())
}

/// What a load that fills all CPUs loses to a job that runs beside it, whose caller has the lowest weight as its helpers do;
/// and, for comparison, to one whose threads have the load's own weight.
fn helpers_beside_load() -> Result<(), &'static str> {
    const MEASURED_NS: u64 = 1_500_000_000;
    let cpus = online();
    let load = Load::start(cpus.iter().map(|cpu| Spawn::new("bench/load").on(CpuMask::single(*cpu))))?;
    load.measure(200_000_000);
    let alone: u64 = load.measure(MEASURED_NS).iter().sum();
    let stop = Arc::new(AtomicBool::new(false));
    let stopping = stop.clone();
    let group = Group::new("bench", None);
    let caller = start(Spawn::new("bench/caller").nice(Nice::MAX).group(&group), move || {
        while !stopping.load(SeqCst) {
            let job = Job::new(Items::new(0)..Items::new(1000)).min_chunk(Items::new(1));
            let _ = job.run(&Kernel, |chunk| {
                for _ in chunk.indices() {
                    (0..10_000).for_each(|_| core::hint::spin_loop());
                }
                Ok::<(), ()>(())
            });
        }
    })?;
    let beside: u64 = load.measure(MEASURED_NS).iter().sum();
    let used = group.usage();
    stop.store(true, SeqCst);
    let lost = alone.saturating_sub(beside) * 1000 / alone.max(1);
    tell("sched/helpers-beside-load/lowest", (cpus.len() as u64, "cpus"), lost, "permille");
    drop(load);
    caller.join();
    if used.cpu_time_ns == 0 {
        return Err("the job did not run at all");
    }

    let load = Load::start(cpus.iter().map(|cpu| Spawn::new("bench/load").on(CpuMask::single(*cpu))))?;
    let rivals = Load::start(cpus.iter().map(|cpu| Spawn::new("bench/rival").on(CpuMask::single(*cpu))))?;
    let beside: u64 = load.measure(MEASURED_NS).iter().sum();
    drop(rivals);
    let lost = alone.saturating_sub(beside) * 1000 / alone.max(1);
    tell("sched/helpers-beside-load/default", (cpus.len() as u64, "cpus"), lost, "permille");
    Ok(())
}

/// Two threads that wake each other in turn.
struct Pair {
    turn: AtomicU64,
    players: [Once<Arc<Thread>>; 2],
}

const PAIRS: usize = 500;
const TURNS: u64 = 1000;

/// A thousand threads in pairs, each blocking and being woken a thousand times.
fn block_wake() -> Result<(), &'static str> {
    // Stacks are kept for reuse: the second round must need nothing that the first did not.
    play(10)?;
    let memory = || (crate::mm::heap::usage().0, crate::mm::stats::free_pages());
    sched::reap_all_exited();
    let before = memory();
    let start_ns = tsc::now_ns();
    let longest = play(TURNS)?;
    let ns = tsc::since_ns(start_ns);
    sched::reap_all_exited();
    let after = memory();
    let count = 2 * PAIRS as u64 * TURNS;
    tell("sched/block-wake/each", (count, "wake-ups"), ns / count, "ns");
    tell("sched/block-wake/longest-queue", (count, "wake-ups"), longest, "threads");
    if longest > 2 * PAIRS as u64 + 8 {
        return Err("a run queue was longer than there are threads");
    }
    if after.0 > before.0 || after.1 != before.1 {
        log::error!("heap bytes and free pages were {before:?} and are {after:?}");
        return Err("memory was lost");
    }
    Ok(())
}

/// Runs all pairs for `turns` turns of each player; returns the longest run queue that was seen.
fn play(turns: u64) -> Result<u64, &'static str> {
    let go = Arc::new(Completion::new());
    let mut handles = Vec::with_capacity(2 * PAIRS);
    let pairs: Vec<_> = (0..PAIRS)
        .map(|_| Arc::new(Pair { turn: AtomicU64::new(0), players: [Once::new(), Once::new()] }))
        .collect();
    for pair in &pairs {
        for player in 0..2 {
            let (pair, go) = (pair.clone(), go.clone());
            handles.push(start(Spawn::new("bench/player"), move || {
                pair.players[player].call_once(sched::current_arc);
                go.wait();
                for turn in 0..turns {
                    let mine = 2 * turn + player as u64;
                    while pair.turn.load(SeqCst) != mine {
                        sched::park(None);
                    }
                    pair.turn.store(mine + 1, SeqCst);
                    if let Some(other) = pair.players[1 - player].get() {
                        sched::unpark(other);
                    }
                }
            })?);
        }
    }
    // All have told who they are: everybody can be woken.
    while pairs.iter().any(|pair| pair.players.iter().any(|player| player.get().is_none())) {
        sched::sleep_ns(1_000_000);
    }
    go.complete();
    let mut longest = 0;
    while pairs.iter().any(|pair| pair.turn.load(SeqCst) < 2 * turns) {
        longest = longest.max(online().into_iter().map(sched::queue_length).max().unwrap_or(0));
        sched::sleep_ns(1_000_000);
    }
    handles.into_iter().for_each(JoinHandle::join);
    Ok(u64::from(longest))
}
