//! Time from the time stamp counter.
//!
//! [`calibrate`](super::calibrate) finds its rate. [`tsc_sync`](super::tsc_sync) makes the counters of all CPUs agree.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};

use timebase::source::Source;
use timebase::{Clock, Rate};

use super::cpu;

/// Until the rate is known, time is told as if it were this: above what CPUs
/// have, so that time does not jump when the real rate comes.
pub const ASSUMED_HZ: u64 = 5_000_000_000;

static HZ: AtomicU64 = AtomicU64::new(ASSUMED_HZ);
/// The same as a [`Rate`].
static RATE: AtomicU64 = AtomicU64::new(Rate::from_hz(ASSUMED_HZ).factor());
/// Of the [`Clock`].
static ORIGIN: AtomicU64 = AtomicU64::new(0);
/// Index into [`Source::ALL`]; at first the last one, a guess.
static SOURCE: AtomicU8 = AtomicU8::new(Source::ALL.len() as u8 - 1);
/// Until measured, what emulated APICs have. Never 0.
static APIC_TIMER_HZ: AtomicU64 = AtomicU64::new(1_000_000_000);

#[inline]
fn clock() -> Clock {
    Clock::new(ORIGIN.load(SeqCst), Rate::from_factor(RATE.load(SeqCst)))
}

/// Sets the counter's value at which [`now_ns`] says 0. First of all, once.
pub fn set_origin(ticks: u64) {
    ORIGIN.store(ticks, SeqCst);
}

/// The counter's value.
#[inline]
pub fn ticks() -> u64 {
    // SAFETY: every 64-bit CPU has rdtsc, and CR4.TSD is clear.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The counter's value after all that comes before in the program, and before all that comes after.
#[inline]
pub fn ticks_in_order() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: as for `ticks`. No `nomem`: the compiler moves no access to memory across.
    unsafe {
        core::arch::asm!("lfence", "rdtsc", "lfence", out("eax") low, out("edx") high, options(nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// The counter's rate, as far as known.
pub fn hz() -> u64 {
    HZ.load(SeqCst)
}

/// Where the rate comes from, in one word: `cpuid-15`, `hypervisor`, `kvm-clock`, `pm-timer`, `hpet`, `pit`, `cpuid-16` or
/// `guess`.
pub fn clock_source() -> &'static str {
    Source::ALL[usize::from(SOURCE.load(SeqCst))].word()
}

/// Whether CPUID says that the counter's rate never changes, nor stops, with the CPU's frequency and sleep states.
pub fn is_invariant() -> bool {
    cpu::cpuid(0x8000_0007, 0).d & 1 << 8 != 0
}

/// Nanoseconds since kernel entry.
#[inline]
pub fn now_ns() -> u64 {
    ns_at(ticks())
}

/// Nanoseconds since [`now_ns`] said `start_ns`; 0 if this CPU's clock is not there yet. For what may have begun on another
/// CPU.
#[inline]
pub fn since_ns(start_ns: u64) -> u64 {
    now_ns().saturating_sub(start_ns)
}

/// What [`now_ns`] says when the counter stands at `ticks`; 0 before kernel entry.
#[inline]
pub fn ns_at(ticks: u64) -> u64 {
    clock().ns_at(ticks)
}

/// Converts a difference of counter values to nanoseconds.
#[inline]
pub fn ticks_to_ns(ticks: u64) -> u64 {
    Rate::from_factor(RATE.load(SeqCst)).to_ns(ticks)
}

/// The counter's value when the clock of [`now_ns`] first says `deadline_ns`; `u64::MAX` for one too far away.
pub fn ns_to_ticks(deadline_ns: u64) -> u64 {
    clock().tick_at(deadline_ns)
}

/// Local APIC timer ticks in `ns`, at least 1 and at most what the timer holds.
pub fn ns_to_apic_ticks(ns: u64) -> u32 {
    let ticks = u128::from(ns) * u128::from(APIC_TIMER_HZ.load(SeqCst)) / 1_000_000_000;
    ticks.clamp(1, u128::from(u32::MAX)) as u32
}

/// Sets the counter's rate for all CPUs. While the boot CPU is alone (invariant 17), with interrupts off: nobody reads the
/// clock in between.
pub fn set_rate(hz: u64, source: Source) {
    let clock = clock().with_rate(Rate::from_hz(hz), ticks());
    HZ.store(hz, SeqCst);
    RATE.store(Rate::from_hz(hz).factor(), SeqCst);
    ORIGIN.store(clock.origin(), SeqCst);
    let index = Source::ALL.iter().position(|other| *other == source);
    SOURCE.store(index.expect("every source is in the list") as u8, SeqCst);
}

/// Sets the rate of all CPUs' local APIC timers.
pub fn set_apic_timer_hz(hz: u64) {
    APIC_TIMER_HZ.store(hz.max(1), SeqCst);
}
