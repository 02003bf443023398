//! What things cost in instructions. Only where time is counted: with QEMU's
//! `-icount shift=0` every instruction takes the same time, so that the time
//! stamp counter tells how many there were, the same number in every run.

use alloc::vec::Vec;
use core::arch::asm;

use crate::arch::irq::IrqGuard;
use crate::arch::tsc;
use crate::bench::sched::ticks_per_switch;
use crate::debug::ktest::Stopped;
use crate::mm::{page_cache, pages};
use crate::{check, kernel_tests, skip_if};

/// Ticks that a loop of `2 * rounds` instructions takes, and a bit.
fn ticks_of_loop(rounds: u64) -> u64 {
    let start = tsc::ticks();
    // SAFETY: counts a register down to zero; touches no memory.
    unsafe { asm!("2:", "dec {}", "jnz 2b", inout(reg) rounds => _, options(nostack, nomem)) };
    tsc::ticks() - start
}

/// Ticks for 1000 instructions, if all take the same time.
fn ticks_per_thousand() -> Option<u64> {
    let _irq = IrqGuard::new();
    ticks_of_loop(1000);
    let read = || [10_000, 20_000, 40_000].map(ticks_of_loop);
    let [short, middle, long] = read();
    // The same again and again, to the tick: that is never so where time goes by.
    if (0..4).any(|_| read() != [short, middle, long]) {
        return None;
    }
    // Twice as many more take twice as much longer, but for a hundred instructions around.
    let (first, second) = (middle.saturating_sub(short), long.saturating_sub(middle));
    let is_counted = second.abs_diff(2 * first) <= first / 200;
    is_counted.then_some(first / 20)
}

/// Instructions of `work`, on average over many times; those of the loop
/// around it are taken off.
fn instructions_of(ticks_per_thousand: u64, work: fn()) -> u64 {
    const TIMES: u64 = 1000;
    // With interrupts on, as where it is used: nothing else runs, so none comes but a timer's.
    let ticks_of = |work: fn()| {
        let work = core::hint::black_box(work);
        work();
        let start = tsc::ticks();
        (0..TIMES).for_each(|_| work());
        tsc::ticks() - start
    };
    (ticks_of(work) - ticks_of(|| ())) * 1000 / TIMES / ticks_per_thousand
}

/// Instructions of one switch among `threads` threads, where a thousand take `ticks`.
fn switch_among(threads: usize, ticks: u64) -> Result<u64, Stopped> {
    match ticks_per_switch(threads, 20_000) {
        Ok(cost) => Ok(cost * 1000 / ticks),
        Err(why) => Err(Stopped::Failed(why.into())),
    }
}

kernel_tests! { "counted":
    fn a_page_from_the_cache_costs_at_most_60_instructions() {
        let ticks = ticks_per_thousand();
        skip_if!(ticks.is_none_or(|ticks| ticks == 0), "time is not counted here");
        let ticks = ticks.unwrap_or(1);
        let cpu = crate::arch::percpu::this_cpu().id().index();
        if let Some(page) = pages::alloc(0) {
            pages::free(page, 0);
        }
        let before = page_cache::stats(cpu);
        let pair = instructions_of(ticks, || {
            if let Some(page) = pages::alloc(0) {
                pages::free(page, 0);
            }
        });
        let after = page_cache::stats(cpu);
        log::info!("page alloc and free from the cache: {pair} instructions");
        check!(after == before, "the zone was asked");
        check!(pair <= 60, "{pair} instructions");
    }

    /// One way, everything from the call in one thread to the return of the call in the other, and the loop around it.
    fn a_switch_costs_at_most_250_instructions() {
        let ticks = ticks_per_thousand();
        skip_if!(ticks.is_none_or(|ticks| ticks == 0), "time is not counted here");
        let instructions = switch_among(2, ticks.unwrap_or(1))?;
        log::info!("a switch between two threads: {instructions} instructions");
        check!(instructions <= 250, "{instructions} instructions");
    }

    /// Each fourfold number of threads adds as much as the one before: no faster than the logarithm, that is.
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
