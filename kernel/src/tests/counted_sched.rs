//! The cost of switches in instructions, where time is counted in them: see [`super::counted`]. A separate suite, for a
//! separate boot: a thousand threads leave memory more fragmented than before.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use runqueue::SLICE_NS;

use super::counted::ticks_per_thousand;
use crate::arch::tsc;
use crate::bench::sched::ticks_per_switch;
use crate::bench::threads::{Stop, Threads};
use crate::debug::ktest::Stopped;
use crate::sched::{self, Spawn};
use crate::{check, kernel_tests, skip_if};

/// Returns the instructions of one switch among `threads` threads, where a thousand instructions take `ticks`.
fn switch_among(threads: usize, ticks: u64) -> Result<u64, Stopped> {
    match ticks_per_switch(threads, 20_000) {
        Ok(cost) => Ok(cost * 1000 / ticks),
        Err(why) => Err(Stopped::Failed(why.into())),
    }
}

kernel_tests! { "counted_sched":
    /// No thread of equal weight waits longer than the slices of the others.
    fn a_thread_waits_at_most_the_slices_of_the_others() {
        const THREADS: u64 = 5;
        /// Time for switches, timer interrupts and this thread, which sleeps.
        const AROUND_NS: u64 = 500_000;
        skip_if!(ticks_per_thousand().is_none_or(|ticks| ticks == 0), "time is not counted here");
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
    fn a_switch_costs_at_most_250_instructions() {
        let ticks = ticks_per_thousand();
        skip_if!(ticks.is_none_or(|ticks| ticks == 0), "time is not counted here");
        let instructions = switch_among(2, ticks.unwrap_or(1))?;
        log::info!("a switch between two threads: {instructions} instructions");
        check!(instructions <= 250, "{instructions} instructions");
    }

    /// Each step to four times the threads adds as much as the step before: the cost grows no faster than the logarithm.
    fn a_switch_among_many_costs_the_logarithm() {
        let ticks = ticks_per_thousand();
        skip_if!(ticks.is_none_or(|ticks| ticks == 0), "time is not counted here");
        let mut costs = Vec::new();
        for threads in [4, 16, 64, 256, 1024] {
            costs.push(switch_among(threads, ticks.unwrap_or(1))?);
        }
        log::info!("a switch among 4, 16, 64, 256, 1024 threads: {costs:?} instructions");
        let steps: Vec<u64> = costs.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        for step in &steps {
            check!(*step <= steps[0] + steps[0] / 5, "the steps are {steps:?} instructions");
        }
        check!(costs[4] <= 1500, "{} instructions among 1024 threads", costs[4]);
    }
}
