//! The rates of the TSC and of the local APIC's timer: what CPUID and hypervisors tell of them, and what is measured.
//!
//! Mechanism: `timebase` decides what the numbers mean.

use core::arch::x86_64::__cpuid_count;
use core::cell::UnsafeCell;

use timebase::source::Known;
use timebase::source::Source::{Cpuid15, Hypervisor, KvmClock};
use timebase::told::{self, CrystalLeaf, KVM_CLOCK_BYTES};
use timebase::windows::{MOST_WINDOWS, Measured, Window, judge};
use x86_64::registers::model_specific::Msr;

use super::apic::{self, LocalApic};
use super::cpu::{self, Leaf};
use super::paging::PageTables;
use super::reference::Reference;
use super::tsc;

/// Where hypervisors have their leaves. KVM has its own at the second place where it plays Hyper-V at the first.
const HYPERVISOR_LEAVES: [u32; 2] = [0x4000_0000, 0x4000_0100];

/// What CPUID and the hypervisor tell.
#[derive(Debug, Default)]
pub struct Told {
    /// Of the TSC.
    pub tsc: Known,
    /// Of the local APIC's timer.
    pub apic_timer_hz: Option<u64>,
}

/// Asks CPUID and the hypervisor.
pub fn told() -> Told {
    let basic = cpu::cpuid(1, 0);
    let leaf = cpu::cpuid(0x15, 0);
    let crystal = CrystalLeaf { denominator: leaf.a, numerator: leaf.b, crystal_hz: leaf.c };
    let known_hz = if cpu_is_intel() { told::known_crystal_hz(basic.a) } else { None };
    let rates = hypervisor_rates();
    let tsc = Known {
        told: [
            crystal.tsc_hz(known_hz).map(|hz| (Cpuid15, hz)),
            told::hz_of_khz(rates.a).map(|hz| (Hypervisor, hz)),
            kvm_clock_hz().map(|hz| (KvmClock, hz)),
        ],
        measured: None,
        base_hz: told::base_hz(cpu::cpuid(0x16, 0).a),
    };
    Told { tsc, apic_timer_hz: crystal.crystal_hz(known_hz).or(told::hz_of_khz(rates.b)) }
}

fn cpu_is_intel() -> bool {
    let vendor = cpu::cpuid(0, 0);
    [vendor.b, vendor.d, vendor.c].map(u32::to_le_bytes) == [*b"Genu", *b"ineI", *b"ntel"]
}

/// Leaf `offset` of those from `base` on, and the signature of the hypervisor there; all zero where there is none.
fn hypervisor_leaf(base: u32, offset: u32) -> ([u8; 12], Leaf) {
    // Leaf 1, ecx. Without it a CPU answers here with some other leaf.
    const HAS_HYPERVISOR: u32 = 1 << 31;
    let none = ([0; 12], Leaf::default());
    if cpu::cpuid(1, 0).c & HAS_HYPERVISOR == 0 {
        return none;
    }
    let first = __cpuid_count(base, 0);
    let mut signature = [0; 12];
    for (bytes, word) in signature.chunks_exact_mut(4).zip([first.ebx, first.ecx, first.edx]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    // KVM of old says 0 for its highest leaf, and means the next one.
    if !(base..base + 0x100).contains(&first.eax.max(base + 1)) || base + offset > first.eax.max(base + 1) {
        return none;
    }
    let leaf = __cpuid_count(base + offset, 0);
    (signature, Leaf { a: leaf.eax, b: leaf.ebx, c: leaf.ecx, d: leaf.edx })
}

/// Rates in kHz: the TSC's in eax, the local APIC timer's in ebx. VMware began it, others followed. Hyper-V, and what plays
/// it, means something else by that leaf.
fn hypervisor_rates() -> Leaf {
    const RATES: u32 = 0x10;
    match hypervisor_leaf(HYPERVISOR_LEAVES[0], RATES) {
        (signature, _) if signature == *b"Microsoft Hv" => Leaf::default(),
        (_, rates) => rates,
    }
}

/// MSR through which a KVM guest gives its CPU's time structure to the host, where KVM is and has one.
fn kvm_clock_msr() -> Option<u32> {
    const OLD_CLOCK: u32 = 1 << 0;
    const CLOCK: u32 = 1 << 3;
    const MSR_OLD_SYSTEM_TIME: u32 = 0x12;
    const MSR_SYSTEM_TIME: u32 = 0x4b56_4d01;
    let leaves = HYPERVISOR_LEAVES.map(|base| hypervisor_leaf(base, 1));
    let (_, kvm) = leaves.into_iter().find(|(signature, _)| signature == b"KVMKVMKVM\0\0\0")?;
    let features = kvm.a;
    match (features & CLOCK != 0, features & OLD_CLOCK != 0) {
        (true, _) => Some(MSR_SYSTEM_TIME),
        (false, true) => Some(MSR_OLD_SYSTEM_TIME),
        (false, false) => None,
    }
}

/// Bytes that the hypervisor writes. Aligned so that no page border lies in them.
#[repr(C, align(64))]
struct SharedBytes(UnsafeCell<[u8; KVM_CLOCK_BYTES]>);

// SAFETY: only `kvm_clock_hz` uses the one there is, on the boot CPU while that is alone (invariant 17).
unsafe impl Sync for SharedBytes {}

/// The TSC's rate by KVM's clock, which is off again afterwards.
fn kvm_clock_hz() -> Option<u64> {
    const ENABLE: u64 = 1;
    const MOST_READS: usize = 1000;
    static SHARED: SharedBytes = SharedBytes(UnsafeCell::new([0; KVM_CLOCK_BYTES]));
    let physical = PageTables::active().translate(SHARED.0.get() as u64)?;
    let mut msr = Msr::new(kvm_clock_msr()?);
    // SAFETY: KVM announced the MSR. The host writes the structure at that address, in which nothing else lies.
    unsafe { msr.write(physical | ENABLE) };
    let read = || {
        // SAFETY: the bytes are static and mapped; the host may write them meanwhile, hence volatile, and the versions.
        let [before, bytes, after] = core::array::from_fn(|_| unsafe { SHARED.0.get().read_volatile() });
        if before[..4] == after[..4] { told::kvm_clock_hz(&bytes) } else { None }
    };
    let hz = (0..MOST_READS).find_map(|_| read());
    // SAFETY: as above; the host writes the structure no more.
    unsafe { msr.write(0) };
    hz
}

/// How long a window is. Three are needed where nothing goes wrong.
const WINDOW_NS: u64 = 1_000_000;
/// Windows in which the reference may stand still: a machine that is stopped looks like that.
const MOST_STILL_WINDOWS: usize = 2;
/// Times that a reference is read in a window at most: a second on a slow bus. For a TSC that stands still, too.
const MOST_POLLS: u64 = 1 << 20;

/// The counters at one moment.
#[derive(Clone, Copy)]
struct Reading {
    tsc: u64,
    /// How long the reading took.
    gap: u64,
    apic_ticks: u32,
    count: u64,
}

impl Reading {
    /// Reads all counters, taking the narrowest gap of a few tries: a vCPU may
    /// lose its core in between.
    fn take(reference: &mut dyn Reference, apic: Option<LocalApic>) -> Self {
        let attempts = (0..8).map(|_| Self::take_once(reference, apic));
        attempts.min_by_key(|reading| reading.gap).expect("eight tries are not none")
    }

    /// One code for all readings: emulators are slow when they see code for the
    /// first time.
    #[inline(never)]
    fn take_once(reference: &mut dyn Reference, apic: Option<LocalApic>) -> Self {
        let before = tsc::ticks();
        let count = reference.read();
        let apic_ticks = apic.map_or(0, LocalApic::measured_timer_ticks);
        // A counter that goes back makes a gap that is wider than any other.
        let gap = tsc::ticks().wrapping_sub(before);
        Self { tsc: before.wrapping_add(gap / 2), gap, apic_ticks, count }
    }
}

/// What [`measure`] found.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    /// TSC ticks per second; `None` when the reference does not count, or not evenly.
    pub tsc_hz: Option<u64>,
    /// Local APIC timer ticks per second; `None` also when that does not count, or was not to be measured.
    pub apic_timer_hz: Option<u64>,
}

/// Measures the TSC and, if it `has_apic_timer`, this CPU's APIC timer against `reference`: 4 ms where nothing goes wrong.
pub fn measure(reference: &mut dyn Reference, has_apic_timer: bool) -> Rates {
    let apic = has_apic_timer.then(apic::local);
    let rates = measure_with(reference, apic);
    if let Some(apic) = apic {
        apic.stop_timer_for_measurement();
    }
    rates
}

fn measure_with(reference: &mut dyn Reference, apic: Option<LocalApic>) -> Rates {
    let mut tsc_windows = Windows::new();
    let mut apic_windows = Windows::new();
    let mut still = 0;
    let mut start: Option<Reading> = None;
    for _ in 0..MOST_WINDOWS {
        let start_of_this = start.filter(|reading| reading.apic_ticks < u32::MAX / 2);
        let from = start_of_this.unwrap_or_else(|| {
            apic.inspect(|apic| apic.start_timer_for_measurement());
            Reading::take(reference, apic)
        });
        let has_counted = wait(reference, &from);
        let to = Reading::take(reference, apic);
        start = Some(to);
        if !has_counted {
            still += 1;
            if still == MOST_STILL_WINDOWS {
                break;
            }
            continue;
        }
        let counts = to.count.wrapping_sub(from.count) & reference.mask();
        let ticks = to.tsc.wrapping_sub(from.tsc);
        let blur = (from.gap / 2).saturating_add(to.gap / 2).saturating_add(1);
        tsc_windows.push(Window { ticks, counts, blur });
        let apic_ticks = u64::from(to.apic_ticks.saturating_sub(from.apic_ticks));
        let apic_blur = u128::from(blur) * u128::from(apic_ticks) / u128::from(ticks.max(1));
        let apic_blur = u64::try_from(apic_blur).unwrap_or(u64::MAX).saturating_add(1);
        apic_windows.push(Window { ticks: apic_ticks, counts, blur: apic_blur });
        let tsc_is_sharp = tsc_windows.judge(reference).is_some_and(|found| found.is_sharp);
        if tsc_is_sharp && (apic.is_none() || apic_windows.judge(reference).is_some()) {
            break;
        }
    }
    let hz = |windows: &Windows| windows.judge(reference).map(|found| found.hz);
    let tsc_hz = hz(&tsc_windows);
    Rates { tsc_hz, apic_timer_hz: tsc_hz.and(apic).and_then(|_| hz(&apic_windows)) }
}

/// Waits for the length of a window; false if `reference` does not get there in the time of four of the fastest TSC.
fn wait(reference: &mut dyn Reference, from: &Reading) -> bool {
    let window_counts = reference.hz() * WINDOW_NS / 1_000_000_000;
    let patience = tsc::ASSUMED_HZ / 1_000_000_000 * WINDOW_NS * 4;
    for _ in 0..MOST_POLLS {
        if reference.read().wrapping_sub(from.count) & reference.mask() >= window_counts {
            return true;
        }
        if tsc::ticks().wrapping_sub(from.tsc) > patience {
            // The CPU may have been lost just before it looked at the TSC.
            return reference.read().wrapping_sub(from.count) & reference.mask() >= window_counts;
        }
    }
    false
}

/// The windows so far.
struct Windows {
    windows: [Window; MOST_WINDOWS],
    count: usize,
}

impl Windows {
    fn new() -> Self {
        Self { windows: [Window { ticks: 0, counts: 0, blur: 0 }; MOST_WINDOWS], count: 0 }
    }

    fn push(&mut self, window: Window) {
        self.windows[self.count] = window;
        self.count += 1;
    }

    fn judge(&self, reference: &dyn Reference) -> Option<Measured> {
        judge(&self.windows[..self.count], reference.hz())
    }
}
