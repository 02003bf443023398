//! Finds out whether time counts instructions. With QEMU's `-icount shift=0` and in Bochs every instruction takes the same
//! time: then tests measure costs in instructions and shares of time exactly, in every run.

use core::arch::asm;

use spin::Once;

use crate::arch::irq::IrqGuard;
use crate::arch::tsc;

/// Readings of the loop. On a machine with several CPUs the emulator now and then executes another one meanwhile: most of
/// the readings are without.
const READINGS: usize = 9;

/// Returns whether time counts instructions, on any number of CPUs.
pub fn is_counted() -> bool {
    ticks_of_thousand().is_some()
}

/// Returns the ticks of the time stamp counter for 1000 instructions; 1 where time does not count instructions.
pub fn ticks_per_thousand() -> u64 {
    ticks_of_thousand().unwrap_or(1)
}

fn ticks_of_thousand() -> Option<u64> {
    static TICKS: Once<Option<u64>> = Once::new();
    *TICKS.call_once(measure)
}

/// Returns the ticks of a loop of `2 * rounds` instructions, and a few more.
fn ticks_of_loop(rounds: u64) -> u64 {
    let start = tsc::ticks();
    // SAFETY: counts a register down to zero; touches no memory.
    unsafe { asm!("2:", "dec {}", "jnz 2b", inout(reg) rounds => _, options(nostack, nomem)) };
    tsc::ticks() - start
}

fn measure() -> Option<u64> {
    let _irq = IrqGuard::new();
    ticks_of_loop(1000);
    let mut readings: [[u64; 3]; READINGS] =
        core::array::from_fn(|_| [10_000, 20_000, 40_000].map(ticks_of_loop));
    readings.sort_unstable();
    // The same number of ticks in most readings: never so on a real clock.
    let [short, middle, long] = readings[0];
    if readings[READINGS / 2] != readings[0] {
        return None;
    }
    // Linear in the length of the loop, but for a hundred instructions around it.
    let (first, second) = (middle.saturating_sub(short), long.saturating_sub(middle));
    let is_linear = second.abs_diff(2 * first) <= first / 200;
    Some(first / 20).filter(|ticks| is_linear && *ticks > 0)
}
