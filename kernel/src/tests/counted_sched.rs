//! The cost of switches in instructions, where time is counted in them: see [`super::counted`]. A separate suite, for a
//! separate boot: a thousand threads leave memory more fragmented than before.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

use runqueue::{Nice, SLICE_NS};

use super::pools::{must, unbound};
use super::spinners::work;
use super::wait::within_20_s;
use crate::arch::tsc;
use crate::bench::sched::ticks_per_switch;
use crate::bench::threads::{Stop, Threads};
use crate::debug::counted_time::ticks_per_thousand;
use crate::debug::ktest::Stopped;
use crate::sched::pool::{self, WorkAttrs};
use crate::sched::{self, JoinHandle, Spawn};
use crate::{check, kernel_tests};

/// Returns the instructions of one switch among `threads` threads, where a thousand instructions take `ticks`.
fn switch_among(threads: usize, ticks: u64) -> Result<u64, Stopped> {
    match ticks_per_switch(threads, 20_000) {
        Ok(cost) => Ok(cost * 1000 / ticks),
        Err(why) => Err(Stopped::Failed(why.into())),
    }
}

/// Threads of default weight that spin until they are told to stop. All have run.
fn start_loads(stop: &Arc<AtomicBool>) -> Result<Vec<JoinHandle>, Stopped> {
    const LOADS: usize = 5;
    let mut loads = Vec::new();
    for _ in 0..LOADS {
        let stop = stop.clone();
        let load = sched::spawn("test/load", move || {
            while !stop.load(SeqCst) {
                work();
            }
        });
        loads.push(load.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?);
    }
    let have_run = || loads.iter().all(|load| load.thread().cpu_time_ns() > 0);
    check!(within_20_s(have_run), "a load does not run");
    Ok(loads)
}

/// Returns the time from when a thread of the heaviest level submits an item with `attrs` and waits for it, to when the item
/// begins.
fn time_to_begin(attrs: WorkAttrs) -> Result<u64, Stopped> {
    let pool = unbound()?;
    let delay_ns = Arc::new(AtomicU64::new(u64::MAX));
    let slot = delay_ns.clone();
    let heavy = Spawn::new("test/heavy").nice(Nice::MIN).start(move || {
        let start_ns = tsc::now_ns();
        let begin = move || slot.store(tsc::now_ns() - start_ns, SeqCst);
        if let Ok((item, generation)) = pool::submit_fn(pool, attrs, begin) {
            pool::wait(&item, generation);
        }
    });
    heavy.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?.join();
    Ok(delay_ns.load(SeqCst))
}

kernel_tests! { "counted_sched":
    /// The only CPU's worker runs a light item, so a heavy one needs a new worker. The level of the item counts from the start
    /// of that worker on: threads of default weight do not delay it.
    fn a_heavy_item_begins_within_a_slice_beside_a_light_one() needs(CountedTime, MostCpus(1), Release) {
        let (stop, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (is_stopped, has_begun) = (stop.clone(), begun.clone());
        let (light, generation) = must(pool::submit_fn(unbound()?, WorkAttrs::new().nice(Nice::MAX), move || {
            has_begun.store(true, SeqCst);
            while !is_stopped.load(SeqCst) {
                work();
            }
        }))?;
        let is_busy = within_20_s(|| begun.load(SeqCst));
        let loads = start_loads(&stop);
        let delay_ns = time_to_begin(WorkAttrs::new().nice(Nice::MAX).queued_at(Nice::MIN));
        stop.store(true, SeqCst);
        pool::wait(&light, generation);
        loads?.into_iter().for_each(JoinHandle::join);
        let delay_ns = delay_ns?;
        log::info!("a heavy item begins {delay_ns} ns after its submission, beside a light one");
        check!(is_busy && delay_ns <= SLICE_NS, "{delay_ns} ns");
    }

    /// The worker that is called has just run, so several loads of default weight come before it. A thread of the heaviest level
    /// that waits for the item gives the worker its weight.
    fn a_worker_that_comes_is_hastened() needs(CountedTime, MostCpus(1), Release) {
        const USED_NS: u64 = 300_000;
        let pool = unbound()?;
        let stop = Arc::new(AtomicBool::new(false));
        let loads = start_loads(&stop);
        let (item, generation) = must(pool::submit_fn(pool, WorkAttrs::new().nice(Nice::MAX), || {
            let start_ns = sched::current().cpu_time_ns();
            while sched::current().cpu_time_ns() - start_ns < USED_NS {
                work();
            }
        }))?;
        // Not for the item itself, which would run with the weight of this thread.
        let has_run = within_20_s(|| pool.workers().0 == pool.workers().1);
        let delay_ns = time_to_begin(WorkAttrs::new().nice(Nice::MAX));
        stop.store(true, SeqCst);
        pool::wait(&item, generation);
        loads?.into_iter().for_each(JoinHandle::join);
        let delay_ns = delay_ns?;
        log::info!("a light item begins {delay_ns} ns after its submission, if a heavy thread waits");
        check!(has_run && delay_ns <= SLICE_NS, "{delay_ns} ns");
    }

    /// No thread of equal weight waits longer than the slices of the others.
    fn a_thread_waits_at_most_the_slices_of_the_others() needs(CountedTime, MostCpus(1), Release) {
        const THREADS: u64 = 5;
        /// Time for switches, timer interrupts and this thread, which sleeps.
        const AROUND_NS: u64 = 500_000;
        let longest = Arc::new(AtomicU64::new(0));
        let mut threads = Threads::with_capacity(THREADS as usize);
        for _ in 0..THREADS {
            let longest = longest.clone();
            let spin = move |stop: Stop| {
                let mut last_ns = tsc::now_ns();
                while !stop.is_set() {
                    let now_ns = tsc::now_ns();
                    longest.fetch_max(now_ns - last_ns, SeqCst);
                    last_ns = now_ns;
                }
            };
            let started = threads.start(Spawn::new("test/patient"), spin);
            started.map_err(|error| Stopped::Failed(alloc::format!("{error}")))?;
        }
        sched::sleep_ns(400_000_000);
        drop(threads);
        let (longest_ns, most_ns) = (longest.load(SeqCst), (THREADS - 1) * SLICE_NS + AROUND_NS);
        log::info!("the longest wait of {THREADS} threads: {longest_ns} ns");
        check!(longest_ns <= most_ns, "{longest_ns} ns, should be at most {most_ns}");
        check!(longest_ns >= SLICE_NS, "{longest_ns} ns, should be at least a slice");
    }

    /// One way: all from the call in one thread to the return of the call in the other, and the loop around it.
    fn a_switch_costs_at_most_250_instructions() needs(CountedTime, MostCpus(1), Release) {
        let ticks = ticks_per_thousand();
        let instructions = switch_among(2, ticks)?;
        log::info!("a switch between two threads: {instructions} instructions");
        check!(instructions <= 250, "{instructions} instructions");
    }

    /// Each step to four times the threads adds as much as the step before: the cost grows no faster than the logarithm.
    fn a_switch_among_many_costs_the_logarithm() needs(CountedTime, MostCpus(1), Release) {
        let ticks = ticks_per_thousand();
        let mut costs = Vec::new();
        for threads in [4, 16, 64, 256, 1024] {
            costs.push(switch_among(threads, ticks)?);
        }
        log::info!("a switch among 4, 16, 64, 256, 1024 threads: {costs:?} instructions");
        let steps: Vec<u64> = costs.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        for step in &steps {
            check!(*step <= steps[0] + steps[0] / 5, "the steps are {steps:?} instructions");
        }
        check!(costs[4] <= 1500, "{} instructions among 1024 threads", costs[4]);
    }
}
