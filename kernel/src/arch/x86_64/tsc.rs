//! Time from the time stamp counter.
//!
//! [`calibrate`](super::calibrate) finds its rate. [`tsc_sync`](super::tsc_sync) makes the counters of all CPUs agree.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};

use timebase::source::Source;
use timebase::{Clock, Rate};

use super::cpu;

/// Rate that the clock assumes until the real rate is known. It is higher than that of any CPU, so the clock does not
/// go back when the real rate is set.
pub const ASSUMED_HZ: u64 = 5_000_000_000;

static HZ: AtomicU64 = AtomicU64::new(ASSUMED_HZ);
/// Factor of the [`Rate`] that [`HZ`] stands for.
static RATE: AtomicU64 = AtomicU64::new(Rate::from_hz(ASSUMED_HZ).factor());
/// Origin of the [`Clock`].
static ORIGIN: AtomicU64 = AtomicU64::new(0);
/// Index into [`Source::ALL`]; at first of its last entry, a guess.
static SOURCE: AtomicU8 = AtomicU8::new(Source::ALL.len() as u8 - 1);
/// Rate of the local APIC timers; at first that of emulated APICs. Never 0.
static APIC_TIMER_HZ: AtomicU64 = AtomicU64::new(1_000_000_000);

#[inline]
fn clock() -> Clock {
    Clock::new(ORIGIN.load(SeqCst), Rate::from_factor(RATE.load(SeqCst)))
}

/// Sets the counter's value at which [`now_ns`] is 0. Called once, before the clock is read.
pub fn set_origin(ticks: u64) {
    ORIGIN.store(ticks, SeqCst);
}

/// Returns the counter's value.
#[inline]
pub fn ticks() -> u64 {
    // SAFETY: the entry code has checked that the CPU has the TSC, and ring 0 may always read it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Returns the counter's value, read after all earlier instructions and before all later ones.
#[inline]
pub fn ticks_in_order() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: as for `ticks`. Without `nomem` the compiler moves no memory access across.
    unsafe {
        core::arch::asm!("lfence", "rdtsc", "lfence", out("eax") low, out("edx") high, options(nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Returns the counter's rate, or [`ASSUMED_HZ`] until it is known.
pub fn hz() -> u64 {
    HZ.load(SeqCst)
}

/// Returns the source of the rate, in one word: `cpuid-15`, `hypervisor`, `kvm-clock`, `pm-timer`, `hpet`, `pit`,
/// `cpuid-16` or `guess`.
pub fn clock_source() -> &'static str {
    Source::ALL[usize::from(SOURCE.load(SeqCst))].word()
}

/// Whether CPUID says that the TSC is invariant: its rate is the same at all frequencies and in all sleep states of the
/// CPU.
pub fn is_invariant() -> bool {
    cpu::cpuid(0x8000_0007, 0).d & 1 << 8 != 0
}

/// Returns the nanoseconds since kernel entry.
#[inline]
pub fn now_ns() -> u64 {
    ns_at(ticks())
}

/// Returns the nanoseconds since `start_ns`, a value of [`now_ns`] that may come from another CPU; 0 if this CPU's clock is
/// behind it.
#[inline]
pub fn since_ns(start_ns: u64) -> u64 {
    now_ns().saturating_sub(start_ns)
}

/// Returns the value of [`now_ns`] when the counter is at `ticks`; 0 before kernel entry.
#[inline]
pub fn ns_at(ticks: u64) -> u64 {
    clock().ns_at(ticks)
}

/// Converts a difference of counter values to nanoseconds.
#[inline]
pub fn ticks_to_ns(ticks: u64) -> u64 {
    Rate::from_factor(RATE.load(SeqCst)).to_ns(ticks)
}

/// Returns the counter's value at which [`now_ns`] first reaches `deadline_ns`; `u64::MAX` if it is too far away.
pub fn ns_to_ticks(deadline_ns: u64) -> u64 {
    clock().tick_at(deadline_ns)
}

/// Converts `ns` to local APIC timer ticks, at least 1 and at most the timer's highest value.
pub fn ns_to_apic_ticks(ns: u64) -> u32 {
    let ticks = u128::from(ns) * u128::from(APIC_TIMER_HZ.load(SeqCst)) / 1_000_000_000;
    ticks.clamp(1, u128::from(u32::MAX)) as u32
}

/// Sets the counter's rate for all CPUs. Called while the boot CPU is alone (invariant 17), with interrupts off: no code
/// reads the clock between the stores.
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
