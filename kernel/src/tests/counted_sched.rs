//! What switching costs in instructions, where time is counted in them: see [`super::counted`]. A suite of its own,
//! for a boot of its own: a thousand threads leave memory in other pieces than they found it.

use alloc::vec::Vec;

use super::counted::ticks_per_thousand;
use crate::bench::sched::ticks_per_switch;
use crate::debug::ktest::Stopped;
use crate::{check, kernel_tests, skip_if};

/// Instructions of one switch among `threads` threads, where a thousand take `ticks`.
fn switch_among(threads: usize, ticks: u64) -> Result<u64, Stopped> {
    match ticks_per_switch(threads, 20_000) {
        Ok(cost) => Ok(cost * 1000 / ticks),
        Err(why) => Err(Stopped::Failed(why.into())),
    }
}

kernel_tests! { "counted_sched":
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
