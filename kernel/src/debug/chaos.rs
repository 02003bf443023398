//! Control of chaos: `chaos.seed` begins it when all CPUs run, `chaos.seeds` repeats the tests of a run with the seeds that
//! follow. [`arch::chaos`](crate::arch::chaos) has the switch points.

use core::fmt;

use params::registry::CHAOS_SEED;

#[cfg(debug_assertions)]
use params::registry::CHAOS_SEEDS;

#[cfg(debug_assertions)]
use crate::arch::chaos;
use crate::console::print_line;
#[cfg(debug_assertions)]
use crate::sched;

/// Begins chaos if `chaos.seed` says so.
pub fn start_at_boot() {
    let Some(seed) = CHAOS_SEED.get() else { return };
    #[cfg(debug_assertions)]
    {
        chaos::install_preemption(sched::preempt_by_chaos);
        reseed(seed);
    }
    #[cfg(not(debug_assertions))]
    crate::console::warning(format_args!(
        "chaos.seed={seed}: this kernel has no switch points; only profile kernel-debug has them"
    ));
}

/// Returns how often a run repeats its tests.
pub fn rounds() -> u64 {
    #[cfg(debug_assertions)]
    if CHAOS_SEED.get().is_some() {
        return CHAOS_SEEDS.get();
    }
    1
}

/// Begins round number `round`, from 0, with its seed. Round 0 continues the sequence that the boot has begun.
pub fn begin_round(round: u64) {
    #[cfg(debug_assertions)]
    if let Some(first) = CHAOS_SEED.get().filter(|_| round > 0) {
        print_seed();
        reseed(first + round);
    }
    #[cfg(not(debug_assertions))]
    let _ = round;
}

/// Runs `work` under chaos with `seed`, if there is one. For tests, in runs without `chaos.seed`.
pub fn under<R>(seed: Option<u32>, work: impl FnOnce() -> R) -> R {
    #[cfg(debug_assertions)]
    if let Some(seed) = seed {
        chaos::install_preemption(sched::preempt_by_chaos);
        chaos::reseed(seed);
    }
    #[cfg(not(debug_assertions))]
    let _ = seed;
    let result = work();
    #[cfg(debug_assertions)]
    chaos::stop();
    result
}

/// Ends chaos; prints the last seed and the digest of its decisions.
pub fn finish() {
    #[cfg(debug_assertions)]
    if chaos::is_on() {
        chaos::stop();
        print_seed();
    }
}

/// Prints the last seed and the digest of its decisions, if there was one. Takes no lock but the port's: the panic path calls it.
pub fn print_seed() {
    describe_seed(print_line);
}

/// Calls `print` with the last seed and the digest of its decisions, if there was one.
pub fn describe_seed(mut print: impl FnMut(fmt::Arguments<'_>)) {
    #[cfg(debug_assertions)]
    if let Some((seed, digest)) = chaos::report() {
        print(format_args!("chaos.seed={seed}: {digest}"));
    }
    #[cfg(not(debug_assertions))]
    let _ = &mut print;
}

#[cfg(debug_assertions)]
fn reseed(seed: u64) {
    // Seeds have 32 bits; the one after the last is 0.
    chaos::reseed(seed as u32);
}
