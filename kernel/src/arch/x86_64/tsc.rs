//! Time from the time stamp counter.
//!
//! The counter's rate comes from CPUID where CPUID tells it, else from a short
//! comparison with a timer of known rate: the ACPI PM timer, the HPET, or the
//! PIT that every PC has. The local APIC's timer is measured along with it.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

use timebase::Rate;
use x86_64::instructions::port::Port;

use super::{apic, cpu, pvh};

/// Until the rate is known, time is told as if it were this: above what CPUs
/// have, so that time never goes back when the real rate comes.
const ASSUMED_HZ: u64 = 5_000_000_000;
/// How long the comparison with a reference timer takes.
const WINDOW_NS: u64 = 4_000_000;

static HZ: AtomicU64 = AtomicU64::new(ASSUMED_HZ);
/// The same as a [`Rate`].
static RATE: AtomicU64 = AtomicU64::new(Rate::from_hz(ASSUMED_HZ).factor());
/// Until measured, what emulated APICs have.
static APIC_TIMER_HZ: AtomicU64 = AtomicU64::new(1_000_000_000);

#[inline]
fn rate() -> Rate {
    Rate::from_factor(RATE.load(SeqCst))
}

/// The counter's value.
#[inline]
pub fn ticks() -> u64 {
    // SAFETY: every 64-bit CPU has rdtsc, and CR4.TSD is clear.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// The counter's rate, as far as known.
pub fn hz() -> u64 {
    HZ.load(SeqCst)
}

/// Nanoseconds since kernel entry.
#[inline]
pub fn now_ns() -> u64 {
    ticks_to_ns(ticks().wrapping_sub(pvh::entry_tsc()))
}

/// Converts a difference of counter values to nanoseconds.
#[inline]
pub fn ticks_to_ns(ticks: u64) -> u64 {
    rate().to_ns(ticks)
}

/// The counter's value when the clock of [`now_ns`] first says `deadline_ns`; `u64::MAX` for one too far away.
pub fn ns_to_ticks(deadline_ns: u64) -> u64 {
    pvh::entry_tsc().saturating_add(rate().first_tick_at(deadline_ns))
}

/// Local APIC timer ticks in `ns`, at least 1 and at most what the timer holds.
pub fn ns_to_apic_ticks(ns: u64) -> u32 {
    let ticks = u128::from(ns) * u128::from(APIC_TIMER_HZ.load(SeqCst)) / 1_000_000_000;
    ticks.clamp(1, u128::from(u32::MAX)) as u32
}

/// A free-running counter of known rate.
pub trait Reference {
    /// What to call it in the log.
    fn name(&self) -> &'static str;
    /// Counts per second.
    fn hz(&self) -> u64;
    /// The count's highest value; it wraps to 0 after that.
    fn mask(&self) -> u64;
    /// The count now.
    fn read(&mut self) -> u64;
}

/// The ACPI power management timer.
pub struct PmTimer {
    /// Its I/O port, from the FADT.
    pub port: u16,
    /// Whether it counts 32 bits, not 24.
    pub is_32_bit: bool,
}

impl Reference for PmTimer {
    fn name(&self) -> &'static str {
        "ACPI PM timer"
    }
    fn hz(&self) -> u64 {
        3_579_545
    }
    fn mask(&self) -> u64 {
        if self.is_32_bit { 0xffff_ffff } else { 0x00ff_ffff }
    }
    fn read(&mut self) -> u64 {
        // SAFETY: the FADT names the port as the PM timer, which is read-only.
        u64::from(unsafe { Port::<u32>::new(self.port).read() }) & self.mask()
    }
}

/// The high precision event timer's main counter.
pub struct Hpet {
    base: u64,
    hz: u64,
}

impl Hpet {
    const CAPABILITIES: u64 = 0x00;
    const CONFIGURATION: u64 = 0x10;
    const MAIN_COUNTER: u64 = 0xf0;

    /// Takes the HPET mapped at virtual address `base` into use; `None` when
    /// its period is nonsense.
    ///
    /// # Safety
    /// `base` maps an HPET register block, uncached.
    pub unsafe fn new(base: u64) -> Option<Self> {
        // SAFETY: by the caller's promise these are HPET registers; setting bit 0 lets the counter run.
        unsafe {
            let period_fs = ((base + Self::CAPABILITIES) as *const u64).read_volatile() >> 32;
            let configuration = (base + Self::CONFIGURATION) as *mut u64;
            configuration.write_volatile(configuration.read_volatile() | 1);
            // The specification's most is 100 ns.
            (1..=100_000_000)
                .contains(&period_fs)
                .then(|| Self { base, hz: 1_000_000_000_000_000 / period_fs })
        }
    }
}

impl Reference for Hpet {
    fn name(&self) -> &'static str {
        "HPET"
    }
    fn hz(&self) -> u64 {
        self.hz
    }
    fn mask(&self) -> u64 {
        0xffff_ffff
    }
    fn read(&mut self) -> u64 {
        // SAFETY: `new` was promised the mapping; the low half is always there.
        u64::from(unsafe { ((self.base + Self::MAIN_COUNTER) as *const u32).read_volatile() })
    }
}

/// Channel 2 of the programmable interval timer, which drives no interrupt.
pub struct Pit;

impl Pit {
    const CHANNEL_2: u16 = 0x42;
    const COMMAND: u16 = 0x43;
    const SPEAKER: u16 = 0x61;

    /// Starts the channel, counting down from 65536 over and over.
    pub fn start() -> Self {
        // SAFETY: the PIT's ports on every PC, driven by nothing else (invariant 16). Gate on, speaker off.
        unsafe {
            let mut speaker = Port::<u8>::new(Self::SPEAKER);
            let value = speaker.read();
            speaker.write(value & !0b10 | 0b01);
            Port::<u8>::new(Self::COMMAND).write(0b1011_0100);
            Port::<u8>::new(Self::CHANNEL_2).write(0);
            Port::<u8>::new(Self::CHANNEL_2).write(0);
        }
        Self
    }
}

impl Reference for Pit {
    fn name(&self) -> &'static str {
        "PIT"
    }
    fn hz(&self) -> u64 {
        1_193_182
    }
    fn mask(&self) -> u64 {
        0xffff
    }
    fn read(&mut self) -> u64 {
        // SAFETY: as in `start`; the latch command freezes the count for two reads.
        let down = unsafe {
            Port::<u8>::new(Self::COMMAND).write(0b1000_0000);
            let low = Port::<u8>::new(Self::CHANNEL_2).read();
            u16::from_le_bytes([low, Port::<u8>::new(Self::CHANNEL_2).read()])
        };
        u64::from(down.wrapping_neg())
    }
}

/// The counter's rate where CPUID tells it, and which leaf did.
pub fn hz_from_cpuid() -> Option<(u64, &'static str)> {
    let ratio = cpu::cpuid(0x15, 0);
    if ratio.a != 0 && ratio.b != 0 && ratio.c != 0 {
        return Some((u64::from(ratio.c) * u64::from(ratio.b) / u64::from(ratio.a), "CPUID leaf 0x15"));
    }
    let timing = cpu::cpuid(0x4000_0010, 0);
    (timing.a != 0).then(|| (u64::from(timing.a) * 1000, "hypervisor leaf 0x40000010"))
}

/// The three clocks at one moment.
#[derive(Clone, Copy)]
struct Reading {
    tsc: u64,
    apic_ticks: u32,
    count: u64,
}

impl Reading {
    /// Reads all three, taking the narrowest gap of a few tries: a vCPU may
    /// lose its core in between.
    fn take(reference: &mut dyn Reference) -> Self {
        let attempts = (0..8).map(|_| Self::take_once(reference));
        attempts.min_by_key(|(gap, _)| *gap).expect("eight tries are not none").1
    }

    /// One code for all readings: emulators are slow when they see code for the
    /// first time.
    #[inline(never)]
    fn take_once(reference: &mut dyn Reference) -> (u64, Self) {
        let before = ticks();
        let count = reference.read();
        let apic_ticks = apic::local().measured_timer_ticks();
        let gap = ticks() - before;
        (gap, Self { tsc: before + gap / 2, apic_ticks, count })
    }
}

/// What [`calibrate`] found.
#[derive(Debug, Clone, Copy)]
pub struct Calibration {
    /// TSC ticks per second.
    pub tsc_hz: u64,
    /// Local APIC timer ticks per second.
    pub apic_timer_hz: u64,
    /// Where the TSC's rate came from.
    pub source: &'static str,
}

/// Finds the rates of the TSC and of this CPU's APIC timer, and sets them for
/// [`now_ns`] and [`ns_to_apic_ticks`]. Takes about 4 ms. `None` when the
/// reference does not count; the TSC's assumed rate then stays.
pub fn calibrate(reference: &mut dyn Reference) -> Option<Calibration> {
    let local = apic::local();
    local.start_timer_for_measurement();
    let start = Reading::take(reference);
    let window_counts = reference.hz() * WINDOW_NS / 1_000_000_000;
    // A reference that stands still must not hold the boot: four windows of the fastest TSC, and enough.
    let give_up = start.tsc + ASSUMED_HZ / 1_000_000_000 * WINDOW_NS * 4;
    let mask = reference.mask();
    while reference.read().wrapping_sub(start.count) & mask < window_counts && ticks() < give_up {}
    let end = Reading::take(reference);
    local.stop_timer_for_measurement();

    let counts = end.count.wrapping_sub(start.count) & reference.mask();
    if counts < window_counts / 2 {
        return None;
    }
    let per_second =
        |ticks: u64| (u128::from(ticks) * u128::from(reference.hz()) / u128::from(counts)) as u64;
    let measured = (per_second(end.tsc - start.tsc), reference.name());
    let (tsc_hz, source) = hz_from_cpuid().unwrap_or(measured);
    let apic_timer_hz = per_second(u64::from(end.apic_ticks - start.apic_ticks));
    set_rates(tsc_hz, apic_timer_hz);
    Some(Calibration { tsc_hz, apic_timer_hz, source })
}

fn set_rates(tsc_hz: u64, apic_timer_hz: u64) {
    // Each value alone is right at any time; nobody needs both at once.
    HZ.store(tsc_hz, SeqCst);
    RATE.store(Rate::from_hz(tsc_hz).factor(), SeqCst);
    APIC_TIMER_HZ.store(apic_timer_hz, SeqCst);
}
