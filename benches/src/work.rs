//! Work of known cost.

use std::hint::black_box;
use std::time::Instant;

/// Work of about a nanosecond per step, which no memory limits.
pub fn spin(steps: u64) -> u64 {
    (0..steps).fold(1, |x, step| black_box(x ^ step))
}

/// Steps of [`spin`] that take a microsecond on this machine now: the fastest of many tries.
pub fn steps_per_us() -> u64 {
    const STEPS: u64 = 100_000;
    let fastest_ns = (0..100).map(|_| {
        let started = Instant::now();
        black_box(spin(STEPS));
        started.elapsed().as_nanos() as u64
    });
    STEPS * 1000 / fastest_ns.min().unwrap_or(1).max(1)
}

/// A sum that the optimiser cannot shorten: each item costs about a nanosecond.
pub fn tiny(item: u64) -> u64 {
    (item ^ (item >> 7)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
